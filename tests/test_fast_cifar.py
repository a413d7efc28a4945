"""The short training on CIFAR-10: its net, its rates, and that it builds without the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.fast_cifar10 import fast_cifar10
from jresnet.data.pipeline import ImageData
from jresnet.models import cpu
from jresnet.models.pools import window_max
from jresnet.models.published import count_net
from jresnet.recipes.fast_cifar import fast_cifar, fast_net
from jresnet.train.optim import rate_of


def test_the_net_has_the_widths_and_resolutions_of_the_text():
    net = fast_net()
    shapes = jax.eval_shape(
        lambda x: net.backbone.init_with_output(jax.random.key(0), x, train=False)[0],
        jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32),
    )
    assert {name: y.shape[1:] for name, y in shapes.items()} == {
        "stem": (32, 32, 64),
        "stage1": (16, 16, 128),
        "stage2": (8, 8, 256),
        "stage3": (4, 4, 512),
    }
    # By hand: 3x3 convolutions at the resolution before the pool and after it, 1x1 shortcuts after
    # it, the stem and the classifier.
    first = [9 * 64 * 2**n * 128 * 2**n * (32 >> n) ** 2 for n in range(3)]
    second = [9 * (128 * 2**n) ** 2 * (16 >> n) ** 2 for n in range(3)]
    shortcut = [64 * 2**n * 128 * 2**n * (16 >> n) ** 2 for n in range(3)]
    by_hand = sum(first + second + shortcut) + 9 * 3 * 64 * 32**2 + 512 * 10
    assert count_net(net, (32, 32, 3)).macs == by_hand


def test_the_rate_rises_to_its_peak_at_the_fifth_of_24_epochs_and_falls_to_zero():
    experiment = fast_cifar10()
    steps = experiment.plan.steps
    assert steps == 24 * 50_000 // 512 // 8 * 8
    schedule = rate_of(experiment.optimizer)
    assert schedule is not None
    top = 5 * steps // 24
    actual = [float(schedule(step)) for step in (0, top // 2, top, (top + steps) // 2, steps - 1)]
    expected = [0, 0.4 * (top // 2) / top, 0.4, 0.2, 0.4 / (steps - top)]
    assert actual == pytest.approx(expected, rel=2e-3)
    assert fast_cifar10(batch_size=256).plan.steps == 24 * 50_000 // 256 // 8 * 8
    half = rate_of(fast_cifar10(batch_size=256).optimizer)
    assert half is not None
    assert max(float(half(step)) for step in range(0, 4600, 10)) == pytest.approx(0.2, rel=1e-2)


def test_a_training_shorter_than_a_dispatch_has_fewer_steps_in_one():
    data = ImageData("digits", 1024, on_device=False)
    plan = fast_cifar(fast_net(width=4), data, epochs=1).plan
    assert (plan.steps, plan.steps_per_dispatch) == (1, 1)


@pytest.mark.parametrize("forms", [True, False])
def test_the_pool_takes_the_largest_of_each_window(forms, monkeypatch):
    monkeypatch.setattr(cpu, "takes", lambda form: forms)
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)
    actual = window_max(jnp.asarray(x), (2, 3))
    expected = x[:, :6].reshape(2, 3, 2, 2, 3, 3).max((2, 4))
    np.testing.assert_array_equal(actual, expected)
    gradient = jax.grad(lambda x: window_max(x, (2, 3)).sum())(jnp.asarray(x))
    assert float(gradient.sum()) == expected.size
    assert not gradient[:, 6].any()  # the row that is left at the border
