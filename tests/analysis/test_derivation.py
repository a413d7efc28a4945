"""The backward pass derived by hand is the one that jax derives, to 1e-10 in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import unflatten_dict

from jresnet.analysis.backpropagation import gradients
from jresnet.analysis.chain import chain
from jresnet.analysis.derived_block import flattened, residual
from jresnet.models import zoo
from jresnet.models.block import BASIC, BOTTLENECK, PREACTIVATION, Block
from jresnet.models.gates import SkipInit
from jresnet.models.layers import BatchNorm, Conv, NoNorm
from jresnet.models.part import part
from jresnet.models.shortcuts import IdentityOnly, NoShortcut, Projection, ScaledIdentity, ZeroPad
from tests.nets import random_variables

BLOCKS = {
    "identity": Block(BASIC, 4),
    "zero-padded": Block(BASIC, 7, strides=2, shortcut=part(ZeroPad)),
    "projection": Block(BASIC, 6, strides=2),
    "plain": Block(BASIC, 4, shortcut=part(NoShortcut)),
    "scaled": Block(BASIC, 4, shortcut=part(ScaledIdentity, scale=0.5)),
    "identity only": Block(BASIC, 6, strides=2, shortcut=part(IdentityOnly)),
    "bottleneck, grouped, dilated": Block(BOTTLENECK, 4, groups=2, dilation=2),
    "pre-activation": Block(BASIC, 4, order=PREACTIVATION),
    "pre-activation, projection": Block(
        BASIC, 6, strides=2, order=PREACTIVATION, shortcut=part(Projection, bare=True)
    ),
    "ghost batches, biases": Block(
        BASIC, 4, norm=part(BatchNorm, group=2), conv=part(Conv, use_bias=True)
    ),
    "without BatchNorm": Block(BASIC, 4, norm=NoNorm),
}


def double(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)


def draw(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float64)


def differences(one, other):
    """The largest difference of each leaf."""
    one, other = (flattened(tree) for tree in (one, other))
    assert sorted(one) == sorted(other)
    return {k: float(abs(one[k] - other[k]).max()) for k in one}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_by_hand_is_the_vjp_of_the_block(name):
    block, rng = BLOCKS[name], np.random.default_rng(0)
    with jax.enable_x64(True):
        x = draw(rng, 4, 5, 6, 4)
        variables = double(random_variables(block, x.shape[1:]))
        state = {k: v for k, v in variables.items() if k != "params"}

        def apply(params, x):
            return block.apply({"params": params, **state}, x, train=True, mutable=["batch_stats"])[
                0
            ]

        @jax.jit
        def both(params, x, dy):
            y, pull = jax.vjp(apply, params, x)
            layers = residual(block, 4, 2)
            flat = flattened(params)
            by_hand, memory = layers.forward(flat, x)
            dx, dparams = layers.backward(flat, memory, dy)
            expected = dict(zip(("params", "x"), pull(dy), strict=True))
            return y, by_hand, expected, {"params": unflatten_dict(dparams, sep="/"), "x": dx}

        dy = draw(rng, *jax.eval_shape(apply, variables["params"], x).shape)
        y, by_hand, expected, actual = both(variables["params"], x, dy)
        assert float(abs(by_hand - y).max()) < 1e-10
        assert max(differences(actual, expected).values()) < 1e-10


@pytest.mark.parametrize("shape", [(2, 7, 4), (2, 3, 4, 3, 4)], ids=["1-D", "3-D"])
def test_rank_and_running_statistics(shape):
    block, rng = Block(BASIC, 6, strides=2), np.random.default_rng(1)
    with jax.enable_x64(True):
        x = draw(rng, *shape)
        variables = double(random_variables(block, x.shape[1:]))

        @jax.jit
        def both(variables, x):
            y, pull = jax.vjp(lambda x: block.apply(variables, x, train=False), x)
            params, statistics = (flattened(variables[k]) for k in ("params", "batch_stats"))
            layers = residual(block, 4, x.ndim - 2, statistics)
            by_hand, memory = layers.forward(params, x)
            dy = jnp.cos(y)
            return y, by_hand, pull(dy)[0], layers.backward(params, memory, dy)[0]

        y, by_hand, expected, dx = both(variables, x)
        assert float(abs(by_hand - y).max()) < 1e-10
        assert float(abs(dx - expected).max()) < 1e-10


@pytest.mark.parametrize(
    "net",
    [
        zoo.cifar_resnet(8, 3),
        zoo.cifar_resnet(8, 3, shortcut="B", preactivation=True),
    ],
    ids=["post-activation", "pre-activation"],
)
def test_a_net_by_hand_is_the_gradient_of_the_net(net):
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        images, labels = draw(rng, 4, 8, 8, 1), jnp.asarray([0, 1, 2, 1])
        variables = double(random_variables(net, images.shape[1:]))

        @jax.jit
        def both(variables, images):
            def loss(params, images):
                whole = {**variables, "params": params}
                logits, _ = net.apply(whole, images, train=True, mutable=["batch_stats"])
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            automatic = jax.value_and_grad(loss, (0, 1))(variables["params"], images)
            return automatic, gradients(chain(net), variables, images, labels)

        (expected_loss, (params, dimages)), (loss, actual) = both(variables, images)
        assert float(abs(loss - expected_loss)) < 1e-10
        worst = differences(actual, {"params": params, "images": dimages})
        assert max(worst.values()) < 1e-10, worst


def test_what_is_not_derived_is_refused():
    with pytest.raises(ValueError, match="gates, dropout"):
        residual(Block(BASIC, 4, gate=SkipInit), 4, 2)
    with pytest.raises(ValueError, match=r"take flax\.linen\.relu"):
        residual(Block(BASIC, 4, act=jnp.tanh), 4, 2)
    with pytest.raises(ValueError, match="average-pooling"):
        residual(Block(BASIC, 6, strides=2, shortcut=part(Projection, pool=True)), 4, 2)
