"""The surface of a quadratic is known; a filter's scale before BatchNorm is no matter."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.analysis.landscape import (
    filter_normalised,
    grid,
    moved,
    point_mesh,
    random_direction,
    rising_rays,
    surface,
)
from jresnet.models import zoo
from tests.nets import normal, random_variables


def quadratic(params, batch):
    """(sum of batch * |params|^2, number of examples)."""
    square = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
    return jnp.stack([jnp.sum(batch["weight"]) * square, jnp.float32(len(batch["weight"]))])


@pytest.mark.parametrize("devices", [1, 8])
def test_a_quadratic_s_surface(devices):
    params = {"a": normal(3, 4), "b": normal(5, seed=1)}
    ways = [{"a": normal(3, 4, seed=s), "b": normal(5, seed=s)} for s in (2, 3)]
    batches = [{"weight": jnp.array([1.0, 2.0])}, {"weight": jnp.array([0.5, 0.0])}]
    points = grid(np.linspace(-1, 1, 3), np.linspace(-2, 2, 5))
    mesh = point_mesh(jax.devices()[:devices])
    parts = list(surface(quadratic, mesh, at_once=1)(params, ways, points, batches))
    assert [len(part) for part in parts] == ([1] * 15 if devices == 1 else [8, 7])
    flat, one, two = (np.concatenate([np.ravel(t["a"]), t["b"]]) for t in (params, *ways))
    expected = [3.5 * np.sum((flat + a * one + b * two) ** 2) for a, b in points]
    np.testing.assert_allclose(np.concatenate(parts)[:, 0], expected, rtol=1e-5)
    assert (np.concatenate(parts)[:, 1] == 4).all()


def test_every_filter_of_a_direction_is_as_long_as_the_net_s():
    params = random_variables(zoo.cifar_resnet(8), (8, 8, 3))["params"]
    direction = random_direction(np.random.default_rng(0), params)
    actual, wanted = (tree["backbone"]["stage2"]["block1"] for tree in (direction, params))
    for filter in range(32):
        ours, theirs = (tree["conv2"]["kernel"][..., filter] for tree in (actual, wanted))
        assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(theirs), rel=1e-5)
    assert not np.any(actual["norm1"]["scale"])
    assert not np.any(actual["norm1"]["bias"])
    assert not np.any(direction["head"]["bias"])
    column = np.linalg.norm(direction["head"]["kernel"][:, 3])
    assert column == pytest.approx(np.linalg.norm(params["head"]["kernel"][:, 3]), rel=1e-5)


def test_a_filter_s_scale_before_batchnorm_leaves_the_plot_unchanged():
    net, x = zoo.cifar_resnet(8), normal(4, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    scaled = copy.deepcopy(variables)
    block = scaled["params"]["backbone"]["stage2"]["block1"]
    block["conv1"]["kernel"] = block["conv1"]["kernel"].at[..., 5].multiply(10)
    statistics = scaled["batch_stats"]["backbone"]["stage2"]["block1"]["norm1"]
    statistics["mean"] = statistics["mean"].at[5].multiply(10)
    statistics["var"] = statistics["var"].at[5].multiply(100)
    raw = jax.tree.map(lambda p: normal(*p.shape, seed=7), variables["params"])
    batch = {"image": x, "label": jnp.array([0, 1, 2, 3])}

    def plot(variables, direction):
        def measure(params, batch):
            logits = net.apply({**variables, "params": params}, batch["image"], train=False)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
            return losses.sum()[None]

        points = np.linspace(-1, 1, 5)[:, None]
        mesh = point_mesh(jax.devices()[:1])
        parts = surface(measure, mesh)(variables["params"], [direction], points, [batch])
        return np.concatenate(list(parts))

    def normalised(variables):
        return plot(variables, filter_normalised(raw, variables["params"]))

    expected = normalised(variables)
    np.testing.assert_allclose(normalised(scaled), expected, rtol=1e-4)
    # Directions as they were drawn are another matter.
    unequal = plot(scaled, raw)
    assert np.abs(unequal - plot(variables, raw)).max() > 1e-2 * np.abs(unequal).max()


def test_points_move_along_both_directions():
    params, ways = {"a": jnp.ones(2)}, [{"a": jnp.array([1.0, 0])}, {"a": jnp.array([0, 1.0])}]
    np.testing.assert_allclose(moved(params, ways, jnp.array([2.0, -3.0]))["a"], [3, -2])


def test_rays_of_a_bowl_rise_and_of_a_saddle_half_do_not():
    x, y = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7))
    assert rising_rays(x**2 + 2 * y**2) == 1
    assert rising_rays(x**2 - 2 * y**2) == 2 / 8
    # The lowest point may lie a little beside the centre, but not far.
    assert rising_rays((x - 0.05) ** 2 + y**2) == 1
    assert rising_rays((x - 0.5) ** 2 + y**2) < 1
    far = np.where(x**2 + y**2 > 1, np.inf, x**2 + y**2)
    assert rising_rays(far) == 1
