"""One example as people look at it: where it is from, its result, its picture."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Legend = Sequence[tuple[str, str]]  # (colour as "#rrggbb", its meaning)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the table that `predict` prints.

    `texts` are all that may stand in it, or its longest: they decide its width. Numbers are set to
    the `right`.
    """

    heading: str
    texts: tuple[str, ...] = ()
    right: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
    """An example drawn with its result: uint8 `[H, W, 1 or 3]`, and a caption of one line.

    `colour`, one of the task's legend, is that of its frame on a page.
    """

    pixels: np.ndarray
    caption: str = ""
    colour: str | None = None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The result of one file.

    Attributes:
      rows: lines of the table, with a text for each `Column`.
      record: what programs read, as JSON has it: boxes in pixels of the original, names of classes.
      drawing: the result drawn for people, uint8 `[H, W, 1 or 3]`.
      images: results that are pictures themselves, such as a label map at the original's size or a
        picture made larger, by name: uint8 `[H, W]`, `[H, W, 1 or 3]`, or uint16 `[H, W]`.
      joined: entries of files that hold the results of all pictures, by the file's name: lists that
        are put together as JSON.
      files: results in formats of their own, such as a volume's map: bytes by the file's ending.
    """

    rows: Sequence[Sequence[str]]
    record: Mapping[str, Any]
    drawing: np.ndarray | None = None
    images: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    joined: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Case:
    """One example on the host.

    Attributes:
      name: its file, or its number in a split.
      arrays: the example as the net was given it, without the axis of the batch. In training the
        truth is among them, in `predict` what `Predictor.unlabelled` put in its place.
      classes: names of the classes, if the data has them.
      original: gives the picture before any preparation, uint8 `[H, W, 1 or 3]`; None if there is
        none, as in training.
      place: `[2, 3]`, takes (x, y, 1) in pixels of the prepared picture to (x, y) in pixels of the
        original. Pixel 0 lies from 0 to 1. None: they are the same.
      file: the bytes of its file; None if there is none, as in training.
      identity: its id in the set that it is of; None where its name is all.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    classes: Sequence[str] = ()
    original: Callable[[], np.ndarray] | None = None
    place: np.ndarray | None = None
    file: bytes | None = None
    identity: Any = None

    def class_name(self, number: int) -> str:
        """The name of a class, or its number if it has none."""
        return self.classes[number] if number < len(self.classes) else str(int(number))

    def picture(self) -> np.ndarray:
        """The original, or what the net was given: uint8 `[H, W, 1 or 3]`."""
        return self.arrays["image"] if self.original is None else self.original()

    def to_original(self, points: np.ndarray) -> np.ndarray:
        """Points `[..., 2]`, x and y in the prepared picture, in pixels of the original."""
        if self.place is None:
            return points
        return points @ self.place[:, :2].T + self.place[:, 2]

    def map_to_original(self, labels: np.ndarray, outside: int) -> np.ndarray:
        """A map `[h, w]` of the prepared picture at the original's size, by the nearest pixel.

        Pixels that the preparation cut away become `outside`.
        """
        height, width = self.picture().shape[:2]
        matrix = np.eye(3)
        if self.place is not None:
            matrix[:2] = self.place
        y, x = np.mgrid[:height, :width] + 0.5
        x, y, _ = np.floor(np.linalg.inv(matrix) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1))
        inside = (x >= 0) & (x < labels.shape[1]) & (y >= 0) & (y < labels.shape[0])
        result = np.full(height * width, outside, labels.dtype)
        result[inside] = labels[y[inside].astype(int), x[inside].astype(int)]
        return result.reshape(height, width)
