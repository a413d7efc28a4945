"""Lesions computed with shared prefixes are what gates and copied weights give."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kendalltau

from jresnet.analysis.chain import chain
from jresnet.analysis.lesion import (
    Parts,
    Step,
    evaluate,
    intact,
    interchangeable,
    kendall_tau,
    parts,
    reshaping,
    swapped,
    walk,
    without,
)
from jresnet.models import zoo
from tests.nets import apply, normal, random_variables

NETS = {
    "basic": zoo.cifar_resnet(14),
    "projections": zoo.cifar_resnet(14, shortcut="B", preactivation=True),
}


@pytest.mark.parametrize("name", NETS)
def test_deleted_blocks_are_gates_of_zero(name):
    net, x = NETS[name], normal(6, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    orders = [intact(6), *[without(6, [i]) for i in range(6)], without(6, [0, 2, 5])]
    for index, logits in walk(parts(chain(net), variables), x, orders):
        gates = jnp.array([float(step.kept) for step in orders[index]])
        expected = apply(net, variables, x, train=False, gates=gates)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_swapped_blocks_are_swapped_weights():
    net, x = NETS["basic"], normal(6, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    order = (1, 0, 2, 3, 4, 5)
    exchanged = copy.deepcopy(variables)
    for tree in exchanged.values():
        stage = tree["backbone"]["stage1"]
        stage["block1"], stage["block2"] = stage["block2"], stage["block1"]
    ((_, logits),) = walk(parts(chain(net), variables), x, [tuple(map(Step, order))])
    expected = apply(net, exchanged, x, train=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(logits, apply(net, variables, x, train=False), atol=1e-3)


def test_a_plain_net_without_blocks_is_its_stem_and_head():
    net, x = zoo.plain(zoo.cifar_resnet(8)), normal(3, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    ((_, logits),) = walk(parts(chain(net), variables), x, [without(3, [0, 1, 2])])
    stem = chain(net).stem(variables, x)
    # 16 channels in the midst of 64 zeros, every fourth pixel.
    pooled = jnp.pad(stem[:, ::4, ::4].mean((1, 2)), [(0, 0), (24, 24)])
    dense = variables["params"]["head"]
    np.testing.assert_allclose(
        logits, pooled @ dense["kernel"] + dense["bias"][None], rtol=1e-4, atol=1e-5
    )


def test_what_orders_share_is_computed_once():
    calls = []

    def step(step, x):
        calls.append(step)
        return x * (step.block + 2 if step.kept else 1)

    net = Parts(lambda x: x, step, lambda x: x)
    orders = [without(8, [i]) for i in range(8)] + [intact(8)]
    actual = dict(walk(net, jnp.ones(()), orders))
    product = float(np.prod(np.arange(2.0, 10.0)))
    assert [float(actual[i]) for i in range(9)] == [
        *(product / (i + 2) for i in range(8)),
        product,
    ]
    # The intact net, and behind each deleted block what comes after it.
    assert len(calls) == 8 + 8 * 9 // 2


def test_error_and_loss_over_batches_leave_padding_out():
    logits = jnp.log(jnp.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]))
    net = Parts(lambda x: x, lambda step, x: x if step.kept else x[:, ::-1], lambda x: x)
    batches = [
        {"image": logits[:2], "label": jnp.array([0, 0]), "valid": jnp.ones(2)},
        {"image": logits[1:], "label": jnp.array([1, 0]), "valid": jnp.array([1.0, 0.0])},
    ]
    actual = evaluate(net, batches, [intact(1), without(1, [0])])
    np.testing.assert_allclose(actual["error"], [1 / 3, 2 / 3])
    expected = [-np.log([0.9, 0.2, 0.8]).mean(), -np.log([0.1, 0.8, 0.2]).mean()]
    np.testing.assert_allclose(actual["loss"], expected, rtol=1e-6)


def test_blocks_that_can_stand_for_each_other():
    # Of 16 channels and stride 1, the first stage's first block is like the others ...
    net = zoo.cifar_resnet(20)
    variables = random_variables(net, (8, 8, 3))
    actual = interchangeable(chain(net), variables)
    assert reshaping(chain(net), variables, (8, 8, 3)) == [3, 6]
    assert actual == [[0, 1, 2], [3], [4, 5], [6], [7, 8]]
    # ... in a wide net it is not.
    net = zoo.wrn(16, 2)
    actual = interchangeable(chain(net), random_variables(net, (8, 8, 3)))
    assert actual == [[0], [1], [2], [3], [4], [5]]
    with pytest.raises(ValueError, match="nothing to swap"):
        swapped(actual, 1, np.random.default_rng(0))


def test_swaps_stay_in_their_group_and_tau_is_kendall_s():
    groups = [[0, 1, 2, 3], [4], [5, 6, 7]]
    taus = []
    for seed in range(20):
        order = swapped(groups, 1 + seed, np.random.default_rng(seed))
        places = [step.block for step in order]
        for group in groups:
            assert {places[i] for i in group} == set(group)
        assert kendall_tau(order) == pytest.approx(kendalltau(range(8), places).statistic)
        taus.append(kendall_tau(order))
    assert min(taus) <= 0.5
    assert swapped(groups, 0, np.random.default_rng(0)) == intact(8)
    assert kendall_tau(tuple(reversed(intact(8)))) == -1


def test_blocks_of_a_stage_share_one_compilation(caplog):
    net, x = zoo.cifar_resnet(20), normal(7, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    with jax.log_compiles():
        dict(walk(parts(chain(net), variables), x, [intact(9), without(9, [1])]))
    compiled = [text for text in caplog.messages if text.startswith("Compiling jit(_apply)")]
    assert len(compiled) == 5 + 1  # two kinds in each stage but the first, and one deleted
