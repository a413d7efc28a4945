"""Environments of gymnasium as worlds: a pure function of the pickled environment and an action."""

import dataclasses
import functools
import pickle
from typing import Any

import jax
import numpy as np

from jresnet.data.worlds import names
from jresnet.data.worlds.world import Turn
from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.text import shown

Array = jax.Array
TRIAL = 64  # random turns by which the bytes for a pickled environment are chosen
WIDEST = 2**16  # of bounds that scale what is seen: no picture has more than 16 bits


@dataclasses.dataclass(frozen=True)
class GymnasiumWorld:
    """An environment by its name in gymnasium, such as "mymodule:Maze-v0", of Python objects.

    It must be seen as `[H, W, channels]` or `[H, W]` of numbers, have a fixed number of actions,
    and pickle: that is how it becomes arrays that a checkpoint holds. So a checkpoint of such a run
    is code, which is to be loaded from nobody else.

    Pictures of uint8 from 0 to 255 stay; numbers within other bounds are scaled to [0, 1] by them,
    and those without bounds stay. Raises UsageError for an environment that is not so, or fails in
    `TRIAL` random turns.
    """

    name: str
    emulated = True  # too slow for what is played beside the training

    def __post_init__(self) -> None:
        environment = _built(self.name)
        spaces = library("gymnasium", "atari").spaces
        if not isinstance(environment.action_space, spaces.Discrete):
            raise self._refused(
                f"a fixed number of actions, has {type(environment.action_space).__name__}"
            )
        shape = getattr(environment.observation_space, "shape", None)
        if shape is None or len(shape) not in (2, 3):
            raise self._refused(f"one that is seen as [H, W, channels] or [H, W], is {shape}")
        try:
            pickle.loads(_pickled(self.name))
        except Exception as error:  # whatever an object of the user's says to this
            raise self._refused(f"one that pickles ({_line(error)})") from error
        try:
            _size(self.name)
        except Exception as error:
            raise self._refused(f"one that can be played ({_line(error)})") from error

    def _refused(self, expected: str) -> UsageError:
        return UsageError(f"game='gymnasium:{self.name}': expected {expected}")

    @property
    def actions(self) -> int:
        return int(_built(self.name).action_space.n)

    @property
    def shape(self) -> tuple[int, int, int]:
        shape = _built(self.name).observation_space.shape
        return shape if len(shape) == 3 else (*shape, 1)

    @property
    def _shapes(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        return (
            jax.ShapeDtypeStruct((_size(self.name),), np.uint8),
            jax.ShapeDtypeStruct(self.shape, _view(self.name).type),
        )

    def begin(self, key: Array) -> tuple[Array, Array]:
        """A new episode, whose seed the key decides."""
        seed = jax.random.bits(key)
        call = _Host("begun", self.name)
        return jax.pure_callback(call, self._shapes, seed, vmap_method="broadcast_all")

    def act(self, key: Array, state: Array, action: Array) -> tuple[Array, Turn]:
        """The environment's own random numbers are in its state: the key is not used."""
        del key
        flag = jax.ShapeDtypeStruct((), bool)
        shapes = (*self._shapes, jax.ShapeDtypeStruct((), np.float32), flag, flag)
        call = _Host("played", self.name)
        after, *turn = jax.pure_callback(call, shapes, state, action, vmap_method="broadcast_all")
        return after, Turn(*turn)


@dataclasses.dataclass(frozen=True)
class _Host:
    """`begun` or `played` row by row, for one environment; equal ones are one to the compiler."""

    function: str
    name: str

    def __call__(self, *arrays: Any) -> Any:
        first, *others = (np.asarray(array) for array in arrays)
        axes = first.ndim - (self.function == "played")
        shape = first.shape[:axes]
        rows = zip(
            first.reshape(-1, *first.shape[axes:]), *(x.ravel() for x in others), strict=True
        )
        function = begun if self.function == "begun" else played
        results = zip(*(function(self.name, *row) for row in rows), strict=True)
        stacked = (np.stack(parts) for parts in results)
        return tuple(array.reshape(shape + array.shape[1:]) for array in stacked)


def begun(name: str, seed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """State and what is seen at the start of an episode."""
    environment = pickle.loads(_pickled(name))
    seen, _ = environment.reset(seed=int(seed))
    return _packed(name, environment), _view(name)(seen)


def played(name: str, state: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, ...]:
    """State, what is seen, reward, terminated and truncated after an action.

    After the end nothing changes any more, and nothing is won. Raises UsageError for an environment
    that grows.
    """
    environment, over = pickle.loads(state.tobytes())  # what follows the pickle is ignored
    if over is not None:  # gymnasium does not say what a step after the end is
        return state, over, np.asarray(0, np.float32), np.asarray(True), np.asarray(False)
    first = int(environment.action_space.start)
    seen, reward, terminated, truncated, _ = environment.step(first + int(action))
    seen = _view(name)(seen)
    return (
        _packed(name, environment, seen if terminated or truncated else None),
        seen,
        np.asarray(reward, np.float32),
        np.asarray(terminated, bool),
        np.asarray(truncated and not terminated, bool),
    )


def _packed(name: str, environment: Any, over: np.ndarray | None = None) -> np.ndarray:
    """The environment, and after the end of its episode what was seen last."""
    data, size = pickle.dumps((environment, over)), _size(name)
    if len(data) > size:
        raise UsageError(
            f"game='gymnasium:{name}': expected an environment that stays as large as it is, "
            f"{size} bytes were kept for its pickle after {TRIAL} random turns, now it has "
            f"{len(data)}"
        )
    return np.frombuffer(data.ljust(size, b"\0"), np.uint8)


@functools.cache
def _size(name: str) -> int:
    """Bytes kept for a pickled environment: a power of two, at least twice the most that it took.

    The same in every process, so that checkpoints fit: seeds and actions are always the same, and
    environments that draw otherwise hardly come to another power.
    """
    environment, random = pickle.loads(_pickled(name)), np.random.default_rng(0)
    space, ended, most = environment.action_space, True, 0
    for turn in range(TRIAL):
        if ended:
            seen, ended = environment.reset(seed=turn)[0], False
        else:
            action = int(space.start) + int(random.integers(space.n))
            seen, _, terminated, truncated, _ = environment.step(action)
            ended = terminated or truncated
        most = max(most, len(pickle.dumps((environment, _view(name)(seen)))))
    return 1 << (2 * most - 1).bit_length()


@dataclasses.dataclass(frozen=True, eq=False)
class _View:
    """The pictures of an environment for a net: uint8 as it is, or float32 from 0 to 1.

    - type: numpy's, of the result.
    - low, span: what is taken off, and what is divided by.
    """

    type: Any = np.float32
    low: Any = 0.0
    span: Any = 1.0

    def __call__(self, seen: Any) -> np.ndarray:
        """`[H, W, channels]`."""
        seen = np.asarray(seen)
        if self.type == np.float32:
            seen = (seen - self.low) / self.span
        return seen.astype(self.type).reshape(*seen.shape, *(1,) * (3 - seen.ndim))


@functools.cache
def _view(name: str) -> _View:
    space = _built(name).observation_space
    if not hasattr(space, "low"):  # numbers that are not bounded
        return _View()
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if space.dtype == np.uint8 and (low == 0).all() and (high == 255).all():
        return _View(np.uint8)
    span = high / 2 - low / 2  # half, so that the bounds of a type do not overflow
    if not (span <= WIDEST / 2).all():
        return _View()
    return _View(low=low, span=np.where(span > 0, 2 * span, 1))


@functools.cache
def _pickled(name: str) -> bytes:
    return pickle.dumps(_built(name))


@functools.cache
def _built(name: str) -> Any:
    """The environment, never reset. Raises UsageError."""
    gymnasium = library("gymnasium", "atari")
    try:
        return gymnasium.make(name, disable_env_checker=True)
    except Exception as error:  # gymnasium's own, and any of the user's constructor
        # A name that is registered is not at fault: a library is missing, or the constructor fails.
        near = (
            ()
            if name.rpartition(":")[2] in gymnasium.registry
            else names.near(name, names.registered())
        )
        examples = f", such as {', '.join(near)}" if near else ""
        raise UsageError(
            f"game='gymnasium:{name}': expected one that gymnasium can make{examples} "
            f"({_line(error)})"
        ) from error


def _line(error: Exception) -> str:
    return shown(str(error) or type(error).__name__, 200)
