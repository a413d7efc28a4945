"""Examples that take long to read, kept in memory up to a limit."""

import logging
import os
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from jresnet.data.info import Example, Source

LARGEST = 4 << 30  # bytes of arrays, in each process,
SHARE = 8  # and at most this part of the machine's memory

logger = logging.getLogger(__name__)


def default_limit() -> int:
    """Bytes that are kept: 4 GiB, and less on a machine with less than 32 GiB of memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # systems that do not tell
        return LARGEST
    return min(LARGEST, memory // SHARE)


class Kept:
    """`source`, whose examples stay in memory after they are read; the longest unused goes first.

    At most `limit` bytes of arrays, by default `default_limit()`; a line says when it is reached.
    Other processes get it empty.
    """

    def __init__(self, source: Source, limit: int | None = None):
        self.source, self.limit = source, default_limit() if limit is None else limit
        self._start()

    def _start(self) -> None:
        self.examples: OrderedDict[int, Example] = OrderedDict()
        self.bytes, self.told = 0, False
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.source)

    def describe(self, index: int) -> str:
        """The name that the source itself gives it."""
        return self.source.describe(index)

    def __getitem__(self, index: int) -> Example:
        with self.lock:
            if index in self.examples:
                self.examples.move_to_end(index)
                return dict(self.examples[index])
        example = self.source[index]
        with self.lock:
            if index not in self.examples:
                self.examples[index] = example
                self.bytes += size(example)
            if self.bytes > self.limit and not self.told:
                self.told = True
                logger.warning(
                    "%.1f GiB of decoded examples are kept in memory: the others of %d are decoded "
                    "each time",
                    self.limit / 2**30, len(self.source),
                )  # fmt: skip
            while self.bytes > self.limit:
                self.bytes -= size(self.examples.popitem(last=False)[1])
        return dict(example)

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.source, self.limit = state["source"], state["limit"]
        self._start()


def size(example: Example) -> int:
    """Bytes of the arrays of an example."""
    return sum(value.nbytes for value in example.values() if isinstance(value, np.ndarray))
