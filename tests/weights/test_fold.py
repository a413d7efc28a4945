"""A folded net gives the logits of the net that it was made from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.block import (
    BASIC,
    BN_AFTER_ADDITION,
    BOTTLENECK,
    PREACTIVATION,
    RELU_PREACTIVATION,
)
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, GroupNorm, standardise
from jresnet.models.part import part
from jresnet.models.pools import average_pool, max_pool
from jresnet.models.resnet import ResNet, Stem, StemConv
from jresnet.models.scan import stack
from jresnet.models.shortcuts import Projection
from jresnet.weights.fold import fold
from tests.nets import apply, normal, random_variables

IMAGE = (12, 12, 3)


def small(**fields):
    """Two stages of two blocks, the second strided and wider."""
    defaults = {"depths": (2, 2), "branch": BASIC, "widths": (8, 16), "strides": (1, 2)}
    return Classifier(ResNet(**(defaults | fields)), 5)


PREACTIVATED = {"order": PREACTIVATION, "shortcut": part(Projection, bare=True)}
DEEP = part(Stem, convs=(StemConv(4, 3, 2), StemConv(4, 3, 1), StemConv(8, 3, 1)))
# The net, and how many scales are left: those of norms without a convolution before them.
NETS = {
    "basic": (small(), 0),
    "bottleneck": (small(branch=BOTTLENECK, groups=2), 0),
    "deep stem": (small(stem=DEEP, shortcut=part(Projection, pool=True)), 0),
    "squeeze-excite": (small(gate=zoo.seresnet50().backbone.gate), 0),
    "zero-padded": (zoo.cifar_resnet(8, 5), 0),
    "biased convolutions": (small(conv=part(Conv, use_bias=True)), 0),
    "another epsilon": (small(norm=part(zoo.resnet18().backbone.norm, epsilon=0.3)), 0),
    "standardised": (small(conv=part(Conv, transform=standardise)), 11),
    "preactivation": (small(**PREACTIVATED), 5),
    "preactivation bottleneck": (small(branch=BOTTLENECK, **PREACTIVATED), 5),
    "preactivation with norms in shortcuts": (small(order=PREACTIVATION), 5),
    "preactivation with a deep stem": (small(stem=DEEP, **PREACTIVATED), 5),
    "norm behind the addition": (small(order=BN_AFTER_ADDITION), 4),
    "ReLU before the convolution": (small(order=RELU_PREACTIVATION), 0),
    "averaged": (small(downsample=average_pool), 0),
    "preactivation with max-pools": (
        small(downsample=lambda x, s: max_pool(x, s, s), **PREACTIVATED),
        9,
    ),
}


def signed_variables(net, image):
    """Random variables some of whose scales are negative: those do not pass through a ReLU."""
    variables = random_variables(net, image)
    alternate = lambda leaf: leaf * jnp.where(jnp.arange(leaf.size) % 3 == 1, -1.0, 1.0)  # noqa: E731
    variables["params"] = jax.tree_util.tree_map_with_path(
        lambda path, leaf: alternate(leaf) if path[-1].key == "scale" else leaf, variables["params"]
    )
    return variables


def scales(params):
    paths = jax.tree_util.tree_leaves_with_path(params)
    return sum(path[-1].key == "scale" for path, _ in paths)


def same_logits(net, variables, folded, params, image=IMAGE):
    x = normal(3, *image)
    wanted = np.asarray(apply(net, variables, x, train=False))
    got = np.asarray(apply(folded, params, x, train=False))
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("case", NETS)
def test_the_logits_stay_and_the_norms_go(case):
    net, left = NETS[case]
    variables = signed_variables(net, IMAGE)
    before = jax.tree.map(np.array, variables)
    folded, params = fold(net, variables)
    same_logits(net, variables, folded, params)
    assert list(params) == ["params"]
    assert scales(params) == left
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    jax.tree.map(np.testing.assert_array_equal, variables, before)


def test_factored_video_net():
    net = zoo.r2plus1d_18(4, depths=(1, 1), widths=(8, 16), strides=(1, 2))
    variables = signed_variables(net, (4, 8, 8, 3))
    folded, params = fold(net, variables)
    same_logits(net, variables, folded, params, (4, 8, 8, 3))
    assert scales(params) == 0


def test_scanned_blocks_stay_stacked():
    net = small(depths=(4, 3))
    scanned = net.clone(backbone=net.backbone.clone(scan=True))
    variables = signed_variables(net, IMAGE)
    folded, params = fold(scanned, stack(variables))
    assert "blocks" in params["params"]["backbone"]["stage1"]
    same_logits(net, variables, folded, params)


def test_another_norm_is_left_alone():
    net = small(norm=part(GroupNorm, groups=2))
    variables = random_variables(net, IMAGE)
    folded, params = fold(net, variables)
    assert folded == net
    assert params == variables
