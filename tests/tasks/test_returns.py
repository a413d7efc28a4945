"""Targets against sums written out turn by turn in NumPy, and the two ends of an episode."""

import numpy as np
import pytest

from jresnet.tasks.returns import double, gae, q_lambda

GAMMA, LAM, TURNS, WORLDS = 0.9, 0.7, 12, 5


def played(seed=0, ends=0.2):
    rng = np.random.default_rng(seed)
    rewards, values, following = rng.normal(size=(3, TURNS, WORLDS)).astype(np.float32)
    end = rng.random((TURNS, WORLDS))
    return rewards, values, following, end < ends / 2, (end >= ends / 2) & (end < ends)


def from_turn(first, world, parts, steps, value):
    """The discounted rewards of so many steps from `first` and the value after them, one world."""
    rewards, following, terminated, truncated = (part[:, world] for part in parts)
    total = 0.0
    for k in range(steps):
        turn = first + k
        total += GAMMA**k * rewards[turn]
        if terminated[turn]:
            return total
        if truncated[turn] or k == steps - 1 or turn == TURNS - 1:
            return total + GAMMA ** (k + 1) * following[turn] * value
    raise AssertionError


def left(first, world, terminated, truncated):
    """Steps from `first` to the end of its episode or of what was played."""
    ends = np.flatnonzero((terminated | truncated)[first:, world])
    return ends[0] + 1 if len(ends) else TURNS - first


def mixed(first, world, parts, lam):
    """The lambda return: the n-step ones, weighted (Sutton and Barto, equation 12.3)."""
    longest = left(first, world, *parts[2:])
    returns = [from_turn(first, world, parts, n, 1.0) for n in range(1, longest + 1)]
    weights = [(1 - lam) * lam ** (n - 1) for n in range(1, longest)] + [lam ** (longest - 1)]
    return np.dot(weights, returns)


@pytest.mark.parametrize("ends", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("lam", [0.0, LAM, 1.0])
def test_lambda_returns_are_the_weighted_sums(ends, lam):
    rewards, values, following, terminated, truncated = played(ends=ends)
    parts = rewards, following, terminated, truncated
    places = np.ndindex(TURNS, WORLDS)
    expected = np.reshape([mixed(t, w, parts, lam) for t, w in places], (TURNS, WORLDS))
    targets = q_lambda(*parts, GAMMA, lam)
    np.testing.assert_allclose(targets, expected, rtol=1e-4, atol=1e-5)
    # An advantage depends on the value of its own turn, and on those between only if they agree.
    following = np.where(terminated | truncated, following, np.roll(values, -1, 0))
    following[-1] = parts[1][-1]
    parts = rewards, following, terminated, truncated
    expected = np.reshape([mixed(t, w, parts, lam) for t, w in np.ndindex(TURNS, WORLDS)], (TURNS, WORLDS))  # fmt: skip
    advantages = gae(rewards, values, following, terminated, truncated, GAMMA, lam)
    np.testing.assert_allclose(advantages, expected - values, rtol=1e-4, atol=1e-5)


def test_a_time_limit_is_no_end_of_the_game():
    rewards, following = np.zeros((1, 1), np.float32), np.full((1, 1), 10.0, np.float32)
    yes, no = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    for ends, value in (((yes, no), 0.0), ((no, yes), 9.0), ((no, no), 9.0)):
        assert float(q_lambda(rewards, following, *ends, GAMMA, LAM)[0, 0]) == pytest.approx(value)
        assert float(gae(rewards, 0 * rewards, following, *ends, GAMMA, LAM)[0, 0]) == (
            pytest.approx(value)
        )


def test_double_takes_the_value_of_another_nets_choice():
    online, target = np.array([[1.0, 3.0, 2.0]]), np.array([[9.0, 4.0, 7.0]])
    assert double(online, target).tolist() == [4.0]


def test_the_same_as_rlax_where_it_is_installed():
    rlax = pytest.importorskip("rlax")
    rewards, _, following, terminated, truncated = (part[:, 0] for part in played(5))
    truncated = np.zeros_like(truncated)
    values = np.concatenate([[0.3], following]).astype(np.float32)
    discounts = GAMMA * (1 - terminated.astype(np.float32))
    expected = rlax.truncated_generalized_advantage_estimation(rewards, discounts, LAM, values)
    actual = gae(rewards, values[:-1], values[1:], terminated, truncated, GAMMA, LAM)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    expected = rlax.lambda_returns(rewards, discounts, following, LAM)
    actual = q_lambda(rewards, following, terminated, truncated, GAMMA, LAM)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
