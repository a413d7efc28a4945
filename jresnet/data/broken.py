"""Examples whose files are broken: how many a set may have, and a ledger that names each once.

In training the next readable example of the same shape takes a broken one's place, so that batch k stays a
function of (seed, k); in evaluation it counts for nothing.
"""

import itertools
import logging
from collections.abc import Callable, Generator, Iterator

import numpy as np

from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)

SHARE = 0.01


class ExampleError(ValueError):
    """An example that cannot be used. Its message has no name: callers that know it add it."""


class BrokenExampleError(UsageError):
    """An example whose files are damaged or do not fit each other; names it.

    It is counted and left out. A file that cannot be opened stops the run with another UsageError.
    """


def allowed(size: int) -> int:
    """How many of a split of that size may be broken: 1 %, and one in any case."""
    return max(1, int(SHARE * size))


def check(name: str, count: int, size: int, example: str = "") -> None:
    """Raises UsageError if count broken files are more than a split of that size may have; name is what has them."""
    if count > allowed(size):
        raise UsageError(
            f"{shown(name)}: {count} of {size} files are broken so far; expected at most {allowed(size)}"
            + (f"; such as {example}" if example else "")
        )


class Ledger:
    """The broken files of one split that this process has met so far.

    Worker processes tell only where they met one, as spans (first position, how many in a row) in the batch;
    this process reads such a file once more to learn what is wrong with it.

    - `fault(position)`: one line about a broken example.
    - `following(position)`: an example and its stand-ins in turn.
    - `faults`: where it writes a line about each broken example, by position.
    """

    def __init__(
        self,
        name: str,
        size: int,
        fault: Callable[[int], str],
        following: Callable[[int], Iterator[int]],
        faults: dict[int, str],
    ):
        self.name, self.size, self.fault, self.following = name, size, fault, following
        self.faults = faults

    def note(self, spans: np.ndarray) -> None:
        """Take in spans, integers [b, 2]. Warns of each new file; raises UsageError if they are too many."""
        for first, count in spans[spans[:, 1] > 0].tolist():
            for position in itertools.islice(self.following(first), count):
                self._add(position)
        check(self.name, len(self.faults), self.size)  # also where all were known

    def watch(
        self, batches: Generator[dict[str, np.ndarray], None, None]
    ) -> Generator[dict[str, np.ndarray], None, None]:
        """The batches, their "broken" spans noted: gone in training, and 1 or 0 for each row in evaluation."""
        try:
            for batch in batches:
                spans = batch.pop("broken")
                self.note(spans)
                if "valid" in batch:
                    batch["broken"] = (spans[:, 1] > 0).astype(np.float32)
                yield batch
        finally:
            batches.close()

    def _add(self, index: int) -> None:
        if index in self.faults:
            return
        self.faults[index] = self.fault(index)
        logger.warning("%s", self.faults[index])
        check(self.name, len(self.faults), self.size, self.faults[index])
