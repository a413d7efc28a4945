"""An episode that is looked at is the one that the evaluation counts; its pictures and its film."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jresnet.data.worlds.episodes import TEST
from jresnet.models import zoo
from jresnet.report import episodes
from jresnet.report.episodes import as_pictures, film, moments, overlaid
from jresnet.tasks.play import both_ways
from jresnet.tasks.ppo import PPO
from jresnet.tasks.watch import _played, visible, watch
from tests.tasks.small_worlds import CatchWorld, Clock

NET = zoo.small_impala(3, 4, hidden=8)
WORLD = CatchWorld()
TASK = PPO(NET, WORLD)


@pytest.fixture(scope="module")
def variables():
    variables = NET.init(jax.random.key(0), jnp.zeros((1, *WORLD.shape)), train=False)
    # As it starts all actions are about as likely, and with biases of 0 and an empty board ReLUs
    # stand at their corner.
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.2, leaf.shape).astype("f"), variables)


def test_it_is_the_episode_that_the_evaluation_counts(variables):
    seeds = jnp.arange(TEST, TEST + 6, dtype=jnp.uint32)
    batch = {"seed": seeds, "index": jnp.arange(6), "valid": jnp.ones(6)}

    def scores(seen):
        return NET.apply(variables, seen, train=False)[0]

    _, outputs = both_ways(WORLD, scores, batch, 10)
    for greedy, name in ((True, "greedy_return"), (False, "sampled_return")):
        watched = [watch(TASK, variables, TEST + number, 10, greedy=greedy) for number in range(6)]
        assert [e.reward.sum() for e in watched] == outputs[name].tolist()
        assert all(len(e.action) == 3 and e.terminated for e in watched)
    assert len(set(outputs["greedy_return"].tolist())) > 1


def test_saliency_is_the_slope_of_what_was_taken(variables):
    episode = watch(TASK, variables, TEST, 10)
    np.testing.assert_allclose(episode.scores.sum(-1), 1, rtol=1e-5)
    assert (episode.scores.argmax(-1) == episode.action).all()
    seen, action, step = jnp.asarray(episode.seen[1]), episode.action[1], 1e-3
    slopes = np.zeros(WORLD.shape)
    for place in np.ndindex(WORLD.shape):
        up, down = (
            NET.apply(variables, seen.at[place].add(s)[None], train=False)[0][0, action]
            for s in (step, -step)
        )
        slopes[place] = abs(up - down) / (2 * step)
    # Differences straddle a corner of a ReLU here and there.
    assert np.corrcoef(slopes.max(-1).ravel(), episode.saliency[1].ravel())[0, 1] > 0.99


def test_values_of_actions_and_time_limits():
    net = zoo.small_impala(2, 4, hidden=8, values=True)
    variables = net.init(jax.random.key(0), jnp.zeros((1, 1, 1, 1)), train=False)
    episode = watch(PPO(net, Clock()), variables, 0, 9)  # of the task only net and world are read
    assert (len(episode.reward), episode.terminated, episode.policy) == (3, False, False)
    np.testing.assert_array_equal(episode.value, episode.scores.max(-1))
    assert visible(jnp.array([255], jnp.uint8)).tolist() == [1.0]


def test_after_the_end_nothing_is_played_and_no_gradient_taken():
    taken = []

    @dataclasses.dataclass(frozen=True)
    class Counted(Clock):
        def act(self, key, state, action):
            jax.debug.callback(taken.append, state)
            return super().act(key, state, action)

    net = zoo.small_impala(2, 4, hidden=8)
    variables = net.init(jax.random.key(0), jnp.zeros((1, 1, 1, 1)), train=False)
    episode = watch(PPO(net, Counted()), variables, 0, 50)
    jax.effects_barrier()
    assert [int(each) for each in taken] == [0, 1, 2]
    assert len(episode.saliency) == len(episode.seen) == 3
    kept = _played(PPO(net, Clock()), 50, variables, 0, True)
    assert (int(kept["turns"]), kept["saliency"].shape) == (3, (50, 1, 1))
    assert np.abs(kept["saliency"][:3]).max() > 0
    assert not np.abs(kept["saliency"][3:]).any()


def test_pictures_of_what_is_seen():
    planes = np.zeros((1, 2, 2, 4))
    planes[0, 0, 0, 0] = planes[0, 1, 1, [1, 3]] = 1
    picture = as_pictures(planes)[0]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 3  # nothing, the first, the last
    colours = np.random.default_rng(0).random((2, 3, 3, 3))
    np.testing.assert_array_equal(as_pictures(colours), np.rint(255 * colours).astype(np.uint8))
    stack = np.zeros((1, 84, 84, 4))
    stack[..., 3] = 1
    assert (as_pictures(stack) == 255).all()
    hot = overlaid(np.full((1, 2, 2, 3), 100, np.uint8), np.array([[[0, 0], [0, 5.0]]]))
    assert hot[0, 1, 1, 0] > 200
    assert hot[0, 0, 0].tolist() == [60, 60, 60]


def test_a_film_has_a_picture_for_every_turn(variables):
    episode = watch(TASK, variables, TEST, 10)
    content = film(as_pictures(episode.seen), episode.scores, episode.action, ("l", "s", "r"))
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.n_frames) == ("GIF", 3)
    longer = dataclasses.replace(
        episode,
        **{
            name: np.concatenate([getattr(episode, name)] * 4)
            for name in ("seen", "action", "scores", "value", "reward", "saliency")
        },
    )
    figure = longer.strip(("left", "stay", "right"))
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    gains = [title for title in titles if "," in title]
    assert len(titles) == 8
    assert len(gains) >= 3


def test_bars_of_values_tell_the_values_and_a_film_is_as_fast_as_it_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(episodes, "with_bars", lambda picture, *bars: told.append(bars) or picture)
    pictures = np.random.default_rng(0).integers(0, 255, (2, 4, 4, 3)).astype(np.uint8)
    values, actions = np.array([[-1.0, 3.0], [1.0, 0.5]]), np.array([1, 0])
    content = film(pictures, values, actions, ("l", "r"), policy=False, milliseconds=200 / 3)
    assert told[0] == ([("l", 0.0), ("r", 1.0)], 1, ["-1.00", "3.00"])
    assert told[1] == ([("l", 0.5), ("r", 0.375)], 0, ["1.00", "0.50"])
    with Image.open(io.BytesIO(content)) as image:
        assert image.info["duration"] == 70
    film(pictures, values, actions, ("l", "r"))
    assert told[-1][-1] is None


def test_moments_are_moved_to_rewards():
    rewards = np.zeros(80)
    rewards[[13, 15, 79]] = 1
    shown = moments(rewards, 8)
    assert len(shown) == 8
    assert {13, 79} <= set(shown)
    assert moments(np.zeros(1)) == [0]
