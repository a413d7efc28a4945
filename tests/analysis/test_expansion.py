"""h_L is h_0 and the branches, whatever net computed it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.analysis.chain import chain
from jresnet.analysis.expansion import expand
from jresnet.models import zoo
from jresnet.models.part import part
from jresnet.models.shortcuts import NoShortcut, ScaledIdentity
from tests.analysis.test_derivation import double, draw
from tests.nets import random_variables


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def expanded(net):
    images = draw(np.random.default_rng(0), 2, 8, 8, 1)
    variables = double(random_variables(net, images.shape[1:]))
    pieces = chain(net)
    last = pieces.stem(variables, images)
    inputs = []
    for block in pieces.blocks:
        inputs.append(last)
        last = block(variables, last)
    return pieces, variables, inputs, last, expand(pieces, variables, images)


def test_a_preactivation_net_is_the_sum_of_its_branches():
    pieces, variables, inputs, last, actual = expanded(zoo.cifar_resnet(14, preactivation=True))
    (whole,) = actual
    assert whole.blocks == tuple(block.name for block in pieces.blocks)
    np.testing.assert_array_equal(whole.end, last)
    assert whole.error() < 1e-12
    assert max(abs(term).max() for term in whole.corrections) == 0
    np.testing.assert_allclose(sum(share.sum() for share in whole.shares()), 1, atol=1e-12)
    # A branch is what the block gives without its shortcut.
    block = pieces.blocks[-1]
    alone = block.module.clone(shortcut=part(NoShortcut))
    expected = alone.apply(block.select(variables), inputs[-1], train=False)
    np.testing.assert_allclose(whole.branches[-1], expected, atol=1e-12)


def test_a_relu_behind_the_addition_is_a_term():
    *_, last, (whole,) = expanded(zoo.cifar_resnet(8))
    assert whole.error() < 1e-12
    assert whole.end.shape == last.shape == whole.branches[0].shape
    assert abs(whole.total() - sum(whole.corrections) - whole.end).max() > 0.1


def test_a_scaled_shortcut_attenuates_by_its_power():
    net = zoo.cifar_resnet(8, preactivation=True, shortcut=part(ScaledIdentity, scale=0.5))
    _, _, inputs, _, (whole,) = expanded(net)
    assert whole.error() < 1e-12
    np.testing.assert_allclose(
        jnp.linalg.norm(whole.start), 0.125 * jnp.linalg.norm(inputs[0][:, ::4, ::4]), rtol=1e-6
    )


def test_projections_stand_between_expansions():
    *_, actual = expanded(zoo.cifar_resnet(14, shortcut="B", preactivation=True))
    assert [part.blocks for part in actual] == [
        ("stage1/block1", "stage1/block2"),
        ("stage2/block2",),
        ("stage3/block2",),
    ]
    assert max(part.error() for part in actual) < 1e-12
    with pytest.raises(ValueError, match="stage1/block1 has no shortcut"):
        expanded(zoo.plain(zoo.cifar_resnet(8)))
