"""Properties of the residual block, whatever its numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jresnet.models import zoo
from jresnet.models.block import BASIC, BOTTLENECK, POSTACTIVATION, PREACTIVATION, Block, ConvSpec
from jresnet.models.gates import SkipInit, drop_path
from jresnet.models.layers import BatchNorm, Conv, GroupNorm
from jresnet.models.part import part
from jresnet.models.pools import average_pool, max_pool
from jresnet.models.published import abstract_variables, count_net
from jresnet.models.resnet import ResNet
from jresnet.models.shortcuts import IdentityOnly, NoShortcut, Projection, ScaledIdentity, ZeroPad
from tests.nets import apply, normal, random_variables


@pytest.mark.parametrize("branch", [BASIC, BOTTLENECK], ids=["basic", "bottleneck"])
@pytest.mark.parametrize("train", [True, False])
def test_a_zeroed_last_norm_makes_the_block_the_identity_on_what_relu_leaves(branch, train):
    width = 8 if branch is BASIC else 2
    block = Block(branch, width, zero_init_residual=True)
    x = jnp.abs(normal(4, 6, 6, 8))
    variables = block.init(jax.random.key(0), x, train=False)
    y, _ = block.apply(variables, x, train=train, mutable=["batch_stats"])
    np.testing.assert_array_equal(y, x)


def test_skip_init_makes_a_preactivation_block_the_identity():
    block = Block(BASIC, 8, order=PREACTIVATION, gate=SkipInit)
    x = normal(4, 6, 6, 8)
    variables = block.init(jax.random.key(0), x, train=False)
    np.testing.assert_array_equal(block.apply(variables, x, train=False), x)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("order", [POSTACTIVATION, PREACTIVATION])
def test_any_rank(rank, order):
    block = Block(BASIC, 6, strides=2, order=order)
    x = normal(2, *(9, 8, 7)[:rank], 4)
    variables = random_variables(block, x.shape[1:])
    assert apply(block, variables, x, train=False).shape == (2, *(5, 4, 4)[:rank], 6)
    assert variables["params"]["conv1"]["kernel"].shape == (3,) * rank + (4, 6)


def test_a_2d_block_equals_the_3d_block_on_one_frame():
    """Inflation with the 2-D kernel at the centre of the third axis changes nothing."""
    x = normal(2, 1, 8, 8, 4)
    block = Block(BASIC, 8, strides=(1, 2, 2))
    flat = Block(BASIC, 8, strides=2)
    variables = random_variables(flat, (8, 8, 4))

    def inflate(path, leaf):
        return jnp.zeros((3, *leaf.shape)).at[1].set(leaf) if leaf.ndim == 4 else leaf

    inflated = jax.tree_util.tree_map_with_path(inflate, variables)
    shortcut = variables["params"]["shortcut"]["conv"]["kernel"]
    inflated["params"]["shortcut"]["conv"]["kernel"] = shortcut[None]
    np.testing.assert_allclose(
        apply(block, inflated, x, train=False)[:, 0],
        apply(flat, variables, x[:, 0], train=False),
        rtol=1e-5,
        atol=1e-5,
    )


def test_parameters_do_not_depend_on_the_resolution():
    for build in (zoo.resnet18, zoo.resnet50d, zoo.cifar_resnet, zoo.resnetv2_50):
        counts = {count_net(build(), (side, side, 3)).parameters for side in (32, 33, 64)}
        assert len(counts) == 1


def test_explicit_names():
    params = abstract_variables(zoo.resnet50(), (64, 64, 3))["params"]
    backbone = params["backbone"]
    assert set(params) == {"backbone", "head"}
    assert set(backbone["stem"]) == {"conv", "norm"}
    assert set(backbone["stage2"]) == {"block1", "block2", "block3", "block4"}
    assert set(backbone["stage2"]["block1"]) == {
        "conv1", "norm1", "conv2", "norm2", "conv3", "norm3", "shortcut",
    }  # fmt: skip
    assert set(backbone["stage2"]["block1"]["shortcut"]) == {"conv", "norm"}
    assert "shortcut" not in backbone["stage2"]["block2"]


# ResNeXt, arXiv:1611.05431, figure 3.
def test_the_three_forms_of_resnext_are_equal():
    cardinality, d, channels = 4, 3, 10
    inner = cardinality * d
    branch = (
        ConvSpec(1, inner / channels),
        ConvSpec(3, inner / channels, grouped=True),
        ConvSpec(1),
    )
    grouped = Block(branch, channels, groups=cardinality, norm=no_norm, act=nn.tanh)
    x = normal(2, 7, 7, channels)
    variables = grouped.init(jax.random.key(0), x, train=False)
    k1, k2, k3 = (variables["params"][f"conv{i}"]["kernel"] for i in (1, 2, 3))

    def conv(x, kernel) -> jax.Array:
        layer: Any = Conv(kernel.shape[-1], kernel.shape[0])
        return layer.apply({"params": {"kernel": kernel}}, x)

    paths = [slice(i * d, (i + 1) * d) for i in range(cardinality)]
    middles = [jnp.tanh(conv(jnp.tanh(conv(x, k1[..., p])), k2[..., p])) for p in paths]
    parts = [conv(m, k3[:, :, p]) for m, p in zip(middles, paths, strict=True)]
    form_a = jnp.sum(jnp.stack(parts), 0)
    form_b = conv(jnp.concatenate(middles, -1), k3)
    form_c = grouped.apply(variables, x, train=False)
    np.testing.assert_allclose(jnp.tanh(form_a + x), form_c, atol=1e-5)
    np.testing.assert_allclose(jnp.tanh(form_b + x), form_c, atol=1e-5)


def no_norm(**_):
    return lambda x, train: x


@pytest.mark.parametrize("preactivation", [False, True])
def test_gates_scale_each_block_s_branch(preactivation):
    net = zoo.cifar_resnet(14, preactivation=preactivation)
    x = normal(2, 8, 8, 3)
    variables = random_variables(net, (8, 8, 3))

    def stage3(gates):
        features = apply(net, variables, x, train=False, gates=gates, method="features")
        return features["stage3"]

    ungated = apply(net, variables, x, train=False, method="features")["stage3"]
    np.testing.assert_allclose(stage3(jnp.ones(6)), ungated, rtol=1e-6, atol=1e-6)
    # A gate of zero is a block whose branch ends in zero: the last convolution's (pre-activation)
    # or the last norm's (post-activation) output.
    block = variables["params"]["backbone"]["stage2"]["block2"]
    for name in ("conv2",) if preactivation else ("norm2",):
        block[name] = jax.tree.map(jnp.zeros_like, block[name])
    without = apply(net, variables, x, train=False, method="features")["stage3"]
    gated = stage3(jnp.ones(6).at[3].set(0.0))
    np.testing.assert_allclose(gated, without, rtol=1e-6, atol=1e-6)
    assert np.abs(gated - ungated).max() > 0.1


def test_gates_of_the_wrong_shape_are_refused():
    net, x = zoo.cifar_resnet(14), normal(1, 8, 8, 3)
    with pytest.raises(ValueError, match="this net has 6 blocks"):
        net.init(jax.random.key(0), x, train=False, gates=jnp.ones(5))


SHORTCUTS = {
    "zero pad": (ZeroPad, False),
    "identity only": (IdentityOnly, False),
    "none": (NoShortcut, False),
    "scaled": (ScaledIdentity, False),
    "projection": (Projection, True),
    "pooled projection": (part(Projection, pool=True), True),
}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_which_shortcuts_have_parameters(name):
    shortcut, has = SHORTCUTS[name]
    block = Block(BASIC, 8, strides=2, shortcut=shortcut)
    variables = abstract_variables(block, (8, 8, 4))
    assert ("shortcut" in variables["params"]) == has
    same = Block(BASIC, 8, shortcut=shortcut)
    variables = abstract_variables(same, (8, 8, 8))
    assert "shortcut" not in variables["params"]


def test_option_c_projects_in_every_block():
    block = Block(BASIC, 8, shortcut=part(Projection, always=True))
    variables = abstract_variables(block, (8, 8, 8))
    assert set(variables["params"]["shortcut"]) == {"conv", "norm"}


def test_zero_pad_subsamples_and_pads_both_sides():
    x = normal(2, 5, 6, 4)
    y = ZeroPad().apply({}, x, 9, 2, train=False)
    assert y.shape == (2, 3, 3, 9)
    np.testing.assert_array_equal(y[..., 2:6], x[:, ::2, ::2])
    assert not y[..., :2].any()
    assert not y[..., 6:].any()


def test_scaled_identities_decay_as_a_power_of_the_depth():
    net = ResNet(
        (5,), BASIC, (8,), (1,), stem=zoo.SMALL_STEM, shortcut=part(ScaledIdentity, scale=0.5)
    )
    net = net.clone(order=PREACTIVATION, widths=(64,))
    x = normal(1, 4, 4, 3)
    variables = random_variables(net, (4, 4, 3))
    _, seen = jax.jit(
        lambda v, x: net.apply(v, x, train=False, gates=jnp.zeros(5), capture_intermediates=True)
    )(variables, x)
    blocks = seen["intermediates"]["stage1"]
    stem = seen["intermediates"]["stem"]["__call__"][0]
    np.testing.assert_allclose(blocks["block5"]["__call__"][0], stem * 0.5**5, rtol=1e-6)


def test_preactivation_projects_the_activated_input_and_keeps_the_raw_identity():
    x = -jnp.abs(normal(2, 4, 4, 8))  # nothing of it passes a ReLU
    for features, survives in ((8, True), (16, False)):
        block = Block(BASIC, features, order=PREACTIVATION, shortcut=part(Projection, bare=True))
        variables = random_variables(block, x.shape[1:])
        variables["params"]["norm1"]["bias"] -= 1.0
        y = block.apply(variables, x, jnp.zeros(()), train=False)
        assert bool(jnp.any(y != 0)) == survives


def test_drop_path_drops_whole_examples_and_keeps_the_mean():
    x = jnp.ones((4000, 2, 2, 3))
    y = drop_path(x, 0.3, jax.random.key(0))
    kept = y[:, 0, 0, 0] > 0
    assert jnp.all((y > 0) == kept[:, None, None, None])
    assert float(kept.mean()) == pytest.approx(0.7, abs=0.03)
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)


def test_stochastic_depth_spares_the_first_block_drops_the_last_and_is_off_in_evaluation():
    net = zoo.cifar_resnet(14, drop_path=1.0)  # the last block's branch always goes
    x, variables = normal(2, 8, 8, 3), random_variables(zoo.cifar_resnet(14), (8, 8, 3))
    before = apply(net, variables, x, train=True)[0]
    evaluated = apply(net, variables, x, train=False)
    last = variables["params"]["backbone"]["stage3"]["block2"]
    last["norm2"] = jax.tree.map(lambda leaf: leaf + 7.0, last["norm2"])
    np.testing.assert_array_equal(apply(net, variables, x, train=True)[0], before)
    assert np.abs(apply(net, variables, x, train=False) - evaluated).max() > 1e-2
    first = variables["params"]["backbone"]["stage1"]["block1"]
    first["norm2"] = jax.tree.map(lambda leaf: leaf + 7.0, first["norm2"])
    assert np.abs(apply(net, variables, x, train=True)[0] - before).max() > 1e-2


def test_dropout_sits_between_the_convolutions_of_wide_nets():
    net, x = zoo.wrn(10, 1, dropout=0.5), normal(2, 8, 8, 3)
    variables = random_variables(net, (8, 8, 3))
    one, other = (apply(net, variables, x, seed=seed, train=True)[0] for seed in (1, 2))
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(
        apply(net, variables, x, train=False), apply(zoo.wrn(10, 1), variables, x, train=False)
    )


def test_bfloat16_computes_low_and_keeps_parameters_statistics_and_logits_high():
    net, x = zoo.cifar_resnet(8, dtype=jnp.bfloat16), normal(4, 8, 8, 3)
    variables = random_variables(net, (8, 8, 3))
    assert {leaf.dtype for leaf in jax.tree.leaves(abstract_variables(net, (8, 8, 3)))} == {
        jnp.dtype("float32")
    }
    logits, state = apply(net, variables, x, train=True)
    features = apply(net, variables, x, train=False, method="features")
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in features.values()} == {jnp.dtype("bfloat16")}
    exact = apply(zoo.cifar_resnet(8), variables, x, train=True)[0]
    np.testing.assert_allclose(logits, exact, atol=0.05)


def test_a_net_with_another_norm():
    net = zoo.resnet18(10, norm=part(GroupNorm, groups=8))
    shapes = abstract_variables(net, (32, 32, 3))
    assert "batch_stats" not in shapes
    assert set(shapes["params"]["backbone"]["stem"]["norm"]) == {"scale", "bias"}


def test_equal_parts_and_equal_nets_compare_equal():
    assert part(BatchNorm, group=32) == part(BatchNorm, group=32) != part(BatchNorm, group=16)
    assert zoo.resnet50d() == zoo.resnet50d() != zoo.resnet50()


def test_average_pool_leaves_the_padding_out_of_the_mean():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    y = average_pool(x, 2)[0, ..., 0]
    np.testing.assert_allclose(y, [[3, 5, 6.5], [10.5, 12.5, 14]])


def test_max_pool_pads_both_sides_with_nothing():
    x = -jnp.arange(1.0, 7.0).reshape(1, 6, 1)
    np.testing.assert_allclose(max_pool(x)[0, :, 0], [-1, -2, -4])
