"""A residual net, and a deeper one, computes the same as a plain net."""

import jax
import numpy as np
import pytest

from jresnet.analysis.chain import chain
from jresnet.analysis.expressiveness import (
    as_residual,
    biases_into_convolutions,
    branch_sizes,
    deepen,
)
from jresnet.models import zoo
from jresnet.models.layers import Conv, NoNorm, convolve
from jresnet.models.part import part
from jresnet.models.published import count_net
from jresnet.weights.fold import fold
from tests.nets import apply, normal, random_variables

IMAGE = (9, 8, 3)  # odd, so that strides and padding matter


def plain(**fields):
    return zoo.plain(zoo.cifar_resnet(norm=NoNorm, **fields))


@pytest.mark.parametrize(
    "net",
    [
        plain(depth=14, conv=part(Conv, use_bias=True)),
        plain(depth=11, bottleneck=True),
        plain(depth=8, output_stride=2),
    ],
    ids=["two convolutions with biases", "three convolutions", "dilated"],
)
def test_the_residual_twin_computes_the_same(net):
    x, variables = normal(2, *IMAGE), random_variables(net, IMAGE)
    model, converted = as_residual(net, variables)
    logits = apply(net, variables, x, train=False)
    assert np.abs(logits).max() > 1e-3
    np.testing.assert_allclose(
        apply(model, converted, x, train=False), logits, rtol=1e-4, atol=1e-5
    )
    # The branches are not those of the plain net: without them another function is left.
    gates = np.zeros(sum(net.backbone.depths), np.float32)
    rest = apply(model, converted, x, train=False, gates=jax.numpy.asarray(gates))
    assert np.abs(rest - logits).max() > 1e-3


def test_a_trained_plain_net_with_batch_norm_folded():
    net = zoo.plain(zoo.cifar_resnet(8))
    variables, x = random_variables(net, IMAGE), normal(2, *IMAGE)
    folded, params = fold(net, variables)
    bare = folded.clone(backbone=folded.backbone.clone(norm=NoNorm, conv=part(Conv, use_bias=True)))
    moved = {"params": biases_into_convolutions(params["params"])}
    logits = apply(net, variables, x, train=False)
    np.testing.assert_allclose(apply(bare, moved, x, train=False), logits, rtol=1e-4, atol=1e-5)
    model, converted = as_residual(bare, moved)
    np.testing.assert_allclose(
        apply(model, converted, x, train=False), logits, rtol=1e-4, atol=1e-5
    )
    assert count_net(model, IMAGE).parameters > count_net(bare, IMAGE).parameters


def test_zero_branches_are_the_identity_to_the_bit():
    net = zoo.cifar_resnet(14, norm=NoNorm)
    variables, x = random_variables(net, IMAGE), normal(2, *IMAGE)
    deeper, more = deepen(net, variables, (2, 4, 3))
    assert deeper.backbone.depths == (2, 4, 3)
    np.testing.assert_array_equal(
        apply(deeper, more, x, train=False), apply(net, variables, x, train=False)
    )


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (zoo.cifar_resnet(8, norm=NoNorm), "has shortcuts or norms"),
        (zoo.plain(zoo.cifar_resnet(8)), "has shortcuts or norms"),
        (plain(depth=8, preactivation=True), "post-activation"),
    ],
)
def test_nets_that_do_not_fit(net, words):
    with pytest.raises(ValueError, match=words):
        as_residual(net, {})


def test_branch_sizes_of_a_constructed_twin():
    net = plain(depth=8)
    x, variables = normal(2, *IMAGE), random_variables(net, IMAGE)
    model, converted = as_residual(net, variables)
    actual = branch_sizes(chain(model), converted, x)
    blocks, h = chain(net).blocks, chain(net).stem(variables, x)
    block = blocks[0]
    # Before the closing ReLU: F = G(x) - x.
    params = block.select(variables)["params"]
    inner = np.maximum(convolve(h, params["conv1"]["kernel"], (1, 1), [(1, 1)] * 2, (1, 1)), 0)
    g = convolve(inner, params["conv2"]["kernel"], (1, 1), [(1, 1)] * 2, (1, 1))
    expected = np.linalg.norm(g - h) / np.linalg.norm(h)
    np.testing.assert_allclose(actual[0], expected, rtol=1e-4)
    assert len(actual) == 3


def test_branch_sizes_where_the_projection_reads_what_the_branch_reads():
    net = zoo.cifar_resnet(8, shortcut="B", preactivation=True)
    x, variables = normal(2, *IMAGE), random_variables(net, IMAGE)
    actual = branch_sizes(chain(net), variables, x)
    # Nothing follows the addition: without its branch a block is its shortcut.
    h = chain(net).stem(variables, x)
    for block, size in zip(chain(net).blocks, actual, strict=True):
        whole, skip = block(variables, h), block(variables, h, np.float32(0))
        expected = np.linalg.norm(whole - skip) / np.linalg.norm(skip)
        np.testing.assert_allclose(size, expected, rtol=1e-4)
        h = whole


def test_depths_that_do_not_fit():
    with pytest.raises(ValueError, match="gives 0, not its input"):
        deepen(plain(depth=14), {}, (3, 3, 3))
    with pytest.raises(ValueError, match="at least"):
        deepen(zoo.cifar_resnet(14, norm=NoNorm), {}, (1, 2, 2))
