"""Orders by slots, activations with parameters and dilations, against nets of other code bases."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import block as orders
from jresnet.models.block import BASIC, Block, ConvSpec, Order
from jresnet.models.layers import PReLU
from jresnet.models.part import part
from jresnet.models.published import abstract_variables
from jresnet.models.resnet import ResNet, Stem, StemConv
from tests.nets import apply, normal, random_variables
from tests.weights.test_parity import channels_first, channels_last, relative, tools  # noqa: F401

LEAVES = {
    "kernel": "weight", "scale": "weight", "slope": "weight", "bias": "bias",
    "mean": "running_mean", "var": "running_var",
}  # fmt: skip


def torch_name(path):
    """`stage1/block2/norm3/scale` as `layer1.1.bn3.weight`."""
    *owner, leaf = path
    match owner:
        case ["stem", layer]:
            layer = {"conv": "conv1", "norm": "bn1", "act": "prelu"}[layer]
        case ["norm"]:
            layer = "bn2"
        case _:
            stage, block, *inner = owner
            inner = {"shortcut/conv": "downsample.0", "shortcut/norm": "downsample.1"}.get(
                "/".join(inner), inner[0].replace("norm", "bn").replace("act1", "prelu")
            )
            layer = f"layer{stage[5:]}.{int(block[5:]) - 1}.{inner}"
    return f"{layer}.{LEAVES[leaf]}"


def convert(state, net, image):
    """Variables of a backbone from a torch state dict; every parameter must be there."""

    def take(path, leaf):
        value = state[torch_name([entry.key for entry in path[1:]])]
        value = np.moveaxis(value, (0, 1), (-1, -2)) if value.ndim > 1 else value
        assert value.shape == leaf.shape
        return jnp.asarray(value)

    return jax.tree_util.tree_map_with_path(take, abstract_variables(net, image))


def compare(gold, tools, features, pairs):  # noqa: F811
    for module, ours in pairs.items():
        value = channels_first(features[ours])
        assert tuple(gold[f"feat.{module}.shape"]) == value.shape
        scale = gold[f"feat.{module}.stats"][2]
        assert np.abs(tools.pick(value) - gold[f"feat.{module}.values"]).max() / scale < 1e-4
        stats = np.asarray([value.mean(), value.std(), np.abs(value).max()])
        assert relative(stats, gold[f"feat.{module}.stats"]) < 1e-4


@pytest.mark.slow
def test_face_nets_norm_conv_norm_act_conv_norm(golden, tools):  # noqa: F811
    net = ResNet(
        (2, 2, 2, 2),
        (ConvSpec(), ConvSpec(strided=True)),
        strides=(2, 2, 2, 2),
        stem=part(Stem, convs=(StemConv(64, 3, 1),), pool=None),
        order=Order(first=("norm",), last=("norm",), sum=(), shared=False),
        act=part(PReLU),
    )
    gold = tools.load_golden(golden / "iresnet18.npz")
    x = channels_last(tools.make_input(gold["meta"]["input"]))
    variables = convert(tools.make_state_dict(gold["manifest"]), net, x.shape[1:])
    features = apply(net, variables, x, train=False)
    pairs = {"prelu": "stem", "layer1": "stage1", "layer2": "stage2", "layer3": "stage3"}
    compare(gold, tools, features, pairs | {"bn2": "stage4"})


@pytest.mark.slow
def test_medical_nets_with_dilated_stages_in_three_dimensions(golden, tools):  # noqa: F811
    stem = part(Stem, convs=(StemConv(64, 7, 2),))
    net = ResNet((1,) * 4, BASIC, strides=(1, 2, 1, 1), dilations=(1, 1, 2, (4,)), stem=stem)
    gold = tools.load_golden(golden / "medicalnet_resnet10.npz")
    x = channels_last(tools.make_input(gold["meta"]["input"]))
    variables = convert(tools.make_state_dict(gold["manifest"]), net, x.shape[1:])
    features = apply(net, variables, x, train=False)
    compare(gold, tools, features, {f"layer{i}": f"stage{i}" for i in (1, 2, 3, 4)})


X = normal(2, 6, 6, 8)


def test_super_resolution_blocks_conv_norm_act_conv_norm_without_act_after_the_sum():
    block = Block(BASIC, 8, order=Order(sum=()), act=part(PReLU, shared=True))
    variables = random_variables(block, X.shape[1:])
    assert set(variables["params"]) == {"conv1", "norm1", "act1", "conv2", "norm2"}
    assert variables["params"]["act1"]["slope"].shape == ()
    y = apply(block, variables, X, train=False)
    same = Block(BASIC, 8, order=Order(sum=()), act=lambda x: jnp.where(x > 0, x, 0.25 * x))
    start = {**variables["params"], "act1": {"slope": jnp.asarray(0.25)}}
    without = {k: v for k, v in variables["params"].items() if k != "act1"}
    np.testing.assert_allclose(
        apply(block, {**variables, "params": start}, X, train=False),
        apply(same, {**variables, "params": without}, X, train=False),
        atol=1e-5,
    )
    assert y.shape == X.shape


@pytest.mark.parametrize(
    ("order", "followed"),
    [
        (orders.POSTACTIVATION, [1, 2, 3]),
        (orders.BN_AFTER_ADDITION, [1, 2, None]),
        (orders.RELU_BEFORE_ADDITION, [1, 2, 3]),
        (orders.RELU_PREACTIVATION, [1, 2, 3]),
        (orders.PREACTIVATION, [None, 1, 2]),
        (Order(first=("norm",), sum=()), [None, 1, 2, 3]),
        (Order(between=("act",), last=(), sum=()), []),
    ],
)
def test_norms_are_numbered_as_they_come(order, followed):
    branch = (ConvSpec(), ConvSpec(), ConvSpec())
    params = abstract_variables(Block(branch, 8, order=order), X.shape[1:])["params"]
    norms = [name for name in params if re.fullmatch(r"norm\d", name)]
    assert sorted(norms) == [f"norm{n}" for n in range(1, len(norms) + 1)]
    assert order.followed(3) == followed
    assert len(followed) == len(norms)


def test_dilations_are_those_of_each_block():
    stem = part(Stem, convs=(StemConv(8, 1, 1),), pool=None)
    net = ResNet((1, 3), BASIC, (8, 8), (1, 1), dilations=(1, (1, 2, 4)), stem=stem)
    assert net.plan(2)[1][2] == (1, 2, 4)
    variables = random_variables(net, (64, 64, 3))
    impulse = jnp.zeros((1, 64, 64, 3)).at[0, 32, 32].set(1.0)
    for dilations, reach in (((1, (1, 2, 4)), 2 * (1 + 1 + 2 + 4)), (None, 2 * 4)):
        dilated = net.clone(dilations=dilations)
        with_it, without = (
            apply(dilated, variables, x, train=False)["stage2"] for x in (impulse, 0 * impulse)
        )
        rows = np.flatnonzero(np.abs(with_it - without).max((0, 2, 3)) > 1e-6)
        assert (rows.min(), rows.max()) == (32 - reach, 32 + reach)


def test_output_stride_and_a_multi_grid_multiply():
    net = ResNet((1, 1, 1, 3), output_stride=16, dilations=(1, 1, 1, (1, 2, 4)))
    assert net.plan(2)[3][1:] == (1, (1, 4, 8))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dilations": (1, 1, 1)}, "need one entry a stage each"),
        ({"dilations": (1, 1, 1, (1, 2))}, "the stage has 3 blocks, each needs one"),
        ({"dilations": (1, 1, 1, 0)}, "the stage has 3 blocks"),
        ({"dilations": (1, 1, 1, (1, 2, 4)), "scan": True}, "scan needs one for all but the first"),
    ],
)
def test_dilations_that_do_not_fit(fields, words):
    net = ResNet((1, 1, 1, 3), BASIC, **fields)
    with pytest.raises(ValueError, match=words):
        abstract_variables(net, (64, 64, 3))
