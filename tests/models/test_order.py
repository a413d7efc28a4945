"""He et al. 2016: where norms and activations stand, and what stands on the shortcut."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.block import (
    BASIC,
    BN_AFTER_ADDITION,
    POSTACTIVATION,
    PREACTIVATION,
    RELU_BEFORE_ADDITION,
    RELU_PREACTIVATION,
    Block,
)
from jresnet.models.gates import HighwayGate, Scaled
from jresnet.models.layers import BatchNorm, Conv
from jresnet.models.part import part
from jresnet.models.resnet import ResNet
from jresnet.models.shortcuts import DropoutShortcut, ScaledIdentity
from tests.nets import apply, normal, random_variables

X = normal(4, 6, 6, 8)


def block_and_variables(**fields):
    block = Block(BASIC, 8, **fields)
    return block, random_variables(block, X.shape[1:])


def reference(variables) -> list[Any]:
    """conv1, norm1, conv2, norm2 of a block as functions, in evaluation mode."""

    def function(layer, name):
        inner = {k: tree[name] for k, tree in variables.items() if name in tree}
        options = {"train": False} if isinstance(layer, BatchNorm) else {}
        return lambda x: layer.apply(inner, x, **options)

    return [
        function(Conv(8), "conv1"),
        function(BatchNorm(), "norm1"),
        function(Conv(8), "conv2"),
        function(BatchNorm(), "norm2"),
    ]


relu = jax.nn.relu
FIGURE_4 = [
    (POSTACTIVATION, lambda c1, n1, c2, n2: relu(X + n2(c2(relu(n1(c1(X))))))),
    (BN_AFTER_ADDITION, lambda c1, n1, c2, n2: relu(n2(X + c2(relu(n1(c1(X))))))),
    (RELU_BEFORE_ADDITION, lambda c1, n1, c2, n2: X + relu(n2(c2(relu(n1(c1(X))))))),
    (RELU_PREACTIVATION, lambda c1, n1, c2, n2: X + n2(c2(relu(n1(c1(relu(X))))))),
    (PREACTIVATION, lambda c1, n1, c2, n2: X + c2(relu(n2(c1(relu(n1(X))))))),
]


@pytest.mark.parametrize(("order", "formula"), FIGURE_4)
def test_the_five_of_figure_4(order, formula):
    block, variables = block_and_variables(order=order)
    expected = formula(*reference(variables))
    np.testing.assert_allclose(
        apply(block, variables, X, train=False), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("order", "closing"),
    [(RELU_PREACTIVATION, set()), (PREACTIVATION, {"norm"})],
)
def test_what_stands_before_the_convolutions_closes_the_net(order, closing):
    net = ResNet((1,), BASIC, (8,), (1,), order=order)
    variables = random_variables(net, X.shape[1:])
    assert set(variables["params"]) == {"stem", "stage1"} | closing
    assert (apply(net, variables, X, train=False)["stage1"] >= 0).all()


def branch_of(variables) -> Any:
    """The branch alone, whose shortcut is nothing."""
    c1, n1, c2, n2 = reference(variables)
    return n2(c2(relu(n1(c1(X)))))


@pytest.mark.parametrize("exclusive", [True, False])
def test_gating(exclusive):
    block, variables = block_and_variables(join=part(HighwayGate, branch=exclusive))
    gate = variables["params"]["join"]
    g = jax.nn.sigmoid(X @ gate["conv"]["kernel"][0, 0] + gate["bias"][None, None, None])
    branch = branch_of(variables)
    expected = relu((g if exclusive else 1) * branch + (1 - g) * X)
    np.testing.assert_allclose(
        apply(block, variables, X, train=False), expected, rtol=1e-4, atol=1e-5
    )


def test_a_gate_starts_with_its_bias():
    fresh = Block(BASIC, 8, join=part(HighwayGate, bias=-7.0)).init(
        jax.random.key(0), X, train=False
    )
    np.testing.assert_array_equal(fresh["params"]["join"]["bias"], np.full(8, -7, np.float32))


def test_constants_on_shortcut_and_branch():
    block, variables = block_and_variables(
        shortcut=part(ScaledIdentity, scale=0.5), gate=part(Scaled, factor=0.25)
    )
    expected = relu(0.25 * branch_of(variables) + 0.5 * X)
    np.testing.assert_allclose(
        apply(block, variables, X, train=False), expected, rtol=1e-4, atol=1e-5
    )


def test_dropout_on_the_shortcut_is_off_in_evaluation():
    block, variables = block_and_variables(
        shortcut=part(DropoutShortcut, rate=0.5), order=RELU_BEFORE_ADDITION
    )
    plain, _ = block_and_variables(order=RELU_BEFORE_ADDITION)
    np.testing.assert_array_equal(
        apply(block, variables, X, train=False), apply(plain, variables, X, train=False)
    )
    trained = apply(block, variables, X, train=True)[0]
    without = apply(plain, variables, X, train=True)[0]
    left = np.asarray(trained - (without - X))  # twice the kept half of X, and nothing
    dropped = np.isclose(left, 0, atol=1e-4)
    np.testing.assert_allclose(left[~dropped], 2 * np.asarray(X)[~dropped], rtol=1e-3, atol=1e-3)
    assert 0.4 < dropped.mean() < 0.6


def test_zero_initialised_branches_need_a_norm_at_their_end():
    for order, zero in ((POSTACTIVATION, True), (BN_AFTER_ADDITION, False)):
        block = Block(BASIC, 8, order=order, zero_init_residual=True)
        params = block.init(jax.random.key(0), X, train=False)["params"]
        assert (jnp.abs(params["norm2"]["scale"]).max() == 0) == zero
