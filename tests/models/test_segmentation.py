"""Nets that label every pixel: other code bases' numbers, shapes, twins, ranks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.unet import UNet, UNetHead
from jresnet.models.part import part
from jresnet.models.published import abstract_variables
from jresnet.models.upsample import ConvTranspose, repeat, resize
from jresnet.weights import from_torch, to_torch
from tests.nets import normal


@pytest.fixture
def load(golden, monkeypatch):
    """A golden file by name: what it holds, its state dict, its input with channels last."""
    monkeypatch.syspath_prepend(str(golden))
    from weights import (  # type: ignore[import-not-found]
        load_golden,
        make_input,
        make_state_dict,
    )

    def load(name):
        gold = load_golden(golden / f"{name}.npz")
        x = jnp.asarray(np.moveaxis(make_input(gold["meta"]["input"]), 1, -1))
        return gold, make_state_dict(gold["manifest"]), x

    return load


def apply(net, variables, x, **options):
    return jax.jit(lambda v, x: net.apply(v, x, train=False, **options))(variables, x)


def first(array):
    return np.moveaxis(np.asarray(array), -1, 1)


def count(net, image):
    return sum(x.size for x in jax.tree.leaves(abstract_variables(net, image)["params"]))


def returned(net, state, layout_names):
    """Nothing is lost on the way back to torch's names."""
    back = to_torch(from_torch(state, net), net)
    kept = {name for name in state if not name.endswith("num_batches_tracked")}
    assert back.keys() == kept == set(layout_names) - (set(state) - kept)
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


def test_deeplabv3_gives_torchvision_s_maps(load):
    gold, state, x = load("deeplabv3_resnet50")
    net = zoo.deeplabv3_resnet50(21)
    variables = from_torch(state, net)
    maps = apply(net, variables, x)
    assert set(maps) == {"out", "aux"}
    for name in maps:
        ours = first(maps[name])
        assert ours.shape == (2, 21, 96, 128)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours[:, :, ::8, ::8], gold[f"{name}.every8"], atol=1e-4)
        np.testing.assert_array_equal(ours.argmax(1), gold[f"{name}.argmax"])
    returned(net, state, state)


def test_u_net_gives_segmentation_models_pytorch_s_map(load):
    gold, state, x = load("smp_unet_resnet34")
    net = zoo.unet_resnet34(3)
    ours = first(apply(net, from_torch(state, net), x))
    np.testing.assert_allclose(ours[:, :, ::2, ::2], gold["out.every2"], atol=1e-4)
    np.testing.assert_array_equal(ours.argmax(1), gold["out.argmax"])
    returned(net, state, state)


def test_medicalnet_gives_its_maps(load):
    gold, state, x = load("medicalnet_resnet10")
    net = zoo.medicalnet_resnet10(2)
    variables = from_torch(state, net)
    features = apply(net, variables, x, method="features")
    last = first(features["stage4"])
    np.testing.assert_allclose(last[:, ::4], gold["layer4.every4ch"], atol=1e-4)
    size = tuple(x.shape[1:-1])
    head, features = net.head(2), {"stem": features["stem"], **features}  # jit sorts them
    features["stage4"] = features.pop("stage4")
    low = head.apply(
        {kind: tree["head"] for kind, tree in variables.items()}, features, size, train=False
    )
    np.testing.assert_allclose(first(low), gold["seg"], atol=1e-4)
    assert apply(net, variables, x).shape == (*x.shape[:-1], 2)
    returned(net, state, state)


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        # torchvision 0.28, with the auxiliary head; 24,436,659 is smp's with 3 classes.
        (zoo.fcn_resnet50(), 35_322_218),
        (zoo.fcn_resnet101(), 54_314_346),
        (zoo.deeplabv3_resnet50(), 42_004_074),
        (zoo.deeplabv3_resnet101(), 60_996_202),
        (zoo.unet_resnet34(3), 24_436_659),
    ],
    ids=["fcn50", "fcn101", "deeplab50", "deeplab101", "unet34"],
)
def test_parameters_are_the_published_ones(net, parameters):
    assert count(net, (64, 64, 3)) == parameters


SMALL = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}
HEADS = {
    "fcn": lambda **f: zoo.fcn(zoo.resnet18(**SMALL, **f), 5),
    "deeplabv3": lambda **f: zoo.deeplabv3(zoo.resnet18(**SMALL, **f), 5, rates=(2, 3)),
    "deeplabv3plus": lambda **f: zoo.deeplabv3plus(zoo.resnet18(**SMALL, **f), 5, rates=(2, 3)),
    "unet": lambda **f: zoo.unet(zoo.resnet18(**SMALL, **f), 5),
    "residual_unet": lambda **f: zoo.residual_unet(
        5, (1, 1, 1, 1), (8, 8, 16, 16), (1, 2, 2, 2), **f
    ),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("shape", [(2, 37, 50, 4), (1, 9, 18, 21, 1)], ids=["2d", "3d"])
def test_maps_are_float32_at_the_input_s_size_whatever_rank_and_channels(name, shape):
    net: Segmenter = HEADS[name](dtype=jnp.bfloat16)
    output = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False)[0],
        jax.ShapeDtypeStruct(shape, jnp.float32),
    )
    for logits in output.values() if isinstance(output, dict) else [output]:
        assert logits.shape == (*shape[:-1], 5)
        assert logits.dtype == jnp.float32


@pytest.mark.parametrize("name", HEADS)
def test_plain_twins_have_the_same_parameters_but_those_of_the_shortcuts(name):
    net = HEADS[name]()
    paths = []
    for twin in (net, zoo.plain(net)):
        params = abstract_variables(twin, (32, 32, 3))["params"]
        leaves = jax.tree_util.tree_leaves_with_path(params)
        paths.append({jax.tree_util.keystr(path) for path, _ in leaves})
    assert paths[1] < paths[0]
    assert all("shortcut" in path for path in paths[0] - paths[1])


def test_a_u_net_s_parameters_do_not_depend_on_the_picture_s_size():
    net = HEADS["unet"]()
    sizes = [(17, 1), (17, 17), (64, 64)]
    first, *others = [jax.tree.map(jnp.shape, abstract_variables(net, (*s, 3))) for s in sizes]
    assert all(other == first for other in others)
    for size in [(1, 1), (16, 16), (3, 16)]:
        with pytest.raises(
            ValueError, match=rf"images of \({size[0]}, .*: expected a side of .* 17,"
        ):
            abstract_variables(net, (*size, 3))
    flat = zoo.unet(zoo.resnet18(depths=(1, 1), widths=(8, 8), strides=((1, 2), (2, 2))), 5)
    with pytest.raises(ValueError, match=r"expected a side of at least \(5, 9\)"):
        abstract_variables(flat, (4, 8, 3))
    one = zoo.unet(zoo.resnet18(depths=(1,), widths=(8,), strides=(1,), stem=zoo.SMALL_STEM), 5)
    with pytest.raises(ValueError, match=r"features of the resolution \(8, 8\) alone"):
        abstract_variables(one, (8, 8, 3))


def test_deep_supervision_gives_a_map_a_level():
    net = zoo.residual_unet(3, (1, 1, 1), (8, 8, 8), (1, 2, 2), deep=True)
    output = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False)[0],
        jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32),
    )
    assert {name: x.shape[1:3] for name, x in output.items()} == {
        "out": (32, 32),
        "level1": (16, 16),
    }


@pytest.mark.parametrize("size", [(16, 24), (13, 18)])
def test_shuffled_classes_are_those_of_the_places_within_a_position(size):
    backbone = zoo.resnet18(depths=(1,), widths=(8,), strides=(2,)).backbone
    fine = UNet(backbone, 3, part(UNetHead, channels=(6,), full=False, shuffle=4))
    x = normal(1, *size, 3)
    variables = fine.init(jax.random.key(0), x, train=False)
    features = fine.apply(variables, x, train=False, method="features")
    head = {"params": variables["params"]["head"], "batch_stats": variables["batch_stats"]["head"]}
    joined, whole = (
        UNetHead(classes, channels=(6,), full=False, shuffle=shuffle).apply(
            head, features, size, train=False
        )
        for classes, shuffle in ((3 * 16, 1), (3, 4))
    )
    # Position (1, 2), place (1, 0) within it: pixel (5, 8), and class c is channel 16 c + 4.
    np.testing.assert_array_equal(whole[0, 5, 8], joined[0, 1, 2, 4::16])
    assert whole.shape == (1, *size, 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_transposed_convolution_is_lax_s(rank):
    x = normal(2, *(3, 4, 5)[:rank], 6)
    layer = ConvTranspose(7, 2)
    variables = layer.init(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    spatial = "DHW"[-rank:]
    flipped = jnp.flip(kernel, range(rank))  # torch's kernel lies the other way round
    wanted = jax.lax.conv_transpose(
        x, flipped, (2,) * rank, "VALID",
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
    )  # fmt: skip
    np.testing.assert_allclose(layer.apply(variables, x), wanted, atol=1e-5)


def test_interpolation_by_hand():
    x = jnp.array([0.0, 1.0, 2.0])[None, :, None]
    np.testing.assert_allclose(resize(x, (5,), align_corners=True)[0, :, 0], [0, 0.5, 1, 1.5, 2])
    borders = [0, 1 / 4, 3 / 4, 5 / 4, 7 / 4, 2]
    np.testing.assert_allclose(resize(x, (6,))[0, :, 0], borders)
    np.testing.assert_array_equal(repeat(x, 2)[0, :, 0], [0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="expected 1 entries"):
        resize(x, (6, 6))


def nnunet_parameters(channels, classes, depths, widths, strides):
    """Parameters of nnU-Net's `ResidualEncoderUNet` in 3-D, layer by layer, of its published plan.

    Convolutions of 3 x 3 x 3 with a bias, each with an instance norm of two values a channel; a
    shortcut that changes channels has a convolution without a bias, and a norm.
    """

    def layer(before, after):
        return 27 * before * after + after + 2 * after

    x, total = widths[0], layer(channels, widths[0])
    for depth, width in zip(depths, widths, strict=True):
        for _ in range(depth):
            total += layer(x, width) + layer(width, width)
            total += 0 if x == width else x * width + 2 * width
            x = width
    for width, stride in zip(widths[-2::-1], strides[:0:-1], strict=True):
        total += stride**3 * x * width + width  # the transposed convolution
        total += layer(2 * width, width) + width * classes + classes
        x = width
    return total


def test_a_residual_encoder_has_the_parameters_of_nnu_net_s_plan_and_those_that_are_told():
    depths, widths, strides = (
        (1, 3, 4, 6, 6, 6), (32, 64, 128, 256, 320, 320), (1, 2, 2, 2, 2, 2),
    )  # fmt: skip
    published = nnunet_parameters(1, 2, depths, widths, strides)
    assert published == 102_349_770
    biases = sum(widths[1:])
    pooled = 320 * 320 + 2 * 320  # the last stage's shortcut strides with as many channels
    net = zoo.residual_unet(2, depths, widths, strides, deep=True)
    assert count(net, (32, 32, 32, 1)) == published + biases + pooled
