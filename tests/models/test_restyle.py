"""Nets that paint pictures anew: pytorch/examples' names and arithmetic, padding, tiles' moments, reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.headed import backbone_of, unrolled
from jresnet.models.mirrored import apply_mirrored, continued, mirrored
from jresnet.models.norms import InstanceNorm
from jresnet.models.published import count_net
from jresnet.models.scan import unstack
from jresnet.models.shortcuts import NoShortcut
from jresnet.tasks.stylise import Stylise
from jresnet.weights.convert import WeightsError, from_torch, to_torch
from jresnet.weights.layouts import recognise
from tests.nets import apply, normal, random_variables

SMALL = zoo.restyler(4, 1)


def pictures(*shape, seed=0):
    return jax.nn.sigmoid(normal(*shape, seed=seed))


def values(net, seed=0):
    return random_variables(net, (16, 16, 3), seed)


# pytorch/examples, fast_neural_style/neural_style/transformer_net.py, in NumPy on its state dict.
def convolution(x, state, name, stride=1):
    """`[in, H, W]`; a ReflectionPad2d and a Conv2d."""
    weight, bias = (np.asarray(state[f"{name}.conv2d.{k}"], np.float64) for k in ("weight", "bias"))
    size = weight.shape[-1]
    edge = size // 2
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)), "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    y = np.einsum("ihwkl,oikl->ohw", windows[:, ::stride, ::stride], weight, optimize=True)
    return y + bias[:, None, None]


def instance_norm(x, state, name):
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    scale, bias = (state[f"{name}.{k}"][:, None, None] for k in ("weight", "bias"))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def transformer_net(x, state):
    def relu(x):
        return np.maximum(x, 0)

    for n, stride in ((1, 1), (2, 2), (3, 2)):
        x = relu(instance_norm(convolution(x, state, f"conv{n}", stride), state, f"in{n}"))
    for n in range(1, 6):
        block = f"res{n}"
        y = relu(instance_norm(convolution(x, state, f"{block}.conv1"), state, f"{block}.in1"))
        x = x + instance_norm(convolution(y, state, f"{block}.conv2"), state, f"{block}.in2")
    for n in (1, 2):
        x = x.repeat(2, 1).repeat(2, 2)
        x = relu(instance_norm(convolution(x, state, f"deconv{n}"), state, f"in{n + 3}"))
    return convolution(x, state, "deconv3")


def test_johnson_gives_the_picture_of_pytorch_s_example():
    net = zoo.johnson()
    variables = values(net)
    state = to_torch(variables, net)
    assert (
        sum(x.size for x in state.values()) == 1_679_235 == count_net(net, (64, 64, 3)).parameters
    )
    layers = {name.rpartition(".")[0] for name in state}
    expected = {f"{c}{n}.conv2d" for c in ("conv", "deconv") for n in (1, 2, 3)}
    expected |= {f"in{n}" for n in range(1, 6)}
    expected |= {f"res{n}.{k}{m}" for n in range(1, 6) for k, m in (("in", 1), ("in", 2))}
    expected |= {f"res{n}.conv{m}.conv2d" for n in range(1, 6) for m in (1, 2)}
    assert layers == expected
    x = pictures(2, 16, 20, 3)
    ours = 255 * apply(net, variables, x, train=False)
    for row, picture in zip(np.asarray(ours), np.asarray(x, np.float64), strict=True):
        theirs = np.moveaxis(transformer_net(np.moveaxis(255 * picture, -1, 0), state), 0, -1)
        np.testing.assert_allclose(row, theirs, atol=2e-3 * np.abs(theirs).max())


def test_an_old_checkpoint_with_statistics_that_nothing_used_is_read():
    net = zoo.johnson()
    variables = values(net)
    state = to_torch(variables, net)
    assert recognise(state).name == "pytorch/examples fast_neural_style"
    for name in ("in1", "res3.in2"):
        for kind in ("running_mean", "running_var"):
            state[f"{name}.{kind}"] = np.zeros(3, np.float32)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    for names in (state, wrapped):
        jax.tree.map(np.testing.assert_array_equal, from_torch(names, net), variables)
    del state["res5.in2.weight"]
    with pytest.raises(WeightsError, match=r"missing: res5\.in2\.weight"):
        from_torch(state, net)


@pytest.mark.parametrize("size", [(16, 20), (13, 18), (5, 3), (1, 1)])
def test_any_size_stays_and_the_twin_has_no_shortcut(size):
    variables, x = values(SMALL), pictures(1, *size, 3)
    y = apply(SMALL, variables, x, train=False)
    assert y.shape == x.shape
    assert y.dtype == jnp.float32
    assert np.isfinite(y).all()
    twin = zoo.plain(SMALL)
    assert isinstance(backbone_of(twin).shortcut(), NoShortcut)
    if min(size) > 4:
        assert not np.allclose(y, apply(twin, variables, x, train=False))


def test_scanned_blocks_give_what_unrolled_ones_do():
    net = zoo.restyler(4, 3, scan=True)
    variables = random_variables(net, (16, 16, 3))
    assert "blocks" in variables["params"]["backbone"]["stage1"]
    images = pictures(1, 16, 16, 3)
    one_by_one = apply(unrolled(net), unstack(variables), images, train=False)
    np.testing.assert_allclose(apply(net, variables, images, train=False), one_by_one, atol=1e-4)
    # And where a task paints whole pictures, which takes the blocks one by one.
    padded = jnp.zeros((1, 32, 32, 3)).at[:, :16, :16].set(images)
    painted = Stylise(net).painted(variables, padded, jnp.asarray([[16, 16]]))
    np.testing.assert_allclose(painted[:, :16, :16], one_by_one, atol=1e-4)


def test_a_fresh_net_begins_with_the_normalised_picture_nearly():
    x = pictures(2, 32, 32, 3) ** 2
    for skip in (True, False):
        net = zoo.restyler(8, 2, skip=skip)
        variables = jax.jit(lambda key, net=net: net.init(key, x, train=True))(jax.random.key(0))
        y = apply(net, variables, x, train=False)
        mean, deviation = x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True)
        expected = 0.5 + 0.25 * skip * (x - mean) / deviation
        assert float(jnp.abs(y - expected).mean()) < 0.08
        assert ("skip" in variables["params"]) == skip


def test_nothing_beyond_the_reach_changes_a_position_but_by_the_norms():
    net = zoo.restyler(4, 1)
    assert net.reach == 4 + 3 + 8 + 3 + 7  # last convolution, steps up, one block, places, stem
    assert zoo.johnson().reach == 57
    side = 64
    variables, x = values(net), pictures(1, side, side, 3)
    sizes = jnp.asarray([[side, side]])
    _, moments = apply_mirrored(net, variables, x, sizes)
    run = jax.jit(lambda x: apply_mirrored(net, variables, x, sizes, moments)[0])

    def seen(at, distance):
        changed = x.at[0, 32, at - distance].add(1.0)
        return float(jnp.abs(run(x) - run(changed))[0, 32, at].max())

    for at in (31, 32, 33, 34):
        assert seen(at, net.reach + 1) == 0
        assert seen(at, 1) > 0
    assert max(seen(at, net.reach - 2) for at in (31, 32, 33, 34)) > 0  # it is no loose bound


@pytest.mark.parametrize("sizes", [[[32, 20], [17, 32]], [[32, 32], [6, 9]], [[1, 2], [4, 3]]])
def test_a_padded_picture_is_what_it_is_alone(sizes):
    variables, x = values(SMALL), pictures(2, 32, 32, 3)
    dirty = x + 5 * (jnp.arange(32)[None, :, None, None] >= 0)  # what lies in the padding
    rows = [jnp.where(_real(size), one, other) for one, other, size in zip(x, dirty, sizes, strict=True)]  # fmt: skip
    run = jax.jit(lambda x, sizes: apply_mirrored(SMALL, variables, x, sizes)[0])
    together = run(jnp.stack(rows), jnp.asarray(sizes))
    for row, one, (height, width) in zip(together, x, sizes, strict=True):
        alone = apply(SMALL, variables, one[None, :height, :width], train=False)[0]
        np.testing.assert_allclose(row[:height, :width], alone, atol=2e-4)


def _real(size):
    height, width = size
    y, x = jnp.mgrid[:32, :32]
    return ((y < height) & (x < width))[..., None]


def test_moments_of_the_whole_make_parts_alike():
    net = zoo.restyler(4, 1)
    variables, x = values(net), pictures(1, 64, 96, 3)
    whole, moments = apply_mirrored(net, variables, x, jnp.asarray([[64, 96]]))
    part, _ = apply_mirrored(net, variables, x[:, :, 16:], jnp.asarray([[64, 80]]), moments)
    inside = slice(16 + net.reach, None)
    np.testing.assert_allclose(part[:, :, net.reach :], whole[:, :, inside], atol=1e-4)
    alone, _ = apply_mirrored(net, variables, x[:, :, 16:], jnp.asarray([[64, 80]]))
    assert np.abs(alone[:, :, net.reach :] - whole[:, :, inside]).max() > 1e-3
    with pytest.raises(ValueError, match=r"pictures \(63, 96\): expected multiples of 4"):
        apply_mirrored(net, variables, x[:, 1:], jnp.asarray([[63, 96]]))


def test_pictures_are_continued_by_their_mirror_image():
    place = mirrored(jnp.arange(-3, 9), jnp.asarray(3))
    np.testing.assert_array_equal(place, [1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0])
    np.testing.assert_array_equal(mirrored(jnp.arange(5), jnp.asarray(1)), 0)
    x = np.asarray(normal(1, 9, 9, 2))
    y = continued(jnp.asarray(x), jnp.asarray([[5, 6]]), 3)
    expected = np.pad(x[:, :5, :6], ((0, 0), (0, 3), (0, 3), (0, 0)), "reflect")
    np.testing.assert_array_equal(y[:, :8], expected)
    np.testing.assert_array_equal(y[:, 8:, :6], x[:, 8:, :6])  # beyond, it stays


@pytest.mark.parametrize("fast", [True, False])
def test_instance_norm_by_its_definition(fast):
    x = np.asarray(normal(3, 7, 5, 4)) * 3 + 2
    norm = InstanceNorm(fast_variance=fast)
    scale, bias = np.asarray(normal(4, seed=1)), np.asarray(normal(4, seed=2))
    params = {"params": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}}
    y = norm.apply(params, x, train=True)
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + bias, atol=1e-4)
    other = norm.apply(params, x, (np.ones((3, 4)), np.full((3, 4), 4.0)), train=True)
    np.testing.assert_allclose(other, (x - 1) / np.sqrt(4 + 1e-5) * scale + bias, atol=1e-5)
    volume = jax.jit(lambda x: norm.apply(params, x, train=True))(normal(1, 3, 4, 5, 4))
    np.testing.assert_allclose(volume.mean((1, 2, 3))[0], bias, atol=1e-4)


def test_a_picture_of_one_colour_has_no_contrast_to_enlarge():
    variables, x = values(zoo.johnson()), jnp.full((1, 16, 16, 3), 0.7)
    y = np.asarray(apply(zoo.johnson(), variables, x, train=False))
    # No rounding is taken for a pattern: all places that see the same have the same colour.
    assert np.ptp(y, (1, 2)).max() < 1e-3 * np.abs(y).max()
