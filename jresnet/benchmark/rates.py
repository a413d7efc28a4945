"""Images per second, measured in turns. Imports little: worker processes import it too."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

# From seconds to the images/s measured for about so long.
Rate = Callable[[float], float]


def images_per_second(
    step: Callable[[], int], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Of steps that return how many images they made, one after the other for `seconds`, one at least."""
    begun, count = clock(), 0
    while (passed := clock() - begun) < seconds or not count:
        count += step()
    return count / passed


@dataclasses.dataclass(frozen=True)
class Loader:
    """The `Rate` of what makes batches ahead of time; `take` waits for one, of batch_size images.

    The `ahead` batches that it may hold ready are not counted: they are taken first, and left to be made again
    before this returns, so that it is idle while others are measured.
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


def in_turns(contestants: Mapping[str, Rate], repeats: int, seconds: float) -> dict[str, float]:
    """The median of each over `repeats` turns of about `seconds`, A B C A B C: what else the machine does for a
    while slows all of them alike. A short round before, in which workers start, does not count."""
    for rate in contestants.values():
        rate(min(seconds, 0.2))
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, rate in contestants.items():
            found[name].append(rate(seconds))
    return {name: statistics.median(rates) for name, rates in found.items()}
