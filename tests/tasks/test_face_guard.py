"""The warning names the cause, and is silent for trainings that go well."""

import pytest

from jresnet.tasks.face_guard import Signs, warning


@pytest.mark.parametrize(
    ("spread", "batch_spread", "cause"),
    [
        (0.5, 0.5, "aligned"),
        (1e-6, 1e-6, "constant, in training too; expected a lower learning rate"),
        (1e-6, 0.4, "by BatchNorm's running statistics alone"),
        (1e-6, None, "BatchNorm momentum"),
    ],
)
def test_each_cause_has_its_words(spread, batch_spread, cause):
    line = warning(Signs(0.5, 20.0, 5.0, spread, batch_spread))
    assert line is not None
    assert cause in line
    assert "accuracy=0.500 while the loss fell from 20 to 5" in line


def test_a_loss_that_stays_or_an_accuracy_above_chance_is_another_matter():
    assert warning(Signs(0.5, 20.0, 19.9, 0.0)) is None
    assert warning(Signs(0.9, 20.0, 5.0, 0.5)) is None
