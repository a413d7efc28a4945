"""The BiT-HyperRule as the paper's table and code have it."""

import pytest

from jresnet.train.hyperrule import hyperrule


@pytest.mark.parametrize(
    ("examples", "steps", "mixup"),
    [(19_999, 500, 0), (20_000, 10_000, 0.1), (499_999, 10_000, 0.1), (500_000, 20_000, 0.1)],
)
def test_length_and_mixup_by_the_number_of_examples(examples, steps, mixup):
    rule = hyperrule(examples, 32, 32)
    assert (rule.steps, rule.mixup, rule.batch_size) == (steps, mixup, 512)


def test_resolution_by_the_size_of_the_images():
    assert [(r.resize, r.crop) for r in (hyperrule(50, 95, 96), hyperrule(50, 96, 96))] == [
        (160, 128),
        (512, 480),
    ]


def test_the_rate_warms_up_and_falls_three_times():
    rate = hyperrule(1_000, 32, 32).schedule()
    expected = {
        0: 0,
        50: 0.0015,
        100: 0.003,
        200: 0.003,
        201: 3e-4,
        301: 3e-5,
        401: 3e-6,
        499: 3e-6,
    }
    assert {step: float(rate(step)) for step in expected} == pytest.approx(expected, rel=1e-5)


def test_fewer_steps_keep_the_shape():
    rule = hyperrule(1_000, 32, 32).scaled(50)
    assert rule.boundaries == (10, 20, 30, 40, 50)
    assert float(rule.schedule(0.1)(21)) == pytest.approx(0.01)
