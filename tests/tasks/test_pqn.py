"""PQN: targets in NumPy, exploration, learning, killed and resumed to the bit, one device as eight."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.models import zoo
from jresnet.recipes.games import SHARDING
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import MEMORY
from jresnet.tasks.play import begin
from jresnet.tasks.pqn import PQN
from jresnet.tasks.q_values import as_logits, explored, falling
from jresnet.train.loop import Plan, fit
from tests.tasks.small_worlds import CatchWorld, Clock
from tests.tasks.test_ppo import DATA, Dying, records
from tests.train.test_loop import Killed, assert_bit_equal

NET = zoo.small_impala(3, 4, hidden=16, values=True, norm=True)
TASK = PQN(NET, CatchWorld(), 8, 2, 4, exploration=40, longest=5)
PLAN = Plan(10, seed=1, save_every=3, log_every=5)


def train(folder, plan=PLAN, data=DATA, devices=1):
    rules = SHARDING if devices > 1 else ()
    optimizer, mesh = optax.radam(1e-2), make_mesh(devices)
    return fit(TASK, optimizer, data, plan, folder, "pqn", mesh, sharding=rules)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pqn")
    return folder, train(folder)


def test_killed_between_two_playings_it_goes_on_to_the_same_bits(undisturbed, tmp_path):
    folder, fitted = undisturbed
    with pytest.raises(Killed):
        train(tmp_path, data=Dying(16, 19, 16))
    resumed = train(tmp_path)
    assert_bit_equal(resumed.state, fitted.state)
    assert resumed.metrics == fitted.metrics
    assert (tmp_path / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()
    memory = fitted.state.model_state[MEMORY]
    assert (int(memory["frames"]), int(memory["step"])) == (2 * 8 * 16, 10)


def test_eight_devices_play_and_learn_as_one(undisturbed, tmp_path):
    folder, fitted = undisturbed
    eight = train(tmp_path, devices=8)
    seen = eight.state.model_state[MEMORY]["played"]["seen"]
    assert seen.sharding.shard_shape(seen.shape)[1] == 2  # of 16 worlds
    for one, other in zip(records(folder), records(tmp_path), strict=True):
        assert one.pop("split") == other.pop("split")
        assert one == pytest.approx(other, rel=2e-3, abs=2e-4)
    assert eight.metrics["test"] == pytest.approx(fitted.metrics["test"], abs=1e-6)


@dataclasses.dataclass(frozen=True)
class Told:
    """Values that can be read off what is seen: action `a` is worth 10 a + the time."""

    def apply(self, net, seen, train):
        return jnp.stack([seen[:, 0, 0, 0], 10 + seen[:, 0, 0, 0]], -1)


def test_targets_are_those_of_the_paper_over_time_limits():
    # Two turns and a time limit; the best action is worth 10 more than the time that is seen.
    task = PQN(Told(), Clock(limit=2), turns=5, gamma=0.9, lam=0.6)
    playing = begin(task.world, jax.random.key(0), 1)
    _, played, _ = task._play({}, playing, jax.random.key(1), 0.0)
    assert played["action"][:, 0].tolist() == [1] * 5

    def cut(time):  # a turn that a limit or the end of the round cuts off
        return 1 + 0.9 * (10 + time)

    def before(later, time):
        return 1 + 0.9 * (0.6 * later + 0.4 * (10 + time))

    limited = [before(cut(2), 1), cut(2)]
    assert played["target"][:, 0].tolist() == pytest.approx([*limited, *limited, cut(1)])


def test_a_share_of_the_actions_is_random():
    values = jnp.tile(jnp.array([0.0, 5.0, -1.0, 4.0]), (40_000, 1))
    for epsilon in (0.0, 0.2, 1.0):
        chosen = np.bincount(explored(jax.random.key(0), values, epsilon), minlength=4) / 40_000
        expected = np.full(4, epsilon / 4) + np.array([0, 1 - epsilon, 0, 0])
        np.testing.assert_allclose(chosen, expected, atol=0.01)
        assert as_logits(values[:1], epsilon).argmax() == 1  # the greedy player's choice
    shares = [float(falling(jnp.asarray(step), 10, 0.1)) for step in (0, 5, 10, 99)]
    assert shares == pytest.approx([1, 0.55, 0.1, 0.1])


def test_it_learns_to_catch(tmp_path):
    fitted = train(tmp_path, Plan(160, log_every=40))
    returns = [r["sampled_return"] for r in records(tmp_path) if r["split"] == "train"]
    assert returns[0] < 0.3
    assert fitted.metrics["test"]["greedy_return"] > 0.9
    assert fitted.metrics["test"]["sampled_return"] > 0.7
