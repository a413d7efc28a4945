"""Clips of videos: some frames at even distances, decoded from the nearest key frame.

A video is a file (PyAV, the extra `video`) or a folder of pictures, its frames in the order of the
numbers in their names. Files are read by time and not by number, so that a clip of a variable frame
rate spans as long as any other.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from jresnet.data.broken import ExampleError
from jresnet.data.decoders import DecodeError
from jresnet.data.film_length import Length, film_length
from jresnet.data.films import RATE, upright
from jresnet.data.images import decode, is_stretched
from jresnet.data.info import Example, Info, Spec
from jresnet.data.sources.files import by_number, is_hidden, is_image, read_file
from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.text import shown

# A frame may begin this share of its length after the moment that is wanted: time stamps are rounded.
SLACK = 0.25


def read_clip(path: Path, frames: int, stride: float, place: float) -> list[np.ndarray]:
    """Frames of a video, uint8 `[H, W, 3]` each, all of one size.

    Args:
        path: a file, or a folder of pictures.
        frames: how many.
        stride: frames of the video from one to the next, at its mean rate.
        place: where the clip begins, 0 for the first place that it fits in and 1 for the last.

    A video that is too short for the clip shows its last frame until the end.

    Raises ExampleError and DecodeError for a video that is empty, damaged or cut, and OSError.
    """
    if path.is_dir():
        return _of_pictures(path, frames, stride, place)
    _check_file(path)
    av: Any = library("av", "video")
    try:
        length = film_length(path)
        rate, first = length.rate, length.begin(frames, stride, place)
        moments = [first + stride * number / rate for number in range(frames)]
        # Some files cannot be sought in, or only to a frame behind: these are read from the start.
        chosen = _decoded(av, path, moments, SLACK / rate, seek=first > 0)
        if chosen is None:
            chosen = _decoded(av, path, moments, SLACK / rate, seek=False)
    except av.error.FFmpegError as error:
        raise DecodeError(_told(error)) from error
    if not chosen:
        raise ExampleError("a video without frames")
    return chosen


def read_length(path: Path) -> Length:
    """The length of a video. Raises as `read_clip`."""
    if path.is_dir():
        return Length(float(len(_names(path))), 1.0, "frame")
    _check_file(path)
    av: Any = library("av", "video")
    try:
        return film_length(path)
    except av.error.FFmpegError as error:
        raise DecodeError(_told(error)) from error


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    if not path.is_file():  # a pipe would be waited for
        raise DecodeError("a folder, pipe or device; expected a file")


def _told(error: Any) -> str:
    return f"is no video, or a damaged one: {shown(error.strerror or str(error))}"


def _names(folder: Path) -> list[str]:
    """The frames of a folder in their order. Raises ExampleError without any."""
    entries = (entry.name for entry in folder.iterdir())
    names = sorted((n for n in entries if is_image(n) and not is_hidden(n)), key=by_number)
    if not names:
        raise ExampleError("a folder without frames")
    return names


def _of_pictures(folder: Path, frames: int, stride: float, place: float) -> list[np.ndarray]:
    names = _names(folder)
    first = Length(float(len(names)), 1.0).begin(frames, stride, place)
    numbers = [min(round(first + stride * n), len(names) - 1) for n in range(frames)]
    files = {n: read_file(folder / names[n]) for n in sorted(set(numbers))}
    wide = [names[n] for n, file in files.items() if is_stretched(file)]
    if wide:
        raise ExampleError(f"its frame {wide[0]} has more than 8 bits: expected 8")
    pictures = {n: _colour(decode(file)) for n, file in files.items()}
    if len({picture.shape for picture in pictures.values()}) > 1:
        raise ExampleError("its frames differ in size")
    return [pictures[number] for number in numbers]


def _colour(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, -1)


def _decoded(
    av: Any, path: Path, moments: Sequence[float], slack: float, seek: bool
) -> list[np.ndarray] | None:
    """The frame that is shown at each of `moments`, seconds from the first frame on.

    The result is empty for a video without frames, and None where seeking led behind the first
    moment or to no frame at all.
    """
    chosen: list[np.ndarray] = []
    with av.open(f"file:{path}") as container:  # closed in any case: nothing is left behind
        stream = container.streams.video[0]
        start = float(stream.start_time * stream.time_base) if stream.start_time else 0.0
        if seek:
            try:
                target = int((moments[0] + start) / stream.time_base)
                container.seek(target, stream=stream, backward=True)
            except av.error.FFmpegError:
                return None
        before: Any = None
        time, each = 0.0, 1 / float(stream.average_rate or RATE)
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise DecodeError(f"is damaged at {time:.2f} seconds")
            # A frame without a time stamp follows the one before it.
            if frame.time is not None:
                time = frame.time - start
            elif before is not None:
                time += each
            elif seek:
                return None  # where it led is not known
            if before is None:
                if seek and time > moments[0] + slack:
                    return None
                before = frame
            while len(chosen) < len(moments) and time > moments[len(chosen)] + slack:
                chosen.append(_same(chosen, before))
            before = frame
            if len(chosen) == len(moments):
                return chosen
        if before is None:
            return None if seek else []
        while len(chosen) < len(moments):
            chosen.append(_same(chosen, before))
    return chosen


def _same(chosen: list[np.ndarray], frame: Any) -> np.ndarray:
    pixels = upright(frame)
    if chosen and chosen[0].shape != pixels.shape:
        raise ExampleError("its frames differ in size")
    return pixels


@dataclasses.dataclass(frozen=True)
class Clip:
    """`image` uint8 `[frames, *size, 3]`, `label` int32 [] and `video` int32 [], its number.

    Stored examples have `path`, `label`, `video` and, in evaluation, `place` (`read_clip`). The shorter
    side of the frames is scaled to `resize`, and the middle of `size` (height, width) is taken. With
    `random` the place in time is drawn, and so is that of the part, one for all frames of a clip.
    A stored `across`, 0 to 1, says where along the longer side the part lies in evaluation.
    `shuffled` is a control: the frames in a random order, in evaluation the same one every time.
    """

    frames: int
    stride: float = 1.0
    size: tuple[int, int] = (112, 112)
    resize: int = 128
    random: bool = False
    shuffled: bool = False

    def spec(self, info: Info) -> Spec:
        """Raises UsageError for a set that has no videos, and a part larger than the frames."""
        if info.class_of != "clip":
            raise UsageError(f"dataset={info.name!r}: expected videos with a class each")
        if self.frames < 1 or self.stride <= 0 or max(self.size) < 1:
            raise UsageError(
                f"frames={self.frames}, stride={self.stride}, size={self.size}: expected above 0"
            )
        if self.resize < max(self.size):
            raise UsageError(f"resize={self.resize}: expected at least the part's {self.size}")
        return {
            "image": jax.ShapeDtypeStruct((self.frames, *self.size, 3), np.uint8),
            "label": jax.ShapeDtypeStruct((), np.int32),
            "video": jax.ShapeDtypeStruct((), np.int32),
        }

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises ExampleError and DecodeError for a damaged video."""
        place, vertical, horizontal = rng.random(3) if self.random else (0.5, 0.5, 0.5)
        place = place if self.random else example.get("place", place)
        path = Path(example["path"])
        try:
            pictures = read_clip(path, self.frames, self.stride, float(place))
        except OSError as error:
            raise UsageError(f"cannot be read ({error.strerror or error})") from error
        if not self.random and "across" in example:
            tall = pictures[0].shape[0] > pictures[0].shape[1]
            across = float(example["across"])
            vertical, horizontal = (across, 0.5) if tall else (0.5, across)
        if self.shuffled:
            kept = np.random.default_rng((int(example.get("video", 0)), round(1000 * float(place))))
            pictures = [
                pictures[n] for n in (rng if self.random else kept).permutation(self.frames)
            ]
        box = _box(pictures[0].shape, self.size, self.resize, float(vertical), float(horizontal))
        height, width = self.size
        scaled = [
            np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR, box))
            for one in pictures
        ]
        return {
            "image": np.stack(scaled),
            "label": np.asarray(example["label"], np.int32),
            "video": np.asarray(example.get("video", 0), np.int32),
        }

    def validate(self, arrays: Mapping[str, np.ndarray], info: Info) -> None:
        """Raises ExampleError for a class that the set does not have."""
        if not 0 <= (label := int(arrays["label"])) < info.num_classes:
            raise ExampleError(f"label {label}: expected 0 to {info.num_classes - 1}")


def _box(
    shape: Sequence[int], size: tuple[int, int], resize: int, vertical: float, horizontal: float
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the part in pixels of the frame."""
    scale = min(shape[:2]) / resize
    height, width = size[0] * scale, size[1] * scale
    top, left = vertical * (shape[0] - height), horizontal * (shape[1] - width)
    return max(0.0, left), max(0.0, top), min(left + width, shape[1]), min(top + height, shape[0])


def places(views: int) -> tuple[float, ...]:
    """Where so many clips of a video begin, evenly from its start to its end; one in the middle.

    Raises UsageError for fewer than one.
    """
    if views < 1:
        raise UsageError(f"views={views}: expected at least 1")
    if views == 1:
        return (0.5,)
    return tuple(number / (views - 1) for number in range(views))
