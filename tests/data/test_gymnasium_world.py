"""A user's environment of gymnasium as a world: the same episodes, from any state."""

import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.worlds.named import world_named
from jresnet.errors import UsageError

gymnasium = pytest.importorskip("gymnasium", reason="the extra `atari` is not installed")
NAME = "gymnasium:tests.data.gymnasium_games:Dice-v0"


def test_an_episode_is_that_of_the_environment():
    world = world_named(NAME)
    assert (world.actions, world.shape) == (2, (2, 3, 1))
    environment = gymnasium.make(NAME.partition(":")[2])
    state, seen = jax.jit(jax.vmap(world.begin))(jax.random.split(jax.random.key(0), 3))
    act = jax.jit(jax.vmap(world.act))
    key = jax.random.split(jax.random.key(0), 3)[1]
    expected, _ = environment.reset(seed=int(jax.random.bits(key)))
    for turn in range(8):
        np.testing.assert_array_equal(seen[1], expected)
        action = turn % 2
        before, actions = state, jnp.full(3, action)
        state, outcome = act(jax.random.split(jax.random.key(9), 3), before, actions)
        again, _ = act(jax.random.split(jax.random.key(9), 3), before, actions)
        np.testing.assert_array_equal(state, again)
        expected, reward, terminated, truncated, _ = environment.step(
            environment.action_space.start + action
        )
        assert (outcome.reward[1], outcome.terminated[1]) == (reward, terminated)
        assert outcome.truncated[1] == (truncated and not terminated)
        seen = outcome.seen
        if ended := terminated or truncated:
            break
    else:
        ended = False
    assert seen.dtype == np.uint8
    assert ended
    state, later = act(jax.random.split(jax.random.key(9), 3), state, jnp.ones(3, jnp.int32))
    assert (later.reward[1], later.terminated[1]) == (0, True)  # whatever the environment says
    np.testing.assert_array_equal(later.seen[1], seen[1])
    assert not np.array_equal(seen[0], seen[1]) or not np.array_equal(seen[0], seen[2])


def test_a_class_that_is_not_registered_says_how_it_is_played():
    name = "tests.data.gymnasium_games:Dice"
    with pytest.raises(
        UsageError, match=r"is then game gymnasium:tests\.data\.gymnasium_games:NAME-v0"
    ):
        world_named(name)


@pytest.mark.skipif(importlib.util.find_spec("Box2D") is not None, reason="Box2D is installed")
def test_a_library_that_is_missing_is_named_and_not_the_name_blamed():
    with pytest.raises(UsageError, match=r"pip install .*gymnasium\[box2d\]") as caught:
        world_named("gymnasium:CarRacing-v3")
    assert "such as" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Dice-v00", "expected one that gymnasium can make, such as"),
        ("Pendulum-v1", "expected a fixed number of actions, has Box"),
        ("CartPole-v1", "expected one that is seen as [H, W, channels], is (4,)"),
        ("tests.data.gymnasium_games:Locked-v0", "expected one that pickles ("),
    ],
)
def test_what_cannot_be_a_world_is_told_in_one_line(name, says):
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        world_named(f"gymnasium:{name}")
    assert str(caught.value).startswith(f"game='gymnasium:{name}': ")
    assert "\n" not in str(caught.value)
