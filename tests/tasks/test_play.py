"""Playing: time limits, returns counted once, episodes that do not depend on each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.worlds.episodes import Episodes
from jresnet.tasks.play import Returns, begin, both_ways, episodes, interquartile_mean, means, roll
from tests.tasks.small_worlds import CatchWorld, Clock


def worth(seen):
    """100 more than the time that is seen."""
    return 100 + seen[:, 0, 0, 0]


def idle(key, seen):
    return jnp.zeros(len(seen), jnp.int32), {"value": worth(seen)}


def test_a_cut_off_turn_is_worth_what_was_seen_before_the_new_episode():
    playing = begin(Clock(), jax.random.key(0), 2)
    playing, played, finished = roll(Clock(), idle, worth, playing, jax.random.key(1), 7)
    assert played["value"][:, 0].tolist() == [100, 101, 102, 100, 101, 102, 100]
    assert played["truncated"][:, 0].tolist() == [False, False, True, False, False, True, False]
    assert played["following"][:, 0].tolist() == [101, 102, 103, 101, 102, 103, 101]
    assert [float(x) for x in finished] == [12, 4]  # two episodes of three turns in each world
    # The seventh turn belongs to an episode that the next call ends, which then counts it.
    assert playing["running"].tolist() == [1, 1]
    _, _, finished = roll(Clock(), idle, worth, playing, jax.random.key(2), 2)
    assert [float(x) for x in finished] == [6, 2]


def test_episodes_count_no_turn_after_their_end_and_stop_at_the_longest():
    def still(keys, seen):
        return jnp.zeros(len(seen), jnp.int32)

    seeds = jnp.arange(3, dtype=jnp.uint32)
    for world, longest, turns in ((Clock(), 9, 3), (Clock(end=2), 9, 2), (Clock(limit=50), 9, 9)):
        returns, lengths = episodes(world, still, seeds, longest)
        assert returns.tolist() == lengths.tolist() == [turns] * 3


def test_an_episode_is_the_same_in_any_batch_and_each_counts_once():
    def scores(seen):
        return seen.reshape(len(seen), -1)[:, :3]

    world, results = CatchWorld(), []
    for size in (2, 7, 16):
        collector, sums = Returns(), None
        for batch in Episodes(4, 7, size).examples("test"):
            metrics, outputs = both_ways(world, scores, batch, 10)
            real = batch["valid"] > 0
            collector.add({k: np.asarray(v)[real] for k, v in outputs.items()})
            sums = metrics if sums is None else jax.tree.map(jnp.add, sums, metrics)
        assert float(sums["examples"][0]) == 7
        results.append(means(sums) | collector.result())
    assert results[0] == pytest.approx(results[1])
    assert results[0] == pytest.approx(results[2])
    assert {"greedy_return", "sampled_return", "greedy_median", "greedy_iqm"} <= set(results[0])


def test_a_window_without_the_end_of_an_episode_has_no_return():
    assert means({"return": (0.0, 0.0), "loss": (3.0, 2.0), "examples": (5.0, 1.0)}) == {
        "loss": 1.5
    }


def test_the_interquartile_mean_leaves_out_both_ends():
    assert interquartile_mean([100, 2, 3, -50]) == 2.5
    assert interquartile_mean([4.0]) == 4.0
