"""The study of identity initialisation: its table and its sentence follow from the results."""

import itertools
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.models import zoo
from jresnet.studies.identity_init.measure import SCHEMES, with_scheme
from jresnet.studies.identity_init.report import row, statement

METRICS = {"train": {"loss": 0.5, "error": 0.1}, "test": {"loss": 1.0, "error": 0.2}}
FINITE = Result(METRICS, 3.0, 100, Path())
DIVERGED = Result({}, 1.0, 100, Path(), diverged="the loss is nan at step 7")
STILL, MOVED = (np.array([change, 0.0]) for change in (0.0, 0.25))
SIZES = np.array([1.0, 2.0])


def test_every_scheme_is_another_net():
    nets = [with_scheme(scheme, zoo.cifar_resnet(8)) for scheme in SCHEMES]
    assert all(one != other for one, other in itertools.combinations(nets, 2))


def test_the_sentence_names_who_starts_as_the_identity_and_who_diverged():
    results = {"He-8": DIVERGED, "Fixup-8": FINITE}
    text = statement(results, {"He-8": (MOVED, SIZES), "Fixup-8": (STILL, SIZES)})
    assert "at the start: Fixup-8. Test error:" in text
    assert text.endswith("He-8 diverged: loss nan at step 7, Fixup-8 20.00 %.")
    assert "at the start: none." in statement({"He-8": FINITE}, {"He-8": (MOVED, SIZES)})


def test_a_row_of_a_diverged_training_has_no_errors():
    assert row("He-8", DIVERGED, MOVED, SIZES) == (
        "He-8", 100, "25", "2", "diverged", None, None, "1",
    )  # fmt: skip
    assert row("Fixup-8", FINITE, STILL, SIZES) == (
        "Fixup-8", 100, "0", "2", "0.5000", "10.00", "20.00", "3",
    )  # fmt: skip
