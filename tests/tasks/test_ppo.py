"""PPO: the loss in NumPy, and minibatches."""

import dataclasses

import jax
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.tasks.base import MEMORY
from jresnet.tasks.ppo import PPO
from jresnet.tasks.rounds import minibatch
from tests.tasks.small_worlds import CatchWorld

TASK = PPO(zoo.small_impala(3, 4, hidden=16), CatchWorld(), 8, 2, 2, longest=5)


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


@dataclasses.dataclass(frozen=True)
class Tripled(CatchWorld):
    """Rewards of 3 and -3 instead of 1 and -1."""

    def act(self, key, state, action):
        state, turn = super().act(key, state, action)
        return state, turn._replace(reward=3 * turn.reward)


def test_signs_of_rewards_are_learnt_from_and_returns_stay_whole():
    variables = jax.jit(TASK.init)(jax.random.key(0), {"seed": np.zeros(16, np.uint32)})
    net, playing = {"params": variables["params"]}, variables[MEMORY]["playing"]

    def played(**changes):
        task = dataclasses.replace(TASK, **changes)
        _, kept, finished = jax.jit(task._play)(net, playing, jax.random.key(1))
        return np.asarray(kept["advantage"]), float(finished[0])

    one, tripled = played(), played(world=Tripled())
    signs = played(world=Tripled(), signs=True)
    np.testing.assert_array_equal(signs[0], one[0])
    assert np.abs(tripled[0] - one[0]).max() > 0.1
    assert signs[1] == tripled[1] == 3 * one[1] != 0


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
