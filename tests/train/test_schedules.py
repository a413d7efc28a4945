"""Schedules against torch's, and by hand."""

import numpy as np
import pytest

from jresnet.train.schedules import cosine, polynomial, ramped, ramped_cosine, step_decay
from tests.nets import read_arrays


def rates(schedule, *steps):
    return [round(float(schedule(step)), 9) for step in steps]


def test_step_decay_counts_from_the_start_and_not_from_the_warmup():
    schedule = step_decay(0.1, (10, 20), warmup_steps=4, warmup_rate=0.01)
    expected = [0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001]
    assert rates(schedule, 0, 3, 4, 9, 10, 19, 20) == pytest.approx(expected)


def test_ramp():
    schedule = ramped(step_decay(0.4, (10,)), 0.4, 0.1, 3)
    assert rates(schedule, 0, 1, 2, 3, 9, 10) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.04])


def test_half_a_cosine_after_a_tenth_of_the_steps():
    expected = [0, 0.1, 0.2, 0.1, 0]
    assert rates(ramped_cosine(0.2, 40), 0, 2, 4, 22, 40) == pytest.approx(expected)


def test_cosine_ends_at_zero():
    schedule = cosine(0.2, 14, warmup_steps=4, warmup_rate=0.01)
    expected = [0.01, 0.2, 0.1 * (1 + np.cos(np.pi * 0.3)), 0.1, 0.0]
    assert rates(schedule, 3, 4, 7, 9, 14) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("case", "schedule"),
    [
        ("lr_cosine_50", cosine(0.1, 50)),
        ("lr_multistep", step_decay(0.1, (3, 6))),
        ("lr_step30", step_decay(0.1, (30, 60))),
        ("lr_cosine_50_min", cosine(0.1, 50, floor=0.001)),
        ("lr_warmup_cosine", ramped(cosine(0.1, 50, warmup_steps=5), 0.1, 0.001, 5)),
        ("lr_warmup_multistep", ramped(step_decay(0.1, (15, 25)), 0.1, 0.001, 5)),
        ("lr_poly", polynomial(0.1, 50, 0.9)),
    ],
)
def test_schedules_follow_torch(golden, case, schedule):
    expected = read_arrays(golden / "optim.npz")[f"{case}/lr"]
    rates = [float(schedule(step)) for step in range(len(expected))]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-8)


def test_polynomial_starts_after_the_warmup():
    schedule = ramped(polynomial(8.0, 14, 2.0, warmup_steps=4), 8.0, 0.0, 4)
    assert rates(schedule, 0, 2, 4, 9, 14) == pytest.approx([0, 4, 8, 2, 0])


def test_a_single_step_has_the_whole_rate():
    assert float(ramped_cosine(0.1, 1)(0)) == pytest.approx(0.1)
    assert float(ramped_cosine(0.1, 2)(0)) == 0
    assert float(ramped_cosine(0.1, 2)(1)) == pytest.approx(0.1)
