"""The length of a video file, read at its end, and whether it is as long as it promises."""

import contextlib
import functools
from pathlib import Path
from typing import Any, NamedTuple

from jresnet.data.decoders import DecodeError
from jresnet.data.films import COMPLETE, RATE
from jresnet.extras import library


class Length(NamedTuple):
    """How long a video is: `total` in a unit, and frames in one unit on average.

    The unit is a second, or a frame of a folder of pictures, whose rate nobody knows.
    """

    total: float
    rate: float
    unit: str = "second"

    def begin(self, frames: int, stride: float, place: float) -> float:
        """Where a clip begins, as `clips.read_clip` places it."""
        return place * max(0.0, self.total - self.span(frames, stride))

    def span(self, frames: int, stride: float) -> float:
        """How long a clip is, with the time that its last frame is shown."""
        return ((frames - 1) * stride + 1) / self.rate


def film_length(path: Path) -> Length:
    """Seconds, and frames a second on average.

    A file is looked at once for as long as it stays the same. Only its end is read, where it can be
    sought in and says how long it is, and nothing is decoded.

    Raises DecodeError for a file without video, and for one that was cut: it ends before `COMPLETE`
    of its promised time. Raises OSError, and FFmpeg's errors for what is no video.
    """
    status = path.stat()
    return _measured(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(1 << 16)
def _measured(path: Path, size: int, changed: int) -> Length:
    del size, changed  # another file under the same name
    av: Any = library("av", "video")
    with av.open(f"file:{path}") as container:
        if not container.streams.video:
            raise DecodeError("has no video")
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or RATE)
        start = _seconds(stream.start_time, stream)
        told = _seconds(stream.duration, stream)
        # Matroska and WebM tell the time of all streams together.
        promised = told or (container.duration or 0) / 1e6
        if promised:
            with contextlib.suppress(av.error.FFmpegError):  # then it is read from its start
                target = int((COMPLETE * promised + start) / stream.time_base)
                container.seek(target, stream=stream, backward=True)
        end, last = _ends(container, stream.index, rate)
    if promised and end is None:  # seeking led beyond the last frame
        with av.open(f"file:{path}") as container:
            end, last = _ends(container, container.streams.video[0].index, rate)
    if end is None or last is None:
        return Length(told, rate)
    # Some count a duration from the first frame, others from zero: a late start is no fault.
    reached = end if told else last
    if reached < COMPLETE * promised:
        raise DecodeError(f"ends at {reached:.2f} of {promised:.2f} seconds")
    # Some promise less than they hold: MPEG program streams, and AVI files without an index.
    return Length(max(told, end - start), rate)


def _seconds(stamp: int | None, stream: Any) -> float:
    return float(stamp * stream.time_base) if stamp else 0.0


def _ends(container: Any, index: int, rate: float) -> tuple[float | None, float | None]:
    """The end in seconds of a stream and of all, by what comes from here on; nothing is decoded."""
    ends: dict[int, float] = {}
    for packet in container.demux():
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None:
            length = max(1 / rate, float((packet.duration or 0) * packet.time_base))
            end = float(stamp * packet.time_base) + length
            ends[packet.stream.index] = max(end, ends.get(packet.stream.index, end))
    return ends.get(index), max(ends.values(), default=None)
