"""Digits of scikit-learn that move: a class for each digit and direction, known by motion alone.

A digit lies anywhere on a canvas whose opposite sides meet, so that a single frame of any direction
is drawn from the same distribution: what tells direction from one frame has cheated.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from jresnet.data.info import Example, Info, Source, Spec
from jresnet.data.sources.resolve import default_data_dir, open_split
from jresnet.errors import UsageError
from jresnet.extras import library

FRAMES, SIDE = 8, 16
# (down, right) in pixels a frame.
DIRECTIONS = {
    "right": (0, 1),
    "down right": (1, 1),
    "down": (1, 0),
    "down left": (1, -1),
    "left": (0, -1),
    "up left": (-1, -1),
    "up": (-1, 0),
    "up right": (-1, 1),
}
CLASSES = tuple(f"{digit} {name}" for digit in range(10) for name in DIRECTIONS)


def moving(digit: np.ndarray, direction: int, start: tuple[int, int]) -> np.ndarray:
    """A clip of a digit uint8 `[8, 8, 1]` that starts at (row, column): uint8 `[8, 16, 16, 1]`."""
    down, right = list(DIRECTIONS.values())[direction]
    canvas = np.zeros((SIDE, SIDE, 1), np.uint8)
    canvas[: digit.shape[0], : digit.shape[1]] = digit
    # Where each row and column of each frame comes from, [frames, side].
    rows, columns = (
        (np.arange(SIDE) - place - step * np.arange(FRAMES)[:, None]) % SIDE
        for place, step in zip(start, (down, right), strict=True)
    )
    return canvas[rows[:, :, None], columns[:, None, :]]


@dataclasses.dataclass(frozen=True)
class MovingDigits:
    """Every digit of a split in each of eight directions, from a place of its own.

    - `frames`: `ordered`; `shuffled`, the control, in a random order that is kept: the line of motion
      can be told and not which way, so that no net is right about more than half of the
      directions; `one`, the first frame alone.

    An example is `image` uint8 `[8, 16, 16, 1]`, or `[1, 16, 16, 1]`, `label` int32 (8 x digit + direction), and `video`.
    """

    frames: str = "ordered"

    def info(self) -> Info:
        """Raises UsageError for another word for the frames."""
        if self.frames not in ("ordered", "shuffled", "one"):
            raise UsageError(f"frames={self.frames!r}: expected ordered, shuffled or one")
        shape = (1 if self.frames == "one" else FRAMES, SIDE, SIDE, 1)
        spec: Spec = {
            "image": jax.ShapeDtypeStruct(shape, np.uint8),
            "label": jax.ShapeDtypeStruct((), np.int32),
            "video": jax.ShapeDtypeStruct((), np.int32),
        }
        sizes = {"train": 8 * 1500, "test": 8 * 297}
        return Info("moving digits", len(CLASSES), CLASSES, shape, sizes, "clip", spec)

    def open(self, split: str, encoded: bool = False) -> "MovingSource":
        """The clips of "train" or "test". Raises UsageError."""
        del encoded
        if split not in ("train", "test"):
            raise UsageError(f"split={split!r}: expected one of train, test")
        return MovingSource(open_split("digits", split, default_data_dir()), split, self.frames)


@dataclasses.dataclass(frozen=True)
class MovingSource:
    """One split."""

    digits: Source
    split: str
    frames: str = "ordered"

    def __len__(self) -> int:
        return len(DIRECTIONS) * len(self.digits)

    def describe(self, index: int) -> str:
        """Such as "test clip 17"."""
        return f"{self.split} clip {index}"

    def __getitem__(self, index: int) -> Example:
        number, direction = divmod(index, len(DIRECTIONS))
        digit = self.digits[number]
        rng = np.random.default_rng((("train", "test").index(self.split), index))
        row, column = rng.integers(0, SIDE, 2).tolist()
        clip = moving(digit["image"], direction, (row, column))
        if self.frames == "shuffled":
            clip = clip[rng.permutation(FRAMES)]
        elif self.frames == "one":
            clip = clip[:1]
        label = len(DIRECTIONS) * int(digit["label"]) + direction
        return {"image": clip, "label": np.int32(label), "video": np.int32(index)}


def write_films(
    folder: Path, counts: dict[str, int], told: Callable[[str], None] = lambda line: None
) -> None:
    """Write clips as `SPLIT/CLASS/NUMBER.mp4` of 64 x 64 pixels, a fixed random part of a split.

    `counts` says how many of each split; `told` is called with a line a split. Files that are there
    are left. Raises UsageError without PyAV.
    """
    library("av", "video")
    for split, count in counts.items():
        source = MovingDigits().open(split)
        order = np.random.default_rng(0).permutation(len(source))
        for index in order[:count].tolist():
            example = source[index]
            path = folder / split / CLASSES[example["label"]] / f"{index:05}.mp4"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, example["image"])
        told(f"{count} videos of {split} in {folder / split}")


def _write(path: Path, clip: np.ndarray) -> None:
    av = library("av", "video")
    large = np.repeat(clip.repeat(4, 1).repeat(4, 2), 3, -1)
    partial = path.with_name(f".{path.name}")  # an interrupted command leaves no half of a video
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.height, stream.width = large.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for pixels in large:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    partial.rename(path)
