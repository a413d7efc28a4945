"""Atari: pictures, rewards and ends as gymnasium has them, from any snapshot to the bit."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet import extras
from jresnet.data.worlds import atari_emulator as host
from jresnet.data.worlds.atari import AtariWorld
from jresnet.data.worlds.named import world_named
from jresnet.errors import UsageError
from jresnet.tasks.play import begin, roll

ale_py = pytest.importorskip("ale_py", reason="the extra `atari` is not installed")


def turns(world, waits, actions, start=None):
    """The outcomes of actions `[n]`, after so many frames of waiting, or from a start."""
    snapshot, picture = start or host.starts(world.rom, np.asarray(waits))
    seen = np.repeat(picture[..., None], world.stack, -1)
    zero = jnp.zeros((), jnp.int32)
    state = {"snapshot": jnp.asarray(snapshot), "seen": seen, "before": zero, "frames": zero}
    act = jax.jit(world.act)
    for turn, action in enumerate(actions):
        state, outcome = act(jax.random.key(turn), state, jnp.asarray(action))
        yield outcome


@pytest.mark.parametrize("game", ["breakout", "pong"])
def test_the_preprocessing_is_that_of_gymnasium(game):
    gymnasium, _ = pytest.importorskip("gymnasium"), pytest.importorskip("cv2")
    gymnasium.register_envs(ale_py)
    name = f"ALE/{game.capitalize()}-v5"
    bare = gymnasium.make(name, frameskip=1, repeat_action_probability=0.0)
    wrapped = gymnasium.wrappers.AtariPreprocessing(bare, noop_max=30)
    wrapped = gymnasium.wrappers.FrameStackObservation(wrapped, 4)
    seen, _ = wrapped.reset(seed=5)
    world = world_named(f"atari:{game.capitalize()}")
    assert world.action_names == tuple(a.lower() for a in bare.unwrapped.get_action_meanings())
    # Its emulator has other random numbers at its start: it is from there that both play.
    start = host.emulator(game).packed(bare.unwrapped.ale.cloneState().serialize()), seen[-1]
    actions = np.random.default_rng(0).integers(0, world.actions, 250)
    rewards = lost = 0
    lives = bare.unwrapped.ale.lives()
    for action, turn in zip(actions, turns(world, 0, actions, start), strict=True):
        seen, reward, terminated, _, info = wrapped.step(int(action))
        assert (turn.reward, turn.terminated) == (reward, terminated)
        assert bool(turn.lost) == (info["lives"] < lives)
        lives, rewards, lost = info["lives"], rewards + abs(reward), lost + bool(turn.lost)
        if terminated:
            break
        np.testing.assert_array_equal(np.moveaxis(np.asarray(turn.seen), -1, 0), seen)
    assert rewards > 0
    assert lost > 0 or game == "pong"


def test_people_see_the_consoles_colours_and_looking_changes_nothing():
    game, world, alone = (
        host.emulator("breakout"),
        world_named("atari:Breakout"),
        emulator("breakout"),
    )
    snapshot, _ = host.starts("breakout", np.asarray(3))
    actions = np.random.default_rng(0).integers(0, world.actions, 40)
    state = world.begin(jax.random.key(0))[0] | {"snapshot": jnp.asarray(snapshot)}
    look, act = jax.jit(world.screen), jax.jit(world.act)
    alone._restore(snapshot)
    for action in actions:
        for _ in range(4):
            alone._ale.act(alone.actions[action])
        state = act(jax.random.key(0), state, jnp.asarray(action))[0]
        before = np.array(state["snapshot"])
        screen = look(state)
        np.testing.assert_array_equal(before, state["snapshot"])
    alone._ale.act(0)
    np.testing.assert_array_equal(screen, alone._ale.getScreenRGB())
    assert screen.shape == game.screen_shape == (210, 160, 3)
    assert len(np.unique(screen.reshape(-1, 3), axis=0)) > 6  # the rows of bricks
    pair = jax.vmap(world.screen)({"snapshot": jnp.stack([state["snapshot"], snapshot])})
    np.testing.assert_array_equal(pair[0], screen)
    assert world.milliseconds == pytest.approx(66.7, abs=0.1)


@functools.cache
def emulator(rom):
    return host.Emulator(rom)


@pytest.mark.parametrize("rom", ["breakout", "seaquest", "montezuma_revenge"])
def test_a_game_goes_on_from_its_snapshot_to_the_bit(rom):
    # One game without a pause, and one that is put back before every turn while another is played.
    fresh, ours = emulator(rom), host.emulator(rom)
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, len(ours.actions), (40, 4))
    straight, snapshot = fresh._ale, ours.start(7)[0]
    straight.reset_game()
    for _ in range(7):
        straight.act(0)
    for row in numbers:
        expected, reward = [], 0
        for number in row:
            reward += straight.act(fresh.actions[number])
            expected.append(straight.getScreenGrayscale())
        played = ours.act(snapshot, row)
        np.testing.assert_array_equal(played.picture, host.shrunk(np.max(expected[-2:], 0)))
        assert (played.reward, played.over) == (reward, straight.game_over())
        other = ours.act(ours.start(3)[0], row[::-1])
        assert not np.array_equal(other.snapshot, played.snapshot)
        again = ours.act(snapshot, row)
        for one, two in zip(played, again, strict=True):
            np.testing.assert_array_equal(one, two)
        snapshot = played.snapshot
    assert snapshot[:4].any()


def test_another_process_begins_and_plays_the_same():
    code = (
        "import zlib, numpy as np; from jresnet.data.worlds import atari_emulator as host; "
        "e = host.emulator('pong'); p = e.act(e.start(9)[0], np.array([1, 2, 3, 3])); "
        "print([zlib.crc32(np.ascontiguousarray(x)) for x in p])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    namespace: dict = {}
    exec(code.replace("print(", "result = ("), namespace)
    assert there.stdout.strip() == str(namespace["result"])


def test_sticky_frames_repeat_the_action_before():
    seen = []
    for sticky in (0.0, 1.0, 0.5):
        world = AtariWorld("pong", sticky=sticky)
        seen.append([np.asarray(t.seen) for t in turns(world, 5, [2, 2, 3] * 8)])
    still = [np.asarray(t.seen) for t in turns(AtariWorld("pong"), 5, [0] * 24)]
    assert np.array_equal(seen[1], still)  # the action before the first is none, and stays
    assert not np.array_equal(seen[0], still)
    assert not np.array_equal(seen[2], seen[0])


def test_a_lost_life_is_an_end_to_learning_and_the_return_is_of_the_whole_game():
    world = AtariWorld("breakout", waits=1)

    def serve(key, seen):  # fire, and never move: a life is lost every few turns
        return jnp.ones(len(seen), jnp.int32), {}

    playing = jax.jit(lambda: begin(world, jax.random.key(0), 2))()
    rolled = jax.jit(lambda p, k: roll(world, serve, None, p, k, 150))
    playing, played, finished = rolled(playing, jax.random.key(1))
    ends = np.asarray(played["terminated"])
    games = float(finished[1])
    assert games >= 2
    # A game has five lives; the last of them ends it.
    lives = 5 - np.asarray([host.emulator("breakout")._restore(np.asarray(s)) or host.emulator("breakout")._ale.lives() for s in playing["worlds"]["snapshot"]])  # fmt: skip
    assert ends.sum() == 5 * games + lives.sum()
    assert float(finished[0]) + float(playing["running"].sum()) == played["reward"].sum()


def test_a_game_is_cut_off_at_its_limit():
    outcomes = list(turns(AtariWorld("pong", limit=12), 1, [0] * 3))
    assert [bool(turn.truncated) for turn in outcomes] == [False, False, True]


@pytest.mark.parametrize("name", ["Pong", "ALE/Pong-v5", "PongNoFrameskip-v4", "pong"])
def test_a_game_goes_by_any_of_its_names(name):
    assert world_named(f"atari:{name}") == AtariWorld("pong")


def test_what_is_no_game_is_told_in_one_line(monkeypatch):
    with pytest.raises(UsageError, match=r"game='atari:Brakeout': .* such as breakout"):
        world_named("atari:Brakeout")
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"ale_py is not installed: pip install 'jresnet\[atari\]'"
    ):
        world_named("atari:Pong")
