"""DQN and Rainbow's parts: errors, distributions and noise in NumPy, and the target net."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.heads.noisy import NoisyDense
from jresnet.tasks.base import MEMORY
from jresnet.tasks.dqn import DQN
from jresnet.tasks.replay import Windows
from jresnet.tasks.returns import projected
from tests.tasks.small_worlds import CatchWorld
from tests.train.test_loop import assert_bit_equal

USUAL = {"turns": 2, "batch": 64, "replay": 1024, "first": 256, "target_every": 4, "longest": 5}
PARTS = {"steps": 3, "double": True, "priority": 0.5, "annealing": 100, "support": (-1.0, 1.0)}
NET = {"width": 4, "hidden": 16, "values": True}
PLAIN = DQN(zoo.small_impala(3, **NET), CatchWorld(), exploration=40, **USUAL)
RAINBOW = DQN(
    zoo.small_impala(3, **NET, dueling=True, atoms=11, noisy=True), CatchWorld(), exploration=1,
    epsilon=0.0, **USUAL, **PARTS,
)  # fmt: skip


def test_the_target_net_is_renewed_and_otherwise_kept():
    task = dataclasses.replace(PLAIN, target_every=2)
    variables = jax.jit(task.init)(jax.random.key(0), {"seed": np.zeros(16, np.uint32)})
    loss = jax.jit(task.loss)
    first = variables["params"]
    for step in range(3):
        changed = jax.tree.map(lambda x, step=step: x + step, first)
        _, (state, _) = loss({**variables, "params": changed}, {}, jax.random.key(step))
        expected = jax.tree.map(lambda x, step=step: x + step // 2 * 2, first)
        assert_bit_equal(state[MEMORY]["target"], expected)
        variables = {**variables, **state}


def distributed(reward, discount, chances, atoms):
    """Algorithm 1 of arXiv:1707.06887, in loops."""
    low, gap = atoms[0], atoms[1] - atoms[0]
    result = np.zeros_like(chances)
    for row in range(len(reward)):
        for j, chance in enumerate(chances[row]):
            moved = np.clip(reward[row] + discount[row] * atoms[j], low, atoms[-1])
            place = np.clip((moved - low) / gap, 0, len(atoms) - 1)
            lower, upper = int(np.floor(place)), int(np.ceil(place))
            if lower == upper:
                result[row, lower] += chance
            else:
                result[row, lower] += chance * (upper - place)
                result[row, upper] += chance * (place - lower)
    return result


def windows(rng, n=5):
    discount = np.array([0.0, 0.9, 0.9, 0.81, 0.5], np.float32)
    reward = np.array([1.0, -1.0, 0.5, 30.0, -30.0], np.float32)
    return Windows(None, rng.integers(0, 3, n), reward, discount, None)


def test_a_distribution_is_moved_as_in_the_paper():
    rng = np.random.default_rng(0)
    turns, atoms = windows(rng), np.linspace(-2, 2, 9)
    chances = rng.dirichlet(np.ones(9), 5)
    moved = projected(turns.reward, turns.discount, jnp.asarray(chances), jnp.asarray(atoms))
    expected = distributed(turns.reward, turns.discount, chances, atoms)
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    np.testing.assert_allclose(moved.sum(1), 1, rtol=1e-5)
    assert moved[0].tolist() == [0.0] * 6 + [1.0, 0.0, 0.0]  # all of it at the reward, 1
    assert (moved[3, -1], moved[4, 0]) == (pytest.approx(1), pytest.approx(1))


def test_errors_are_those_of_the_papers():
    rng = np.random.default_rng(1)
    turns, following = windows(rng), rng.normal(size=5).astype(np.float32)
    output = rng.normal(size=(5, 3)).astype(np.float32)
    losses, taken, errors = PLAIN._errors(output, turns, following)
    expected = output[np.arange(5), turns.action] - (turns.reward + turns.discount * following)
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    huber = np.where(abs(expected) < 1, expected**2 / 2, abs(expected) - 0.5)
    np.testing.assert_allclose(losses, huber, rtol=1e-5)

    output, following = rng.normal(size=(5, 3, 11)), rng.normal(size=(5, 11))
    losses, taken, errors = RAINBOW._errors(jnp.asarray(output), turns, jnp.asarray(following))
    atoms = np.linspace(-1, 1, 11)
    later = np.exp(following) / np.exp(following).sum(1, keepdims=True)
    goal = distributed(turns.reward, turns.discount, later, atoms)
    chosen = output[np.arange(5), turns.action]
    chances = np.exp(chosen) / np.exp(chosen).sum(1, keepdims=True)
    np.testing.assert_allclose(taken, chances @ atoms, rtol=1e-4)
    np.testing.assert_allclose(losses, -(goal * np.log(chances)).sum(1), rtol=1e-4)
    some = np.where(goal > 0, goal, 1)
    np.testing.assert_allclose(errors, (goal * np.log(some / chances)).sum(1), rtol=1e-3, atol=1e-5)


def test_noise_has_the_size_of_the_paper_and_is_none_without_a_key():
    layer, x = NoisyDense(300), jax.random.normal(jax.random.key(0), (4, 16))
    variables = layer.init(jax.random.key(1), x)
    params = dict(variables["params"])
    np.testing.assert_allclose(
        layer.apply(variables, x),
        np.asarray(x) @ np.asarray(params["kernel"]) + np.asarray(params["bias"]),
        rtol=1e-4,
        atol=1e-6,
    )
    draw = jax.vmap(lambda key: layer.apply(variables, x, rngs={"noise": key}))
    noise = draw(jax.random.split(jax.random.key(2), 2000)) - layer.apply(variables, x)[None]
    # E f(e)^2 = E|e|, so each weight's variance is sigma^2 times the square of that.
    mean = np.sqrt(2 / np.pi)
    expected = (0.5 / 4) ** 2 * (mean**2 * np.square(x).sum(1) + mean)
    np.testing.assert_allclose(np.square(noise).mean((0, 2)), expected, rtol=0.06)
    same = layer.apply(variables, x[:1], rngs={"noise": jax.random.key(3)})
    np.testing.assert_allclose(
        layer.apply(variables, x, rngs={"noise": jax.random.key(3)})[:1], same, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"replay": 63, "first": 10},
            "replay=63: expected 64 or more, a batch of 64 and the first",
        ),
        ({"first": 0}, "first=0: expected 1 or more"),
        ({"first": 2000}, "replay=1024: expected 2000 or more, a batch of 64 and the first 2000"),
        (
            {"replay": 64, "first": 64, "turns": 4},
            "replay=64: expected 128 or more, for a batch of",
        ),
        ({"support": (1.0, 1.0)}, "support=1 1: expected two values, the lower one first"),
    ],
)
def test_a_replay_that_is_too_small_is_told_in_one_line(fields, says):
    with pytest.raises(UsageError, match=says):
        dataclasses.replace(PLAIN, **fields).rows(16)


@pytest.mark.parametrize(("turns", "first"), [(1, 2), (2, 2), (3, 3)])
def test_at_least_two_turns_are_played_first_and_whole_rounds(turns, first):
    task = dataclasses.replace(PLAIN, turns=turns, first=1)
    assert task.rows(16)[1] == first
