"""Worlds by name, MinAtar through gymnax, seeds of episodes."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet import extras
from jresnet.data.worlds.episodes import TEST, Episodes
from jresnet.data.worlds.gymnax_world import GymnaxWorld, _environment
from jresnet.data.worlds.named import world_named
from jresnet.data.worlds.names import near
from jresnet.data.worlds.rooms import Rooms
from jresnet.description import describe, rebuild
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.run import readiness
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.ppo import PPO
from jresnet.train.loop import Plan
from tests.tasks.small_worlds import CatchWorld

MISSING = "the extra `games` is not installed: gymnax 1.0.1 keeps jax below 0.12"


def test_a_game_plays_as_gymnax_plays_it():
    gymnax = pytest.importorskip("gymnax", reason=MISSING)
    world = world_named("breakout")
    assert (world.actions, world.shape) == (3, (10, 10, 4))
    environment, parameters = gymnax.make("Breakout-MinAtar")
    state, seen = world.begin(jax.random.key(3))
    expected, other = environment.reset(jax.random.key(3), parameters)
    step, act = jax.jit(environment.step), jax.jit(world.act)
    terminated = False
    for turn in range(40):
        np.testing.assert_array_equal(seen, expected)
        key, action = jax.random.key(turn), turn % 3
        state, outcome = act(key, state, action)
        expected, other, reward, terminated, truncated, info = step(key, other, action, parameters)
        seen = outcome.seen
        np.testing.assert_array_equal(seen, info["final_observation"])
        assert (outcome.reward, outcome.terminated) == (reward, terminated)
        assert outcome.truncated == (truncated and not terminated)
        if terminated:
            break
    assert terminated


def test_a_time_limit_is_told_from_the_end_of_a_game():
    pytest.importorskip("gymnax", reason=MISSING)
    world = world_named("breakout")
    state, _ = world.begin(jax.random.key(0))
    late = state.replace(time=jnp.asarray(999, state.time.dtype))
    _, turn = world.act(jax.random.key(0), late, 0)
    assert (bool(turn.terminated), bool(turn.truncated)) == (False, True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Breakout-MinAttar", "such as Breakout-MinAtar"),
        ("freway", "the name of a game, such as freeway"),
        ("atari", "expected atari:NAME, such as atari:Pong"),
        ("gymnasium", "expected gymnasium:NAME, such as gymnasium:CarRacing-v3"),
        ("xyzzy", "the name of a game, such as breakout, rooms, atari:pong$"),
        ("Pendulum-v1", "expected a fixed number of actions, has Box"),
        ("CartPole-v1", r"expected one that is seen as \[H, W, channels\], is \(4,\)"),
        ("nowhere:Maze", "expected MODULE:NAME of a world"),
        ("tests.tasks.small_worlds:SIDE", "expected a World, it has no actions, shape, begin, act"),
    ],
)
def test_what_is_no_game_is_told_in_one_line(name, says):
    pytest.importorskip("gymnax", reason=MISSING)
    with pytest.raises(UsageError, match=says) as caught:
        world_named(name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"game={name!r}: ")


def test_a_world_of_the_user_goes_by_name():
    world = world_named("tests.tasks.small_worlds:CatchWorld")
    assert type(world) is sys.modules["tests.tasks.small_worlds"].CatchWorld


def test_case_and_signs_of_a_name_do_not_matter():
    pytest.importorskip("gymnax", reason=MISSING)
    for name in ("space_invaders", "SpaceInvaders", "space invaders", "spaceinvaders-minatar"):
        assert world_named(name).game == "SpaceInvaders-MinAtar"
    assert world_named("Breakout") == world_named("breakout")
    assert world_named("ROOMS") == Rooms()


def test_near_names_are_of_all_kinds_and_never_the_name_itself():
    known = [
        "Breakout-MinAtar",
        "breakout",
        "atari:breakout",
        "gymnasium:CarRacing-v3",
        "atari:pong",
    ]
    assert near("BREAKOT", known)[0] == "breakout"
    assert set(near("Breakot", known)) == {"breakout", "atari:breakout", "Breakout-MinAtar"}
    assert near("carracing-v2", known) == ["gymnasium:CarRacing-v3"]
    assert near("breakout", known) == ["atari:breakout", "Breakout-MinAtar"]
    assert near("xyzzy", known) == []


def test_an_environment_of_gymnax_of_the_user_is_played_as_those_of_gymnax():
    pytest.importorskip("gymnax", reason=MISSING)
    name = "tests.data.gymnax_games:Double"
    world, usual = world_named(name), world_named("breakout")
    assert isinstance(world, GymnaxWorld)
    assert rebuild(describe(world)) == world
    assert (world.actions, world.shape, world.action_names) == (
        3,
        (10, 10, 4),
        ("none", "left", "right"),
    )
    state, _ = world.begin(jax.random.key(0))
    act, other = jax.jit(world.act), jax.jit(usual.act)
    rewards = []
    for turn in range(12):
        key = jax.random.key(turn)
        _, expected = other(key, state, turn % 3)
        state, outcome = act(key, state, turn % 3)
        np.testing.assert_array_equal(outcome.seen, expected.seen)
        rewards.append((float(outcome.reward), float(expected.reward)))
    assert all(one == 2 * usual for one, usual in rewards)
    assert any(usual for _, usual in rewards)


def test_a_recorded_name_of_an_environment_calls_no_other_class():
    with pytest.raises(
        UsageError, match=r"expected an environment of gymnax 1\.0, it has no step_env"
    ):
        GymnaxWorld("tempfile:TemporaryDirectory")


def test_without_gymnax_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    _environment.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'jresnet\[games\]'"):
        world_named("breakout")


@pytest.mark.parametrize("hosts", [1, 2])
def test_every_seed_once_and_none_of_a_filled_row(hosts):
    data = Episodes(8, 5, 4)
    seeds = []
    for host in range(hosts):
        for batch in data.examples("test", (host, hosts)):
            assert len(batch["seed"]) == 4 // hosts
            seeds += batch["seed"][batch["valid"] > 0].tolist()
    assert sorted(seeds) == list(range(TEST, TEST + 5))
    with pytest.raises(UsageError, match="episodes=0: expected 1 or more"):
        Episodes(8, 0).check()


def test_worlds_that_do_not_divide_among_devices_are_named_and_episodes_are_filled_up():
    mesh, data = make_mesh(8), Episodes(12, 9, 9)
    task = PPO(zoo.small_impala(3, 4, hidden=8), CatchWorld(), 2)
    says = "worlds=12: expected a multiple of the 8 devices, such as 8"
    with pytest.raises(UsageError, match=says):
        readiness.check([(task, data, Plan(1))], mesh)
    readiness.check([(task, Episodes(16, 9, 9), Plan(1))], mesh)
    filled = data.for_devices(8)
    seeds = [b["seed"][b["valid"] > 0] for b in filled.examples("test")]
    assert filled.eval_batch_size == 16
    assert np.concatenate(seeds).tolist() == list(range(TEST, TEST + 9))


def test_a_run_records_its_game_so_that_it_can_be_played_again():
    pytest.importorskip("gymnax", reason=MISSING)
    world = world_named("breakout")
    assert describe(world) != describe(world_named("freeway"))
    assert rebuild(describe(world)) == world
