"""Images per second, measured in turns. Imports little: worker processes import it too."""

import dataclasses
import time
from collections.abc import Callable, Mapping

# From a duration in seconds to the images/s measured over about that time.
Rate = Callable[[float], float]


def images_per_second(
    step: Callable[[], int], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The rate of steps that return a number of images, repeated for `seconds`."""
    begun, count = clock(), 0
    while (passed := clock() - begun) < seconds or not count:
        count += step()
    return count / passed


@dataclasses.dataclass(frozen=True)
class Loader:
    """The `Rate` of a loader that prepares batches in advance.

    The loader may hold `ahead` prepared batches. They are taken first and not counted. Before the
    call returns it waits for them to be prepared again, so that the loader is idle while others are
    measured.

    - take: waits for a batch.
    - batch_size: images of a batch.
    """

    take: Callable[[], object]
    batch_size: int
    ahead: int
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, seconds: float) -> float:
        """Images/s over about so many seconds."""
        for _ in range(self.ahead):
            self.take()
        rate = images_per_second(self._step, seconds, self.clock)
        self.sleep(self.ahead * self.batch_size / rate)
        return rate

    def _step(self) -> int:
        self.take()
        return self.batch_size


def in_turns(
    contestants: Mapping[str, Rate], repeats: int, seconds: float
) -> dict[str, list[float]]:
    """The rates of each over `repeats` turns of about `seconds`, in the order A B C A B C.

    A busy machine then slows all of them alike. A short first round, in which workers start, is not
    counted.
    """
    for rate in contestants.values():
        rate(min(seconds, 0.2))
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, rate in contestants.items():
            measured[name].append(rate(seconds))
    return measured
