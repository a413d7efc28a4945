"""Nets that enlarge pictures: BasicSR's numbers, counts, torch's order of shuffles, twins, reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.gates import Scaled
from jresnet.models.headed import backbone_of
from jresnet.models.published import abstract_variables
from jresnet.models.shortcuts import NoShortcut
from jresnet.models.upsample import enlarge, pixel_shuffle
from jresnet.weights.convert import from_torch, to_torch
from jresnet.weights.pictures import EDSR_PYTORCH
from tests.models.edsr_by_hand import AUTHORS, BASICSR, edsr_by_hand
from tests.nets import apply, normal, random_variables


def count(net):
    return sum(x.size for x in jax.tree.leaves(abstract_variables(net, (16, 16, 3))["params"]))


def test_msrresnet_gives_basicsr_s_picture(golden, monkeypatch):
    monkeypatch.syspath_prepend(golden)
    from weights import (  # type: ignore[import-not-found]
        checksum,
        load_golden,
        make_state_dict,
    )

    gold = load_golden(golden / "msrresnet_x4.npz")
    state, net = make_state_dict(gold["manifest"]), zoo.msrresnet_x4()
    assert checksum(state) == gold["meta"]["weights_crc32"]
    variables = from_torch(state, net)
    y = apply(net, variables, jnp.asarray(np.moveaxis(gold["x"], 1, -1)), train=False)
    ours = np.moveaxis(np.asarray(y), -1, 1)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, gold["y"], atol=1e-4, rtol=1e-5)
    assert np.abs(ours[:, :, ::4, ::4] - gold["y_every4_f64"]).max() < 2e-5
    back = to_torch(variables, net)
    assert back.keys() == state.keys()
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


@pytest.mark.parametrize(("scale", "ups"), [(2, (0,)), (3, (0,)), (4, (0, 2))])
def test_edsr_has_basicsr_s_names(scale, ups):
    """basicsr/archs/edsr_arch.py: conv_first, body.N.conv1, conv_after_body, upsample.N, conv_last."""
    net = zoo.edsr(scale, 2, 8)
    variables = random_variables(net, (8, 8, 3))
    state = to_torch(variables, net)
    layers = {name.rpartition(".")[0] for name in state}
    expected = {"conv_first", "conv_after_body", "conv_last"}
    expected |= {f"body.{n}.conv{m}" for n in (0, 1) for m in (1, 2)}
    assert layers == expected | {f"upsample.{n}" for n in ups}
    factor = 3 if scale == 3 else 2
    assert state["upsample.0.weight"].shape == (8 * factor**2, 8, 3, 3)
    wrapped = {f"net_g.module.{name}": x for name, x in state.items()}
    jax.tree.map(np.testing.assert_array_equal, from_torch(wrapped, net), variables)


@pytest.mark.parametrize("scale", [3, 4])
def test_edsr_is_that_of_its_authors(scale):
    net = zoo.edsr(scale, 2, 8, 0.1)
    variables = random_variables(net, (6, 5, 3))
    state = to_torch(variables, net, EDSR_PYTORCH)
    steps = (0, 2) if scale == 4 else (0,)
    blocks = {f"body.{n}.body.{m}" for n in (0, 1) for m in (0, 2)}
    names = {"head.0", "body.2", "tail.1", *blocks, *(f"tail.0.{n}" for n in steps)}
    assert {name.rpartition(".")[0] for name in state} == names
    pixels = np.random.default_rng(1).uniform(size=(6, 5, 3)).astype(np.float32)
    expected = edsr_by_hand(state, AUTHORS, 255 * pixels.astype(float), scale, 2, 0.1)
    y = apply(net, variables, jnp.asarray(pixels)[None], train=False)[0]
    np.testing.assert_allclose(255 * y, expected, rtol=1e-4, atol=0.02)
    other = edsr_by_hand(
        to_torch(variables, net), BASICSR, 255 * pixels.astype(float), scale, 2, 0.1
    )
    np.testing.assert_allclose(other, expected, rtol=1e-6)
    shift = {f"{kind}_mean.weight": np.eye(3)[..., None, None] for kind in ("sub", "add")}
    back = from_torch({f"model.{name}": x for name, x in (state | shift).items()}, net)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        (zoo.edsr_baseline(2), 1_369_859),
        (zoo.edsr_baseline(4), 1_517_571),
        (zoo.edsr_large(2), 40_729_603),
        (zoo.edsr_large(4), 43_089_923),
        (zoo.msrresnet_x4(), 1_517_571),
        # By hand: 9x9 ends, 16 blocks of two 3x3 and two norms, one more, two shuffles, 19 slopes.
        (
            zoo.srresnet_x4(),
            2 * 3 * 81 * 64 + 64 + 3 + 33 * (9 * 64 * 64 + 64 + 128) + 2 * (9 * 64 + 1) * 256 + 19,
        ),
    ],
)
def test_parameters_are_the_published_ones(net, parameters):
    assert count(net) == parameters


@pytest.mark.parametrize(
    ("blocks", "width", "scale", "parameters", "millions"),
    [
        (16, 64, 2, 1_369_859, "1.37"),
        (32, 256, 2, 40_729_603, "40.7"),
        (32, 256, 4, 43_089_923, "43.1"),
    ],
)
def test_counts_of_edsr_are_those_of_its_layers(blocks, width, scale, parameters, millions):
    """The numbers above once more, from the layers of Lim et al. 2017, figure 3, one by one."""
    layers = [(3, width)]
    layers += (2 * blocks + 1) * [(width, width)]  # two a block, and one after them
    layers += (scale // 2) * [(width, 4 * width)]  # one shuffle by 2, or two
    layers += [(width, 3)]
    assert sum(9 * inputs * outputs + outputs for inputs, outputs in layers) == parameters
    assert f"{parameters / 1e6:.{len(millions.partition('.')[2])}f}" == millions


def test_branches_of_the_large_edsr_are_scaled():
    gate = backbone_of(zoo.edsr_large()).gate
    assert gate.layer is Scaled
    assert gate() == Scaled(0.1)
    assert backbone_of(zoo.edsr_baseline()).gate is None


def test_pixels_are_shuffled_in_torch_s_order():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 2 * 9)).astype(np.float32)
    y = np.asarray(pixel_shuffle(jnp.asarray(x), 3))
    assert y.shape == (2, 9, 15, 2)
    for c in range(
        2
    ):  # torch.nn.PixelShuffle: channel c * r^2 + i * r + j is at (h r + i, w r + j)
        for i in range(3):
            for j in range(3):
                np.testing.assert_array_equal(y[:, i::3, j::3, c], x[..., 9 * c + 3 * i + j])
    volume = pixel_shuffle(jnp.asarray(normal(1, 2, 3, 4, 8)), 2)
    assert volume.shape == (1, 4, 6, 8, 1)
    with pytest.raises(ValueError, match="18 channels: expected a multiple of 4"):
        pixel_shuffle(jnp.asarray(x), 2)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_a_constant_and_a_ramp_are_enlarged_to_the_same(kind):
    ramp = jnp.broadcast_to(jnp.arange(12.0)[None, None, :, None], (1, 4, 12, 1))
    y = np.asarray(enlarge(ramp, 2, kind))
    assert y.shape == (1, 8, 24, 1)
    inside = y[0, :, 6:-6, 0]
    np.testing.assert_allclose(inside, np.broadcast_to(np.arange(6, 18) / 2 - 0.25, (8, 12)), rtol=1e-5)  # fmt: skip
    np.testing.assert_allclose(enlarge(jnp.full((1, 4, 4, 3), 7.0), 4, kind), 7.0, rtol=1e-6)


NETS = {
    "srresnet": lambda **f: zoo.srresnet(3, 2, 8, **f),
    "srresnet without norm": lambda **f: zoo.srresnet(2, 2, 8, norm=False, **f),
    "msrresnet": lambda **f: zoo.msrresnet(4, 2, 8, **f),
    "edsr": lambda **f: zoo.edsr(2, 2, 8, 0.1, **f),
}


@pytest.mark.parametrize("name", NETS)
def test_any_size_is_enlarged_and_the_twin_has_no_shortcut(name):
    net = NETS[name]()
    variables = random_variables(net, (6, 5, 3))
    x = jax.nn.sigmoid(normal(1, 6, 5, 3))
    y = apply(net, variables, x, train=False)
    assert y.shape == (1, 6 * net.scale, 5 * net.scale, 3)
    assert y.dtype == jnp.float32
    twin = zoo.plain(net)
    assert isinstance(backbone_of(twin).shortcut(), NoShortcut)
    other = apply(twin, variables, x, train=False)  # the same variables, another function
    assert not np.allclose(y, other)
    deep = NETS[name](depths=(4,), scan=True)  # stacked blocks give what unrolled ones do
    values = random_variables(deep, (6, 5, 3))
    assert "blocks" in values["params"]["backbone"]["stage1"]
    assert apply(deep, values, x, train=False).shape == y.shape


@pytest.mark.parametrize("name", NETS)
def test_nothing_beyond_the_reach_changes_a_position(name):
    net = NETS[name]()
    side = 2 * net.reach + 3
    variables = random_variables(net, (side, side, 3))
    x = jax.nn.sigmoid(normal(1, side, side, 3))
    middle = side // 2
    out = slice(middle * net.scale, (middle + 1) * net.scale)

    def seen(distance):
        changed = x.at[0, middle, middle + distance].add(1.0)
        one, other = (
            apply(net, variables, each, train=False)[0, out, out] for each in (x, changed)
        )
        return float(jnp.abs(one - other).max())

    assert seen(net.reach + 1) == 0
    assert seen(1) > 0


def test_slopes_of_prelu_are_parameters_of_every_activation():
    params = abstract_variables(zoo.srresnet(4, 2, 8), (8, 8, 3))["params"]
    assert set(params["head"]) == {"closing", "norm", "up1", "act1", "up2", "act2", "out"}
    assert params["backbone"]["stage1"]["block1"]["act1"]["slope"].shape == ()
    assert params["backbone"]["stem"]["act"]["slope"].shape == ()


def test_the_discriminator_judges_pictures():
    net = zoo.srgan_discriminator(widths=(4, 4, 8, 8), dense=6)
    x = jax.nn.sigmoid(normal(2, 16, 12, 3))
    variables = net.init(jax.random.key(0), x, train=True)
    assert net.apply(variables, x, train=False).shape == (2,)
    assert set(variables["batch_stats"]) == {"norm2", "norm3", "norm4"}
    kernel = variables["params"]["dense"]["kernel"]
    assert kernel.shape == (4 * 3 * 8, 6)  # two strides of 2
    big = abstract_variables(zoo.srgan_discriminator(), (96, 96, 3))["params"]
    assert big["dense"]["kernel"].shape == (6 * 6 * 512, 1024)


def test_a_scale_that_no_shuffle_makes_is_refused():
    with pytest.raises(ValueError, match="scale=5: expected one of 1, 2, 3, 4, 8"):
        zoo.edsr(5)
