"""A user's environment of gymnasium as a world: the same episodes, from any state."""

import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.data.worlds.episodes import Episodes
from jresnet.data.worlds.named import world_named
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.pqn import PQN
from jresnet.train.loop import Plan, fit

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


@pytest.mark.parametrize("name", ["Numbers", "Small", "Few", "Wide"])
def test_numbers_are_scaled_by_their_bounds_and_maps_get_a_channel(name):
    world = world_named(f"gymnasium:tests.data.gymnasium_games:{name}-v0")
    assert world.shape == (2, 3, 1)
    state, seen = world.begin(jax.random.key(1))
    assert (seen.shape, seen.dtype) == ((2, 3, 1), np.float32)
    low, high = (-1e9, 1e9) if name == "Wide" else (0, 1)  # bounds that are none
    assert sorted(set(np.ravel(seen).tolist())) == [low, high]
    _, turn = world.act(jax.random.key(2), state, 0)
    assert sorted(set(np.ravel(turn.seen).tolist())) == [low, high]


def test_an_environment_that_grows_ends_a_training_with_one_line(tmp_path, caplog):
    world = world_named("gymnasium:tests.data.gymnasium_games:Growing-v0")
    net = zoo.small_impala(2, 4, hidden=4, values=True, norm=True)
    task = PQN(net, world, 60, 1, 1)
    plan = Plan(4, save_every=1)
    with pytest.raises(UsageError, match=r"^game='gymnasium:tests\.data.*stays as large") as caught:
        fit(task, optax.sgd(1e-3), Episodes(1, 1, 1), plan, tmp_path, mesh=make_mesh(1))
    assert "\n" not in str(caught.value)
    assert not [record for record in caplog.records if record.exc_info]  # no traceback of jax
    assert (tmp_path / "checkpoints" / "1").is_dir()  # turn 100 is in the second round


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
        ("CartPole-v1", "expected one that is seen as [H, W, channels] or [H, W], is (4,)"),
        ("tests.data.gymnasium_games:Locked-v0", "expected one that pickles ("),
        (
            "tests.data.gymnasium_games:Failing-v0",
            "expected one that can be played ('nothing there')",
        ),
    ],
)
def test_what_cannot_be_a_world_is_told_in_one_line(name, says):
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        world_named(f"gymnasium:{name}")
    assert str(caught.value).startswith(f"game='gymnasium:{name}': ")
    assert "\n" not in str(caught.value)
