"""Every agent: it learns, is killed and resumed to the same bits, and on eight devices is as on one."""

import dataclasses
import json
from typing import Any, NamedTuple

import optax
import pytest

from jresnet.data.worlds.episodes import Episodes
from jresnet.recipes.games import SHARDING
from jresnet.recipes.value_games import REPLAY_SHARDING
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import MEMORY
from jresnet.train.loop import Plan, fit
from tests.tasks import test_dqn, test_ppo, test_pqn
from tests.train.test_loop import Killed, assert_bit_equal

DATA = Episodes(16, 19, 16)
PLAN = Plan(10, seed=1, save_every=3, log_every=5)


class Agent(NamedTuple):
    """A task, how it is trained, and the frames that ten steps play."""

    task: Any
    optimizer: Any
    rules: Any
    frames: int


AGENTS = {
    # Rounds of 8 turns are played before steps 0, 4 and 8, by PQN before 0 and 8.
    "ppo": Agent(test_ppo.TASK, optax.adam(1e-2), SHARDING, 3 * 8 * 16),
    "pqn": Agent(test_pqn.TASK, optax.radam(1e-2), SHARDING, 2 * 8 * 16),
    "dqn": Agent(test_dqn.PLAIN, optax.adam(1e-2), REPLAY_SHARDING, 256 + 10 * 2 * 16),
    "rainbow": Agent(test_dqn.RAINBOW, optax.adam(1e-2), REPLAY_SHARDING, 256 + 10 * 2 * 16),
}


RESUMED = ("ppo", "pqn", "rainbow")  # which has all that dqn has


@dataclasses.dataclass(frozen=True)
class Dying(Episodes):
    """Data of a process that dies in the middle of a round of learning."""

    def train(self, start=0, host=(0, 1)):
        for number, batch in enumerate(super().train(start, host), start):
            if number == 7:
                raise Killed
            yield batch


def train(name, folder, data=DATA, devices=1, plan=PLAN):
    agent = AGENTS[name]
    rules, mesh = agent.rules if devices > 1 else (), make_mesh(devices)
    return fit(agent.task, agent.optimizer, data, plan, folder, name, mesh, sharding=rules)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A function from an agent's name to the folder and the result of its whole training."""
    whole = {}

    def trained(name):
        if name not in whole:
            folder = tmp_path_factory.mktemp(name)
            whole[name] = folder, train(name, folder)
        return whole[name]

    return trained


@pytest.mark.parametrize(
    "name", ["ppo", *(pytest.param(n, marks=pytest.mark.slow) for n in RESUMED[1:])]
)
def test_killed_an_agent_goes_on_to_the_same_bits(name, undisturbed, tmp_path):
    folder, fitted = undisturbed(name)
    with pytest.raises(Killed):
        train(name, tmp_path, Dying(16, 19, 16))
    resumed = train(name, tmp_path)
    assert_bit_equal(resumed.state, fitted.state)
    assert resumed.metrics == fitted.metrics
    assert (tmp_path / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()
    memory = fitted.state.model_state[MEMORY]
    assert (int(memory["frames"]), int(memory["step"])) == (AGENTS[name].frames, 10)
    if name == "rainbow":
        assert int(memory["replay"]["count"]) == 16 + 10 * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_eight_devices_play_and_learn_as_one(name, undisturbed, tmp_path):
    folder, fitted = undisturbed(name)
    eight = train(name, tmp_path, devices=8)
    memory = eight.state.model_state[MEMORY]
    kept = "replay" if name == "rainbow" else "played"
    for array, axis in ((memory["playing"]["seen"], 0), (memory[kept]["seen"], 1)):
        assert array.sharding.shard_shape(array.shape)[axis] == 2  # of 16 worlds
    for one, other in zip(records(folder), records(tmp_path), strict=True):
        assert one.pop("split") == other.pop("split")
        assert one == pytest.approx(other, rel=2e-3, abs=2e-4)
    assert eight.metrics["test"] == pytest.approx(fitted.metrics["test"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", AGENTS)
def test_it_learns_to_catch(name, tmp_path):
    fitted = train(name, tmp_path, plan=Plan(160, log_every=40))
    returns = [each["sampled_return"] for each in records(tmp_path) if each["split"] == "train"]
    assert returns[0] < 0.3
    assert fitted.metrics["test"]["greedy_return"] > 0.9
    if name != "rainbow":  # whose noise is not in the evaluation
        assert fitted.metrics["test"]["sampled_return"] > 0.7
