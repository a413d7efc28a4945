"""Examples that take long to read, kept in memory up to a limit."""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from jresnet.data.info import Example, Source

LIMIT = 4 << 30  # bytes of arrays, in each process


class Kept:
    """`source`, whose examples stay in memory after they are read; the longest unused goes first.

    Other processes get it empty.
    """

    def __init__(self, source: Source, limit: int = LIMIT):
        self.source, self.limit = source, limit
        self._start()

    def _start(self) -> None:
        self.examples: OrderedDict[int, Example] = OrderedDict()
        self.bytes = 0
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
