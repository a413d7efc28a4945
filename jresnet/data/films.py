"""Frames of video files, one after the other, by PyAV (the extra `video`)."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jresnet.data.decoders import DecodeError
from jresnet.extras import library
from jresnet.text import shown

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv")

RATE = 25.0  # frames a second of a film that does not say
# A film that ends before this share of its time was cut; the last frame's length is not always known.
COMPLETE = 0.9


def is_film(path: Path) -> bool:
    """Whether a file's name is that of a video."""
    return path.suffix.lower() in SUFFIXES


def frames(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video in the order in which they are shown, uint8 `[H, W, 3]` each.

    They are decoded one by one, so that a long film needs no more memory than a short one, and
    turned as the file's rotation tag says. Raises OSError, and DecodeError for a file that is no
    video, has no frame, or is damaged; the frames before the damage have been given then.
    """
    av: Any = library("av", "video")
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    if not path.is_file():  # a pipe would be waited for
        raise DecodeError("a folder, pipe or device; expected a file")
    count, end = 0, 0.0
    try:
        with av.open(f"file:{path}") as container:  # a colon in a name is no protocol
            if not container.streams.video:
                raise DecodeError("has no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise DecodeError(f"is damaged after {count} frames")
                yield upright(frame)
                count, end = count + 1, _end(frame, stream)
            promised = _duration(container, stream)
    except av.error.FFmpegError as error:
        # PyAV's message begins with a number that says nothing.
        reason = shown(error.strerror or str(error))
        after = f" after {count} frames" if count else ""
        raise DecodeError(f"is no video, or a damaged one{after}: {reason}") from error
    if not count:
        raise DecodeError("a video without frames")
    if end < COMPLETE * promised:
        raise DecodeError(f"ends after {count} frames, at {end:.2f} of {promised:.2f} seconds")


def _end(frame: Any, stream: Any) -> float:
    """When a frame is no longer shown, in seconds of the file's clock, which may not begin at 0."""
    length = float(frame.duration * frame.time_base) if frame.duration else 0.0
    return (frame.time or 0.0) + max(length, 1 / float(stream.average_rate or RATE))


def _duration(container: Any, stream: Any) -> float:
    """The seconds that a film promises; 0 where it does not say.

    Some files tell it only of all streams together, of which the sound may be longer.
    """
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration and not container.streams.audio:
        return container.duration / 1e6
    return 0.0


def upright(frame: Any) -> np.ndarray:
    """A frame of PyAV, turned as its rotation tag says."""
    pixels = frame.to_ndarray(format="rgb24")
    # FFmpeg's angle is counterclockwise, as numpy's.
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))


def as_png(pixels: np.ndarray) -> bytes:
    """The file of a frame, uint8 `[H, W, 3]`; made for speed, not for size."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
