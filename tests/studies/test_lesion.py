"""Lesions: what is measured, and the sentences and figures that follow from the numbers."""

import numpy as np
import pytest

from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.models import zoo
from jresnet.report.figures import save
from jresnet.studies.lesion.figures import amounts, deletions
from jresnet.studies.lesion.measure import errors, measure, select, transitions
from jresnet.studies.lesion.report import Summary
from jresnet.studies.subjects import Subject
from tests.nets import apply, random_variables

DATA = ImageData(Synthetic((8, 8, 3), 10, train_size=20, test_size=30), 10)


@pytest.fixture(scope="module")
def subject():
    net = zoo.cifar_resnet(14)
    return Subject("net", net, random_variables(net, (8, 8, 3)), lambda x: x / 255.0, DATA)


def test_every_kind_of_lesion_is_measured(subject):
    trials = measure(subject, repeats=2, split="test", examples=None, seed=0)
    assert [len(select(trials, "net", kind)) for kind in ("intact", "one deleted")] == [1, 6]
    assert [t.blocks for t in select(trials, "net", "one deleted")] == list("123456")
    assert [t.amount for t in select(trials, "net", "deleted")] == [1, 1, 2, 2, 3, 3]
    for trial in select(trials, "net", "deleted"):
        assert len(trial.blocks.split()) == trial.amount
    # Only the first stage's two blocks can change places here.
    assert {t.blocks for t in select(trials, "net", "swapped")} <= {"1 2 3 4 5 6", "2 1 3 4 5 6"}
    actual = subject.examples("test")
    logits = apply(subject.model, subject.variables, actual["image"] / 255.0, train=False)
    wrong = 100 * (np.asarray(logits).argmax(-1) != actual["label"]).mean()
    assert errors(trials, "net", "intact") == pytest.approx([wrong])
    assert transitions(subject) == [2, 4]


@pytest.mark.parametrize(
    ("single", "words"),
    [
        ([2.0, 2.5, 40.0], "hardly changes net: error from 2.00 % to a median of 2.50 %"),
        ([10.0, 20.0, 40.0], "harms net"),
        ([88.0, 90.0, 89.0], "destroys net"),
    ],
)
def test_the_sentence_is_worded_from_the_numbers(single, words):
    actual = Summary("net", 90.0, 2.0, single, [2], 50.0, None)
    assert words in actual.sentence()
    worst = int(np.argmax(single))
    assert (f"without block {worst + 1}, which changes the shape" in actual.sentence()) == (
        worst == 2
    )
    assert actual.row()[-2:] == ("–", "–")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_deletions_name_every_line_and_shade_the_marked():
    figure = deletions({"a": [1.0, 9.0, 2.0], "b": [80.0] * 3}, {"a": 1.0, "b": 5.0}, [1], "m", "%")
    (ax,) = figure.axes
    assert {line.get_label() for line in ax.lines} == {"a", "a, intact", "b", "b, intact"}
    (span,) = ax.patches
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((1.6, 2.4))


def test_amounts_draw_medians_and_every_trial(tmp_path):
    deleted = {"a": [(1, 2.0), (1, 4.0), (1, 9.0), (2, 50.0)]}
    figure = amounts(deleted, {"a": [(0.9, 3.0), (0.5, 60.0)]}, "%")
    left, right = figure.axes
    assert left.lines[0].get_xydata().tolist() == [[1, 4], [2, 50]]
    assert right.collections[0].get_offsets().tolist() == [[0.9, 3], [0.5, 60]]
    assert texts(amounts(deleted, {"a": []}, "%").axes[1]) == ["no two blocks can be swapped"]
    assert save(figure, tmp_path / "a.png").stat().st_size > 10_000
