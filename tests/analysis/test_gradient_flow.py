"""Gradients at block inputs, their split and their orders; singular values of Jacobians."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.analysis.chain import chain
from jresnet.analysis.gradient_flow import activations, flow, norms, orders, pull, shortcut_only
from jresnet.analysis.jacobian import bidiagonalise, extremes, products
from jresnet.models import zoo
from jresnet.models.layers import NoNorm
from jresnet.models.part import part
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.shortcuts import ScaledIdentity
from tests.nets import normal, random_variables

LABELS = jnp.asarray([0, 1, 2, 1])


def small(depth=3, width=4, **fields):
    """One stage of alike blocks, which compile once."""
    net = zoo.cifar_resnet(8, 3, **fields)
    stem = part(Stem, convs=(StemConv(width, 3, 1),), pool=None)
    return net.clone(
        backbone=net.backbone.clone(depths=(depth,), widths=(width,), strides=(1,), stem=stem)
    )


def loss(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()


def prepare(net, images=None):
    images = normal(4, 8, 8, 1) if images is None else images
    return chain(net), random_variables(net, images.shape[1:]), images


@pytest.mark.parametrize("preactivation", [False, True])
def test_the_flow_is_the_gradient_of_the_net(preactivation):
    net = small(preactivation=preactivation)
    pieces, variables, images = prepare(net)
    actual = flow(pieces, variables, images, loss)

    @jax.jit
    def expected(params):
        def whole(params):
            logits, _ = net.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            return loss(logits)

        return jax.value_and_grad(whole)(params)

    value, params = expected(variables["params"])
    np.testing.assert_allclose(actual.loss, value, rtol=1e-5)
    kernel = params["backbone"]["stem"]["conv"]["kernel"]
    np.testing.assert_allclose(
        actual.params["stem"]["conv"]["kernel"], kernel, rtol=1e-3, atol=1e-6
    )
    block_kernel = actual.params["stage1/block2"]["conv2"]["kernel"]
    kernel = params["backbone"]["stage1"]["block2"]["conv2"]["kernel"]
    np.testing.assert_allclose(block_kernel, kernel, rtol=1e-3, atol=1e-6)
    assert actual.error() < 1e-5
    assert len(actual.inputs) == 4


def test_orders_add_up_and_are_sums_over_sets_of_branches():
    net = small(preactivation=True)
    pieces, variables, images = prepare(net)
    actual = orders(pieces, variables, images, loss)
    flowing = flow(pieces, variables, images, loss)
    whole = flowing.inputs[0]
    np.testing.assert_allclose(actual.sum(0), whole, rtol=1e-3, atol=1e-5 * abs(whole).max())
    # The second-order term is the sum over the three pairs of branches.
    h = activations(pieces, variables, images)
    total = 0.0
    for chosen in itertools.combinations(range(3), 2):
        g = flowing.inputs[-1]
        for i in (2, 1, 0):
            way = pieces.blocks[i].through("branch" if i in chosen else "shortcut")
            g = pull(way, variables, h[i], g, True)[1]
        total = total + g
    np.testing.assert_allclose(actual[2], total, rtol=1e-3, atol=1e-5 * abs(total).max())


def test_a_scaled_shortcut_attenuates_the_gradient_by_its_power():
    net = small(4, preactivation=True, shortcut=part(ScaledIdentity, scale=0.5))
    pieces, variables, images = prepare(net)
    actual = flow(pieces, variables, images, loss)
    alone = norms(shortcut_only(pieces, variables, actual, activations(pieces, variables, images)))
    np.testing.assert_allclose(alone / alone[-1], 0.5 ** np.arange(4, -1, -1), rtol=1e-5)
    assert actual.error() < 1e-5


def test_bidiagonalisation_finds_the_singular_values():
    matrix = np.random.default_rng(0).normal(size=(12, 8))
    expected = np.linalg.svd(matrix, compute_uv=False)
    whole = bidiagonalise(lambda v: matrix @ v, lambda u: matrix.T @ u, np.ones(8), 8)
    np.testing.assert_allclose(np.linalg.svd(whole, compute_uv=False), expected, rtol=1e-8)
    part_ = extremes(lambda v: matrix @ v, lambda u: matrix.T @ u, 8, 5)
    assert part_.largest <= expected[0] + 1e-9
    assert part_.smallest >= expected[-1] - 1e-9
    # A rank-one matrix exhausts the Krylov space at once.
    rank = np.outer(np.arange(1, 5), np.ones(3))
    actual = bidiagonalise(lambda v: rank @ v, lambda u: rank.T @ u, np.ones(3), 3)
    np.testing.assert_allclose(
        np.linalg.svd(actual, compute_uv=False)[0], np.linalg.norm(rank), rtol=1e-8
    )
    assert len(actual) < 3


def test_singular_values_of_a_block_against_its_whole_jacobian():
    net = small(1, 2, preactivation=True, norm=NoNorm)
    pieces, variables, images = prepare(net, normal(1, 4, 4, 1))
    h = activations(pieces, variables, images)[0]
    block = pieces.blocks[0]
    matrix = jax.jacobian(lambda h: block(variables, h, train=True))(h).reshape(h.size, h.size)
    expected = np.linalg.svd(matrix, compute_uv=False)
    actual = extremes(*products(block, variables, h), h.size, h.size)
    np.testing.assert_allclose(actual, (expected[0], expected[-1]), rtol=1e-3)
