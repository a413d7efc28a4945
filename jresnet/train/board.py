"""TensorBoard events, written as they come: what goes wrong is raised here and now.

tensorboardX's own SummaryWriter hands them to a thread. That thread dies silently of a full disk,
and the run then waits for ever for the queue to empty.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

_FLUSH = 30.0  # seconds after which what was written is to be seen


_proto: Any = event_pb2  # made at import, unknown to type checkers


class Board:
    """The events of one sitting in `folder`, or nowhere if that is None.

    Those that an earlier sitting wrote from step `purge` on no longer count.
    """

    def __init__(self, folder: Path | None, purge: int):
        self.writer = None if folder is None else EventsWriter(str(folder / "events"))
        self.due = time.monotonic() + _FLUSH
        self._add(purge, session_log=_proto.SessionLog(status=_proto.SessionLog.START))

    def scalar(self, name: str, value: float, step: int) -> None:
        """A point of the curve `name`."""
        self._add(step, summary=summary.scalar(name, value))

    def images(self, name: str, images: np.ndarray, step: int) -> None:
        """Pictures, uint8 `[n, H, W, 3]`."""
        self._add(step, summary=summary.image(name, images, dataformats="NHWC"))

    def flush(self) -> None:
        """Raises OSError if the disk does not take them."""
        if self.writer is not None:
            self.writer.flush()

    def close(self) -> None:
        """Flush, and close the file."""
        if self.writer is not None:
            self.writer.close()

    def _add(self, step: int, **event: Any) -> None:
        if self.writer is None:
            return
        self.writer.write_event(_proto.Event(wall_time=time.time(), step=step, **event))
        if time.monotonic() > self.due:
            self.flush()
            self.due = time.monotonic() + _FLUSH
