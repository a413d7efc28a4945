"""TensorBoard events, written as they come: what goes wrong is raised here and now.

tensorboardX's own SummaryWriter hands them to a thread. That thread dies silently of a full disk,
and the run then waits for ever for the queue to empty.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

_FLUSH = 30.0  # seconds after which what was written is to be seen


_proto: Any = event_pb2  # made at import, unknown to type checkers


class Board:
    """The events of one sitting in `folder`.

    Those that an earlier sitting wrote from step `purge` on no longer count.
    """

    def __init__(self, folder: Path, purge: int):
        self.writer = EventsWriter(str(folder / "events"))
        self.due = time.monotonic() + _FLUSH
        self._add(purge, session_log=_proto.SessionLog(status=_proto.SessionLog.START))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of several curves, by name."""
        for name, value in values.items():
            self._add(step, summary=summary.scalar(name, value))

    def images(self, name: str, images: np.ndarray, step: int) -> None:
        """Pictures, uint8 `[n, H, W, 3]`."""
        self._add(step, summary=summary.image(name, images, dataformats="NHWC"))

    def flush(self) -> None:
        """Raises OSError if the disk does not take them."""
        self.writer.flush()

    def close(self, error: BaseException | None = None) -> None:
        """Flush, and close the file, whatever ended the sitting."""
        del error
        self.writer.close()

    def _add(self, step: int, **event: Any) -> None:
        self.writer.write_event(_proto.Event(wall_time=time.time(), step=step, **event))
        if time.monotonic() > self.due:
            self.flush()
            self.due = time.monotonic() + _FLUSH
