"""Replay: sums of rewards against a log in Python, chances of the turns that are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.tasks import replay as ring

SIZE, WORLDS, GAMMA = 12, 3, 0.9


def turns(count, seed=0):
    """Turns whose `seen` is their number, with ends of both kinds."""
    rng = np.random.default_rng(seed)
    end = rng.random((count, WORLDS))
    number = np.arange(count)[:, None] + 100 * np.arange(WORLDS)
    return {
        "seen": number.reshape(count, WORLDS, 1, 1, 1).astype(np.float32),
        "action": rng.integers(0, 4, number.shape).astype(np.int32),
        "reward": rng.normal(size=number.shape).astype(np.float32),
        "terminated": end < 0.15,
        "truncated": end > 0.8,
    }


def filled(log, each=4):
    replay = ring.blank({name: rows[:each] for name, rows in log.items()}, SIZE)
    for first in range(0, len(log["reward"]), each):
        replay = jax.jit(ring.write)(replay, {n: rows[first : first + each] for n, rows in log.items()})  # fmt: skip
    return replay


def summed(log, turn, world, steps):
    """(sum of rewards, discount of the value after them, the turn that it is the value of)."""
    total, discount = 0.0, 1.0
    for k in range(steps):
        now = turn + k
        if log["truncated"][now, world] or now == len(log["reward"]) - 1:
            return total, discount, now
        total += discount * log["reward"][now, world]
        discount *= GAMMA
        if log["terminated"][now, world]:
            return total, 0.0, None
    return total, discount, turn + steps


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("count", [8, 12, 32])
def test_windows_are_sums_over_the_log(count, steps):
    log = turns(count)
    replay = filled(log)
    first = max(0, count - SIZE)
    usable = [(t, w) for t in range(first, count - 1) for w in range(WORLDS) if not log["truncated"][t, w]]  # fmt: skip
    drawn = ring.sample(replay, jax.random.key(0), 4096)
    rows = {(int(r), int(w)) for r, w in zip(drawn.row, drawn.world, strict=True)}
    assert rows == {(t % SIZE, w) for t, w in usable}
    np.testing.assert_allclose(drawn.chance, 1 / len(usable), rtol=1e-5)
    turn, world = np.transpose(usable)
    places = ring.Places(jnp.asarray(turn % SIZE), jnp.asarray(world), jnp.ones(len(turn)))
    windows = ring.windows(replay, places, steps, GAMMA)
    expected = [summed(log, *each, steps) for each in usable]
    np.testing.assert_allclose(windows.reward, [e[0] for e in expected], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(windows.discount, [e[1] for e in expected], rtol=1e-5)
    np.testing.assert_array_equal(windows.seen[:, 0, 0, 0], turn + 100 * world)
    np.testing.assert_array_equal(windows.action, log["action"][turn, world])
    led = [e[2] is not None for e in expected]
    later = [e[2] + 100 * w for e, (_, w) in zip(expected, usable, strict=True) if e[2] is not None]
    np.testing.assert_array_equal(windows.later[np.array(led), 0, 0, 0], later)


def test_turns_are_drawn_by_their_priority_and_weights_make_up_for_it():
    log = turns(32)
    replay = filled(log)
    rng = np.random.default_rng(1)
    row, world = np.indices((SIZE, WORLDS)).reshape(2, -1)
    errors = rng.normal(size=row.shape) * rng.integers(0, 2, row.shape)  # some are 0
    all_places = ring.Places(jnp.asarray(row), jnp.asarray(world), jnp.ones(len(row)))
    replay = ring.prioritise(replay, all_places, jnp.asarray(errors, jnp.float32))
    usable = np.zeros((SIZE, WORLDS), bool)
    for turn in range(20, 31):
        usable[turn % SIZE] = ~log["truncated"][turn]
    chances = np.where(usable, (abs(errors) + 1e-6).reshape(SIZE, WORLDS) ** 0.5, 0)
    chances /= chances.sum()
    drawn = ring.sample(replay, jax.random.key(0), 50_000, 0.5)
    share = np.zeros((SIZE, WORLDS))
    np.add.at(share, (np.asarray(drawn.row), np.asarray(drawn.world)), 1 / 50_000)
    np.testing.assert_allclose(share, chances, atol=2e-4)  # one is drawn of each equal part
    np.testing.assert_allclose(drawn.chance, chances[drawn.row, drawn.world], rtol=1e-4)
    weights = ring.correction(drawn.chance, replay, 1.0)
    # With the whole correction the mean of the drawn is in proportion to the mean of all.
    value = rng.normal(size=(SIZE, WORLDS))
    drawn_mean = np.average(value[drawn.row, drawn.world], weights=weights)
    often = chances > 1e-4  # the others are too rare to be met
    np.testing.assert_allclose(drawn_mean, value[often].mean(), atol=0.1)
    assert float(weights.max()) == 1.0


def test_new_turns_have_the_highest_priority_so_far():
    log = turns(16)
    replay = filled({name: rows[:12] for name, rows in log.items()})
    place = ring.Places(jnp.array([0]), jnp.array([0]), jnp.ones(1))
    replay = ring.prioritise(replay, place, jnp.array([-7.0]))
    replay = ring.write(replay, {name: rows[12:] for name, rows in log.items()})
    np.testing.assert_allclose(replay["priority"][:4], 7.0, rtol=1e-5)
    np.testing.assert_allclose(replay["priority"][4:], 1.0)


def test_of_nothing_usable_nothing_has_weight():
    log = turns(4)
    log["truncated"][:] = True
    replay = filled(log)
    drawn = ring.sample(replay, jax.random.key(0), 8)
    assert not np.nan_to_num(ring.correction(drawn.chance, replay, 0.4), nan=9).any()
