"""The train step against a second way of computing it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.data.normalisation import Normalize
from jresnet.models import zoo
from jresnet.models.layers import GroupNorm
from jresnet.models.part import part
from jresnet.tasks.classify import Classify
from jresnet.train.optim import sgd
from jresnet.train.state import TrainState
from jresnet.train.step import make_train_step
from tests.nets import random_variables

NORMALIZE = Normalize((0.5,), (0.25,))


def batch(size=12):
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.integers(0, 256, (size, 8, 8, 3)), jnp.uint8),
        "label": jnp.asarray(rng.integers(0, 10, size), jnp.int32),
    }


def state(net, optimizer, ema=False):
    variables = random_variables(net, (8, 8, 3))
    params = variables.pop("params")
    average = {"params": params, **variables} if ema else None
    return TrainState(jnp.asarray(0), params, variables, optimizer.init(params), average)


def test_one_step_of_the_recipe_by_hand():
    net, optimizer = zoo.cifar_resnet(8), sgd(lambda _: 0.1, 0.9, 0.01)
    before = state(net, optimizer)
    task = Classify(net, NORMALIZE)
    after, metrics = jax.jit(make_train_step(task, optimizer, jax.random.key(0)))(before, batch())

    def loss(params):
        x = (batch()["image"].astype(jnp.float32) / 255 - 0.5) / 0.25
        variables = {"params": params, **before.model_state}
        logits, new = net.apply(variables, x, train=True, mutable=["batch_stats"])
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch()["label"][:, None], 1)
        return -chosen.mean(), (new, logits)

    (value, (new, logits)), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(before.params)
    jax.tree.map(
        lambda p, g, a: np.testing.assert_allclose(a, p - 0.1 * (g + 0.01 * p), rtol=1e-4, atol=1e-5),
        before.params, grads, after.params,
    )  # fmt: skip
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        dict(new),
        after.model_state,
    )
    assert int(after.step) == 1
    assert float(metrics["loss"][0]) == pytest.approx(12 * float(value), rel=1e-5)
    wrong = int((logits.argmax(-1) != batch()["label"]).sum())
    assert [float(x) for x in metrics["error"]] == [wrong, 12]
    assert float(metrics["examples"][0]) == 12


def test_golden_numbers_of_one_step():
    """If a change of the arithmetic was meant, print the new numbers and write them here."""
    net, optimizer = zoo.cifar_resnet(8), sgd(lambda _: 0.1)
    before = state(net, optimizer)
    step = make_train_step(Classify(net, NORMALIZE), optimizer, jax.random.key(0))
    after, metrics = jax.jit(step)(before, batch())
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, after.params, before.params))
    numbers = (float(metrics["loss"][0]) / 12, float(moved), float(optax.tree.norm(after.params)))
    assert numbers == pytest.approx(GOLDEN, rel=1e-4)


GOLDEN = (2.28414090, 0.55807930, 28.01342964)


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulating_equals_the_whole_batch_where_examples_do_not_mix(parts):
    net = zoo.cifar_resnet(8, norm=part(GroupNorm, groups=4))
    optimizer = sgd(lambda _: 0.1)
    task, before = Classify(net, NORMALIZE), state(net, optimizer)
    one, metrics = jax.jit(make_train_step(task, optimizer, jax.random.key(0)))(before, batch())
    step = make_train_step(task, optimizer, jax.random.key(0), accumulate=parts)
    split, sums = jax.jit(step)(before, batch())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.params, split.params)
    for key, (total, count) in metrics.items():
        if key != "examples":
            assert [float(v) for v in sums[key]] == pytest.approx(
                [float(total), float(count)], rel=1e-5
            )
    assert float(sums["examples"][0]) == 12


def test_accumulating_carries_the_running_statistics_through_the_parts():
    net, optimizer = zoo.cifar_resnet(8), sgd(lambda _: 0.0)
    task, before = Classify(net, NORMALIZE), state(net, optimizer)
    step = make_train_step(task, optimizer, jax.random.key(0), accumulate=2)
    after, _ = jax.jit(step)(before, batch())
    running = before.model_state
    for rows in (slice(0, None, 2), slice(1, None, 2)):
        part_batch = {k: v[rows] for k, v in batch().items()}
        variables = {"params": before.params, **running}
        loss = jax.jit(lambda v, b: task.loss(v, b, jax.random.key(0)))
        running = loss(variables, part_batch)[1][0]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        running,
        after.model_state,
    )


def test_the_moving_average_of_parameters_and_statistics():
    net, optimizer = zoo.cifar_resnet(8), sgd(lambda _: 0.1)
    before = state(net, optimizer, ema=True)
    step = make_train_step(Classify(net, NORMALIZE), optimizer, jax.random.key(0), ema_decay=0.8)
    after, _ = jax.jit(step)(before, batch())
    new = {"params": after.params, **after.model_state}
    jax.tree.map(
        lambda a, b, c: np.testing.assert_allclose(c, 0.8 * a + 0.2 * b, rtol=1e-4, atol=1e-6),
        before.average, new, after.average,
    )  # fmt: skip
    assert after.evaluated is after.average
    assert before.variables["batch_stats"] is before.model_state["batch_stats"]
