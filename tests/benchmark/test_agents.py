"""Agents beside a loop of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.benchmark import agents, plain_agents
from jresnet.benchmark.timing import OURS
from jresnet.data.worlds.rooms import Rooms
from jresnet.models import zoo
from jresnet.models.published import count_net
from jresnet.recipes.games import RECIPES
from jresnet.tasks.returns import gae
from tests.nets import random_variables


def plain_params(ours):
    """Our net's parameters under the names of the plain one."""
    body, block = ours["backbone"], ours["backbone"]["stage1"]["block1"]
    convs = (body["conv1"], block["conv1"], block["conv2"])
    denses = (ours["hidden"], ours["policy"], ours["value"])
    return {f"Conv_{n}": conv for n, conv in enumerate(convs)} | {
        f"Dense_{n}": dense for n, dense in enumerate(denses)
    }


def test_the_peer_has_the_same_net():
    world = Rooms()
    net = zoo.small_impala(world.actions, agents.WIDTH, hidden=agents.HIDDEN)
    peer = plain_agents.PlainNet(world.actions, agents.WIDTH, agents.HIDDEN)
    variables = random_variables(net, world.shape)
    seen = jax.random.uniform(jax.random.key(0), (3, *world.shape))
    expected = net.apply(variables, seen, train=False)
    actual = peer.apply({"params": plain_params(variables["params"])}, seen)
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_peer_s_advantages_are_ours_where_no_time_limit_ends_an_episode():
    rng = np.random.default_rng(0)
    shape = (7, 3)
    reward, value = (jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(2))
    done, last = jnp.asarray(rng.random(shape) < 0.3), jnp.asarray(rng.normal(size=3), jnp.float32)
    recipe = RECIPES["minutes"]
    none = jnp.zeros(shape)
    turns = plain_agents.Turn(none, none, none, value, reward, done)
    following = jnp.concatenate([value[1:], last[None]])
    expected = gae(reward, value, following, done, jnp.zeros(shape, bool), recipe.gamma, recipe.lam)
    actual = plain_agents.advantages(recipe, turns, last)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_both_play_as_many_frames_and_learn(monkeypatch):
    short = dataclasses.replace(RECIPES["minutes"], turns=4, epochs=1, minibatches=2)
    monkeypatch.setitem(RECIPES, "minutes", short)
    timed = dict(agents.ppo("rooms", "train", 16, plain_agents, None))
    assert list(timed) == [OURS, "plain Flax"]
    for contestant in timed.values():
        contestant.run(2)
        assert contestant.compile_seconds > 0


def test_the_net_that_is_timed_is_the_default_one_of_the_experiment():
    assert count_net(zoo.small_impala(3), (10, 10, 4))[0] == 210_676  # as the results have it
    assert (agents.WIDTH, agents.HIDDEN) == (16, 128)
