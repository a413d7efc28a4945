"""PQN: targets in NumPy, and exploration."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.tasks.play import begin
from jresnet.tasks.pqn import PQN
from jresnet.tasks.q_values import as_logits, explored, falling
from tests.tasks.small_worlds import CatchWorld, Clock

NET = zoo.small_impala(3, 4, hidden=16, values=True, norm=True)
TASK = PQN(NET, CatchWorld(), 8, 2, 4, exploration=40, longest=5)


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
