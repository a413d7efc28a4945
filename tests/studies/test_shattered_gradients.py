"""The study of shattered gradients: its sentence and its table follow from the numbers."""

import csv

import numpy as np

from jresnet.studies.shattered_gradients.measure import KINDS, LAGS, Findings, noises
from jresnet.studies.shattered_gradients.report import statement, write_table


def findings(**neighbours):
    """Autocorrelation at lag 1 of 10 layers by kind, + for BatchNorm; 0.9 at 2 layers."""
    values = {kind: neighbours[kind.replace(" + BatchNorm", "_norm")] for kind in KINDS}
    grid = {
        kind: {2: np.full(LAGS, 0.9), 10: np.full(LAGS, value)} for kind, value in values.items()
    }
    return Findings(grid, noises(64), {"net": np.linspace(1, 0.25, LAGS)}, 64)


def test_the_sentence_is_worded_from_the_greatest_depth():
    text = statement(findings(plain=0.8, plain_norm=0.1, residual=0.4, residual_norm=0.6))
    assert "With BatchNorm and 10 layers" in text
    assert "by 0.10 in plain and 0.60 in residual nets, as the paper has it;" in text
    assert "without BatchNorm by 0.80 and 0.40" in text
    assert text.endswith("15 points apart: net 0.25.")
    text = statement(findings(plain=0.8, plain_norm=0.5, residual=0.9, residual_norm=0.55))
    assert "not as the paper has it" in text
    assert text.endswith("the paper's rates have it raise it.")


def test_white_noise_forgets_and_brown_noise_does_not():
    series = noises(512)
    assert abs(series["white noise"][1:]).max() < 0.05
    assert series["brown noise"][1] > 0.9
    assert series["white noise"][0] == series["brown noise"][0] == 1


def test_the_table_has_a_row_for_each_lag(tmp_path):
    write_table(tmp_path, findings(plain=0.8, plain_norm=0.1, residual=0.4, residual_norm=0.6))
    with (tmp_path / "autocorrelation.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["net", "layers", "lag", "correlation"]
    assert len(rows) == 1 + LAGS * (len(KINDS) * 2 + 2 + 1)
    assert rows[1 + LAGS] == ["plain", "10", "0", "0.8"]
    assert rows[-1] == ["net", "", "15", "0.25"]
