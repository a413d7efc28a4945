"""The Arcade Learning Environment on the host, as functions of bytes.

A snapshot is the emulator's whole state. ALE's own random numbers are not in it, and not used:
whoever plays says what each frame's action is.
"""

import difflib
import functools
import re
import threading
from typing import Any, NamedTuple

import numpy as np

from jresnet.errors import UsageError
from jresnet.extras import library

BLOCK = 1024  # snapshots are padded to a multiple of so many bytes
_lock = threading.Lock()


class Played(NamedTuple):
    """One decision: snapshot, the picture of its last two frames, reward, and what ended."""

    snapshot: np.ndarray
    picture: np.ndarray
    reward: np.ndarray
    over: np.ndarray
    lost: np.ndarray


def rom_of(name: str) -> str:
    """The ROM of a game, whichever way the name is written: Pong, space_invaders, ALE/Qbert-v5.

    Raises UsageError for one that there is not, with near ones.
    """
    known = {_letters(rom): rom for rom in library("ale_py.roms", "atari").get_all_rom_ids()}
    short = re.sub(r"^ALE/|(NoFrameskip)?-v\d+$", "", name)
    if _letters(short) in known:
        return known[_letters(short)]
    near = difflib.get_close_matches(_letters(short), known, 3, 0.5) or sorted(known)[:3]
    examples = ", ".join(known[each] for each in near)
    raise UsageError(f"game='atari:{name}': expected one that ale-py has, such as {examples}")


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


class Emulator:
    """One game; its methods depend on their arguments alone.

    `actions` are those of ALE that the game knows, `names` their names, `size` the bytes
    of a snapshot, `screen_shape` that of a picture in colours.
    """

    def __init__(self, rom: str) -> None:
        ale_py = library("ale_py", "atari")
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale: Any = ale_py.ALEInterface()
        self._state: Any = ale_py.ALEState
        self._ale.setInt("random_seed", 0)
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(library("ale_py.roms", "atari").get_rom_path(rom))
        chosen = self._ale.getMinimalActionSet()
        self.actions = tuple(chosen)
        self.names = tuple(action.name.lower() for action in chosen)
        self.screen_shape = (*self._ale.getScreenDims(), 3)
        self._ale.reset_game()
        # Its length hardly changes; half as much again is kept free.
        self.size = -(-len(self._bytes()) * 3 // (2 * BLOCK)) * BLOCK
        # Every game begins with this one: a second reset begins otherwise, by ALE's random numbers.
        self._fresh = self._clone()
        self._starts: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _bytes(self) -> bytes:
        return self._ale.cloneState().serialize()

    def _clone(self) -> np.ndarray:
        return self.packed(self._bytes())

    def packed(self, data: bytes) -> np.ndarray:
        """uint8 `[size]`: four bytes of the length, ALE's state, and zeros."""
        if len(data) + 4 > self.size:
            raise RuntimeError(f"a snapshot of {len(data)} bytes: expected {self.size - 4} or less")
        snapshot = np.zeros(self.size, np.uint8)
        snapshot[:4] = np.frombuffer(len(data).to_bytes(4, "little"), np.uint8)
        snapshot[4 : 4 + len(data)] = np.frombuffer(data, np.uint8)
        return snapshot

    def _restore(self, snapshot: np.ndarray) -> None:
        length = int.from_bytes(snapshot[:4].tobytes(), "little")
        self._ale.restoreState(self._state(snapshot[4 : 4 + length].tobytes()))

    def start(self, waits: int) -> tuple[np.ndarray, np.ndarray]:
        """Snapshot and picture of a new game after so many frames of no action."""
        if waits not in self._starts:
            self._restore(self._fresh)
            for _ in range(waits):
                self._ale.act(0)
            self._starts[waits] = self._clone(), shrunk(self._ale.getScreenGrayscale())
        return self._starts[waits]

    def screen(self, snapshot: np.ndarray) -> np.ndarray:
        """The picture in colours of the frame after a snapshot, without action, uint8 `[H, W, 3]`."""
        self._restore(snapshot)
        self._ale.act(0)
        return self._ale.getScreenRGB()

    def act(self, snapshot: np.ndarray, numbers: np.ndarray) -> Played:
        """Play the frames of one decision, of each the number of its action `[frames]`."""
        self._restore(snapshot)
        lives, reward, over = self._ale.lives(), 0.0, False
        screens = []
        for position, number in enumerate(numbers):
            reward += self._ale.act(self.actions[number])
            over = self._ale.game_over()
            if over or position >= len(numbers) - 2:
                screens.append(self._ale.getScreenGrayscale())
            if over:
                break
        picture = shrunk(np.max(screens[-2:], 0))
        lost = self._ale.lives() < lives
        return Played(
            self._clone(),
            picture,
            np.asarray(reward, np.float32),
            np.asarray(over),
            np.asarray(lost),
        )


@functools.cache
def emulator(rom: str) -> Emulator:
    """The one emulator of a game in this process. Its users hold `_lock`."""
    return Emulator(rom)


def starts(rom: str, waits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`Emulator.start` for an array of any shape."""
    with _lock:
        games = [emulator(rom).start(int(each)) for each in np.ravel(waits)]
    return tuple(_stacked(each, np.shape(waits)) for each in zip(*games, strict=True))  # type: ignore[return-value]


def screens(rom: str, snapshots: np.ndarray) -> np.ndarray:
    """`Emulator.screen` for snapshots with any axes before their last."""
    rows = np.reshape(snapshots, (-1, snapshots.shape[-1]))
    with _lock:
        pictures = tuple(emulator(rom).screen(row) for row in rows)
    return _stacked(pictures, np.shape(snapshots)[:-1])


def acts(rom: str, snapshots: np.ndarray, numbers: np.ndarray) -> Played:
    """`Emulator.act` for arrays with the same axes before their last."""
    shape = np.shape(snapshots)[:-1]
    rows = np.reshape(snapshots, (-1, snapshots.shape[-1]))
    actions = np.reshape(numbers, (-1, numbers.shape[-1]))
    with _lock:
        games = [emulator(rom).act(*each) for each in zip(rows, actions, strict=True)]
    return Played(*(_stacked(each, shape) for each in zip(*games, strict=True)))


def _stacked(parts: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    array = np.stack(parts)
    return array.reshape(shape + array.shape[1:])


def shrunk(screen: np.ndarray, side: int = 84) -> np.ndarray:
    """A screen `[height, width]` of uint8 as `[side, side]`, by the mean of the area of each pixel.

    The same to the bit as OpenCV's INTER_AREA, whose order of float32 additions it has.
    """
    rows, columns = (_areas(length, side) for length in screen.shape)
    values = screen.astype(np.float32)
    narrow = np.zeros((len(screen), side), np.float32)
    for pixels, shares in zip(*columns, strict=True):
        narrow += values[:, pixels] * shares
    small = np.zeros((side, side), np.float32)
    for pixels, shares in zip(*rows, strict=True):
        small += narrow[pixels] * shares[:, None]
    return np.rint(small).astype(np.uint8)


@functools.cache
def _areas(length: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """For each new pixel the old ones that it covers, and their shares: both `[most, side]`."""
    scale, covered = length / side, []
    for place in range(side):
        low, high = place * scale, min((place + 1) * scale, length)
        old = range(int(low), int(np.ceil(high - 1e-9)))
        shares = [min(pixel + 1, high) - max(pixel, low) for pixel in old]
        pairs = zip(old, shares, strict=True)
        covered.append([(pixel, share / scale) for pixel, share in pairs if share > 1e-3])
    most = max(len(each) for each in covered)
    filled = np.array([each + [(each[-1][0], 0.0)] * (most - len(each)) for each in covered])
    return filled[..., 0].T.astype(int), filled[..., 1].T.astype(np.float32)
