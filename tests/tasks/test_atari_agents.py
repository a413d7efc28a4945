"""Agents on Atari: killed and resumed to the bit, the emulator included; one device as two."""

import jax
import numpy as np
import optax
import pytest

from jresnet.data.worlds.episodes import Episodes
from jresnet.models import zoo
from jresnet.recipes.games import SHARDING
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import MEMORY
from jresnet.tasks.pqn import PQN
from jresnet.tasks.watch import watch
from jresnet.train.loop import Plan, fit
from tests.tasks.test_agents import Dying
from tests.train.test_loop import Killed, assert_bit_equal

pytest.importorskip("ale_py", reason="the extra `atari` is not installed")


def task():
    from jresnet.data.worlds.atari import AtariWorld

    net = zoo.nature_cnn(6, hidden=8, values=True, norm=True)
    return PQN(net, AtariWorld("pong", sticky=0.25), 3, 1, 2, signs=True, longest=4)


def train(folder, data=None, devices=1, steps=10):
    rules = SHARDING if devices > 1 else ()
    return fit(
        task(), optax.sgd(1e-3), data or Episodes(4, 2, 2), Plan(steps, seed=1, save_every=3, log_every=2),
        folder, "atari", make_mesh(devices), sharding=rules,
    )  # fmt: skip


@pytest.mark.slow
def test_an_episode_is_looked_at_in_colours():
    agent = task()
    seen = np.zeros((1, *agent.world.shape), np.float32)
    variables = agent.model.init(jax.random.key(0), seen, train=False)
    episode = watch(agent, variables, 0, 3)
    assert episode.screen.shape == (3, 210, 160, 3)
    assert (episode.pictures() == episode.screen).all()
    assert np.ptp(episode.screen.astype(int), -1).max() > 50  # not grey
    assert episode.seen.shape == (*episode.saliency.shape, 4) == (3, 84, 84, 4)
    titles = [ax.get_title() for ax in episode.strip(agent.world.action_names).axes]
    assert titles.count("turn 1") == 1


@pytest.mark.slow
def test_killed_it_goes_on_from_the_emulators_to_the_same_bits(tmp_path):
    whole = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "killed", data=Dying(4, 2, 2))
    resumed = train(tmp_path / "killed")
    assert_bit_equal(resumed.state, whole.state)
    assert resumed.metrics == whole.metrics
    one, other = (tmp_path / name / "metrics.jsonl" for name in ("whole", "killed"))
    assert one.read_bytes() == other.read_bytes()
    playing = whole.state.model_state[MEMORY]["playing"]
    assert (playing["worlds"]["frames"] == 5 * 3 * 4).all()
    snapshots = np.asarray(playing["worlds"]["snapshot"])
    assert len({row.tobytes() for row in snapshots}) == 4
    two = train(tmp_path / "two", devices=2)
    for name in ("snapshot", "seen"):
        array = two.state.model_state[MEMORY]["playing"]["worlds"][name]
        assert array.sharding.shard_shape(array.shape)[0] == 2
        np.testing.assert_array_equal(array, playing["worlds"][name])
