"""Nets for clips: parameters by a second way of counting, shapes, layouts, plain twins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.gates import SelfGatedSqueezeExcite, SqueezeExcite
from jresnet.models.published import abstract_variables, count_net
from jresnet.weights import layouts
from jresnet.weights.convert import from_torch, to_torch
from tests.nets import apply, normal, random_variables

CLIP = (16, 112, 112, 3)
TINY = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}


def of_hara(depths, bottleneck, classes=400, projections=True):
    """Parameters of a 3-D ResNet, added up layer by layer: kernels without bias, norms of two."""
    total = 7**3 * 3 * 64 + 2 * 64
    inputs = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        outputs = 4 * width if bottleneck else width
        for _ in range(depth):
            if bottleneck:
                total += inputs * width + 27 * width * width + width * outputs
                total += 2 * (width + width + outputs)
            else:
                total += 27 * (inputs * width + width * width) + 4 * width
            if inputs != outputs and projections:
                total += inputs * outputs + 2 * outputs
            inputs = outputs
    return total + (inputs + 1) * classes


@pytest.mark.parametrize(
    ("build", "depths", "bottleneck", "projections"),
    [
        (zoo.hara_r3d_18, (2, 2, 2, 2), False, False),
        (zoo.hara_r3d_34, (3, 4, 6, 3), False, False),
        (zoo.hara_r3d_50, (3, 4, 6, 3), True, True),
        (zoo.hara_r3d_101, (3, 4, 23, 3), True, True),
        (zoo.hara_r3d_152, (3, 8, 36, 3), True, True),
    ],
)
def test_parameters_of_hara_s_nets(build, depths, bottleneck, projections):
    expected = of_hara(depths, bottleneck, projections=projections)
    assert count_net(build(), CLIP).parameters == expected


@pytest.mark.parametrize(
    ("build", "depths"), [(zoo.r3d_rs_50, (3, 4, 6, 3)), (zoo.r3d_rs_200, (3, 24, 36, 3))]
)
def test_parameters_of_r3d_rs(build, depths):
    """Added up layer by layer, with self-gating in the last block of each stage alone."""
    total = 45 * 3 * 32 + 2 * 32 + 9 * 32 * 32 + 2 * 32 + 9 * 32 * 64 + 2 * 64
    inputs = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        outputs, time = 4 * width, 3 if stage > 1 else 1
        for number in range(1, depth + 1):
            total += time * inputs * width + 9 * width * width + width * outputs
            total += 2 * (width + width + outputs)
            total += (outputs + 1) * width + (width + 1) * outputs  # squeeze and excite
            if inputs != outputs:
                total += inputs * outputs + 2 * outputs
            if number == depth:
                total += (outputs + 1) * outputs
            inputs = outputs
    assert count_net(build(), CLIP).parameters == total + (inputs + 1) * 400
    backbone = abstract_variables(build(), CLIP)["params"]["backbone"]
    gated = {
        (stage, block)
        for stage, blocks in backbone.items()
        if stage.startswith("stage")
        for block, parts in blocks.items()
        if "self_gating" in parts["gate"]
    }
    assert gated == {(f"stage{n}", f"block{depth}") for n, depth in enumerate(depths, 1)}


def test_self_gating_is_its_formula():
    x = normal(2, 3, 4, 5, 16)
    gate = SelfGatedSqueezeExcite(4)
    variables = gate.init(jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: leaf + 0.3, variables["params"])
    kernel, bias = (np.asarray(params["self_gating"][name]) for name in ("kernel", "bias"))
    means = np.asarray(x, np.float64).mean((1, 2, 3))
    weights = 1 / (1 + np.exp(-(means @ kernel.reshape(16, 16) + bias)))
    rest = {"params": {name: params[name] for name in ("squeeze", "excite")}}
    gated = jnp.asarray(np.asarray(x) * weights[:, None, None, None], jnp.float32)
    np.testing.assert_allclose(
        gate.apply({"params": params}, x), SqueezeExcite(4).apply(rest, gated), atol=1e-5
    )


def test_shortcut_b_in_the_place_of_a():
    count = count_net(zoo.hara_r3d_18(shortcut="B"), CLIP).parameters
    assert count == of_hara((2, 2, 2, 2), False)


@pytest.mark.parametrize(
    ("deep", "shallow", "cubic"),
    [
        (zoo.r3d_34, zoo.r3d_18, True),
        (zoo.r2plus1d_34, zoo.r2plus1d_18, True),
        (zoo.mc3_34, zoo.mc3_18, False),
    ],
)
def test_nets_of_34_layers_have_eight_more_blocks(deep, shallow, cubic):
    """The added blocks have the 27 n² weights of two 3x3x3 convolutions, or of 1x3x3 in MC3."""
    more = count_net(deep(), CLIP).parameters - count_net(shallow(), CLIP).parameters
    widths = [64] + 2 * [128] + 4 * [256] + [512]
    kernels = [27 if cubic or width == 64 else 9 for width in widths]
    weights = sum(2 * k * width * width for k, width in zip(kernels, widths, strict=True))
    # Norms, and in R(2+1)D those between the factors and the rounding of their channels.
    assert 0 < more - weights < 0.01 * weights


@pytest.mark.parametrize(
    ("build", "time", "side"),
    [
        (zoo.r3d_34, (32, 32, 16, 8, 4), 56),
        (zoo.mc3_34, (32, 32, 32, 32, 32), 56),
        (zoo.r2plus1d_34, (32, 32, 16, 8, 4), 56),
        (zoo.hara_r3d_50, (16, 16, 8, 4, 2), 28),
        (zoo.r3d_rs_50, (16, 16, 16, 16, 16), 28),
    ],
)
def test_where_time_and_space_are_strided(build, time, side):
    shape = (32, 112, 112, 3)
    model = build(depths=(1, 1, 1, 1))
    variables = abstract_variables(model, shape)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    features = jax.eval_shape(
        lambda v, x: model.apply(v, x, train=False, method="features"), variables, x
    )
    shapes = [features[name].shape for name in ("stem", "stage1", "stage2", "stage3", "stage4")]
    assert tuple(shape[1] for shape in shapes) == time
    sides = (side, side, side // 2, side // 4, -(-side // 8))
    assert tuple(shape[2] for shape in shapes) == sides


@pytest.mark.parametrize("build", [zoo.r3d_34, zoo.r2plus1d_34, zoo.hara_r3d_50, zoo.r3d_rs_50])
def test_the_plain_twin_and_the_round_trip_of_a_checkpoint(build):
    model = build(7, **TINY)
    variables = random_variables(model, (4, 16, 16, 3))
    state = to_torch(variables, model)
    again = to_torch(from_torch(state, model), model)
    assert state.keys() == again.keys()
    assert all(np.array_equal(value, again[name]) for name, value in state.items())
    twin = abstract_variables(zoo.plain(model), (4, 16, 16, 3))["params"]["backbone"]
    assert not [path for path, _ in jax.tree.leaves_with_path(twin) if "shortcut" in str(path)]


def test_hara_s_checkpoints_have_torchvision_s_names_and_five_axes():
    model = zoo.hara_r3d_50(7, **TINY)
    state = to_torch(random_variables(model, (4, 16, 16, 3)), model)
    assert state["conv1.weight"].shape == (64, 3, 7, 7, 7)
    assert state["layer3.0.downsample.0.weight"].shape == (64, 32, 1, 1, 1)
    assert state["layer1.0.conv2.weight"].shape == (8, 8, 3, 3, 3)
    assert layouts.recognise(state) is layouts.TORCHVISION
    # His files were written from DataParallel.
    wrapped = {f"module.{name}": value for name, value in state.items()}
    clip = normal(1, 4, 16, 16, 3)
    one, other = (from_torch(s, model) for s in (state, wrapped))
    np.testing.assert_array_equal(
        apply(model, one, clip, train=False), apply(model, other, clip, train=False)
    )


def test_zeros_of_shortcut_a_stand_behind_what_is_there():
    """A block whose branch is nothing gives every other input, then zeros."""
    model = zoo.hara_r3d_18(7, depths=(1, 1), widths=(64, 96), strides=(1, 2))
    variables = random_variables(model, (4, 16, 16, 3))
    params = variables["params"]["backbone"]["stage2"]["block1"]
    params["norm2"] = jax.tree.map(jnp.zeros_like, params["norm2"])
    features = apply(model, variables, normal(1, 4, 16, 16, 3), train=False, method="features")
    before, after = features["stage1"], features["stage2"]
    assert not after[..., 64:].any()
    np.testing.assert_allclose(after[..., :64], before[:, ::2, ::2, ::2], atol=1e-6)
