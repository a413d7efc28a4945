"""The study of degradation: its table and its sentences follow from the results."""

from pathlib import Path

from jresnet.experiment import Result
from jresnet.studies.degradation.report import row, statement


def result(train, test):
    metrics = {"train": {"loss": 0.5, "error": train}, "test": {"loss": 1.0, "error": test}}
    return Result(metrics, 2.0, 1234, Path())


def nets(plain, residual):
    """Training errors at 20 and 56 layers; test errors are twice as high."""
    errors = {"plain": plain, "ResNet": residual}
    return {
        f"{kind}-{depth}": [result(error, 2 * error)]
        for kind, pair in errors.items()
        for depth, error in zip((20, 56), pair, strict=True)
    }


def test_the_sentences_are_worded_from_the_errors():
    text = statement(nets((0.1, 0.2), (0.05, 0.04)))
    assert "Plain degrades with depth: training error 10.00 % at 20 layers, 20.00 % at 56." in text
    assert "Residual stays trainable: ResNet-56 has 4.00 % training and 8.00 % test error" in text
    text = statement(nets((0.2, 0.1), (0.05, 0.3)))
    assert "Plain does not degrade" in text
    assert "Residual fares no better" in text


def test_a_row_has_means_and_their_spread_over_seeds():
    one = row("plain-20", [result(0.1, 0.2)])
    assert one == ("plain-20", "1,234", "0.5000", "10.00", "20.00", "2")
    two = row("plain-20", [result(0.1, 0.2), result(0.2, 0.4)])
    assert two[3:] == ("15.00 ± 7.07", "30.00 ± 14.14", "4")
