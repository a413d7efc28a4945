"""PPO: the loss in NumPy, learning, killed and resumed to the bit, one device as eight."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest

from jresnet.data.worlds.episodes import Episodes
from jresnet.models import zoo
from jresnet.recipes.games import SHARDING
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import MEMORY
from jresnet.tasks.ppo import PPO
from jresnet.tasks.rounds import minibatch
from jresnet.train.loop import Plan, fit
from tests.tasks.small_worlds import CatchWorld
from tests.train.test_loop import Killed, assert_bit_equal

TASK = PPO(zoo.small_impala(3, 4, hidden=16), CatchWorld(), 8, 2, 2, longest=5)
DATA = Episodes(16, 19, 16)
PLAN = Plan(10, seed=1, save_every=3, log_every=5)


@dataclasses.dataclass(frozen=True)
class Dying(Episodes):
    """Data of a process that dies in the middle of a round of learning."""

    def train(self, start=0, host=(0, 1)):
        for number, batch in enumerate(super().train(start, host), start):
            if number == 7:
                raise Killed
            yield batch


def train(folder, plan=PLAN, data=DATA, devices=1):
    rules = SHARDING if devices > 1 else ()
    optimizer, mesh = optax.adam(1e-2), make_mesh(devices)
    return fit(TASK, optimizer, data, plan, folder, "ppo", mesh, sharding=rules)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ppo")
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
    assert memory["frames"] == 3 * 8 * 16  # played before steps 0, 4 and 8
    assert memory["step"] == 10


def test_eight_devices_play_and_learn_as_one(undisturbed, tmp_path):
    folder, fitted = undisturbed
    eight = train(tmp_path, devices=8)
    memory = eight.state.model_state[MEMORY]
    for array, rows in ((memory["playing"]["seen"], 0), (memory["played"]["seen"], 1)):
        assert array.sharding.shard_shape(array.shape)[rows] == 2  # of 16 worlds
    for one, other in zip(records(folder), records(tmp_path), strict=True):
        assert one.pop("split") == other.pop("split")
        assert one == pytest.approx(other, rel=2e-3, abs=2e-4)
    assert eight.metrics["test"] == pytest.approx(fitted.metrics["test"], abs=1e-6)


def test_each_epoch_learns_from_every_frame_once():
    variables = jax.jit(TASK.init)(jax.random.key(0), {"seed": np.zeros(16, np.uint32)})
    memory = {**variables[MEMORY], "order": np.uint32(7)}
    numbers = np.arange(8 * 16).reshape(8, 16)
    memory["played"] = {**memory["played"], "action": numbers}
    rows = [np.asarray(minibatch(memory, phase, 2)[0]["action"]) for phase in range(4)]
    for epoch in (0, 2):
        both = np.concatenate(rows[epoch : epoch + 2])
        assert sorted(both) == list(range(8 * 16))
    assert (rows[0] != rows[2]).any()


def test_the_loss_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    logits, values = rng.normal(size=(6, 3)), rng.normal(size=6)

    class Fixed:
        def apply(self, *_, **__):
            return logits, values

    part = {
        "seen": None,
        "action": np.array([0, 1, 2, 0, 1, 2]),
        "advantage": rng.normal(size=6),
        "value": rng.normal(size=6),
        "likelihood": np.log(rng.uniform(0.1, 0.6, 6)),
    }
    loss, metrics = dataclasses.replace(TASK, model=Fixed())._measure({}, part)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ratio = p[np.arange(6), part["action"]] / np.exp(part["likelihood"])
    normal = (part["advantage"] - part["advantage"].mean()) / part["advantage"].std()
    policy = [min(r * a, np.clip(r, 0.8, 1.2) * a) for r, a in zip(ratio, normal, strict=True)]
    target = part["advantage"] + part["value"]
    near = part["value"] + np.clip(values - part["value"], -0.2, 0.2)
    error = np.maximum((values - target) ** 2, (near - target) ** 2) / 2
    entropy = -(p * np.log(p)).sum(1)
    assert float(loss) == pytest.approx(-np.mean(policy) + 0.5 * error.mean() - 0.01 * entropy.mean(), rel=1e-4)  # fmt: skip
    clipped, count = metrics["clipped"]
    assert (float(clipped), float(count)) == (np.sum(abs(ratio - 1) > 0.2), 6)


def test_it_learns_to_catch(tmp_path):
    fitted = train(tmp_path, Plan(160, log_every=40))
    returns = [r["sampled_return"] for r in records(tmp_path) if r["split"] == "train"]
    assert returns[0] < 0.3
    assert fitted.metrics["test"]["greedy_return"] > 0.9
