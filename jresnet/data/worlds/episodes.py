"""Seeds of episodes as data: what an agent is evaluated on."""

import dataclasses
import types
from collections.abc import Generator, Sequence

import jax
import numpy as np

from jresnet.errors import UsageError

HostBatch = dict[str, np.ndarray]
TEST = 1_000_000  # the first seed of the split "test"; those of another split are far from it


@dataclasses.dataclass(frozen=True)
class Episodes:
    """Batches of seeds; a training batch has a row for each world that is played at once.

    `examples("test")` has `seed` uint32 `[eval_batch_size]`, each of the `episodes` once. Training
    batches are all alike: what is played depends on the step, and the state is in the task's
    memory.
    """

    worlds: int
    episodes: int = 32
    eval_worlds: int = 32
    argument_names = types.MappingProxyType(
        {"batch_size": "worlds", "eval_batch_size": "eval_worlds"}
    )

    @property
    def batch_size(self) -> int:
        """Worlds that are played at once."""
        return self.worlds

    @property
    def eval_batch_size(self) -> int:
        """Episodes that are played at once in evaluation."""
        return self.eval_worlds

    def check(self) -> None:
        """Raises UsageError for counts below 1."""
        for name in ("worlds", "episodes", "eval_worlds"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}: expected 1 or more")

    @property
    def example_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one training batch."""
        return {"seed": jax.ShapeDtypeStruct((self.worlds,), np.uint32)}

    def train(
        self, start: int = 0, host: tuple[int, int] = (0, 1)
    ) -> Generator[HostBatch, None, None]:
        """This host's rows of the batch, without end."""
        del start
        number, count = host
        each = self.worlds // count
        rows = np.arange(number * each, (number + 1) * each, dtype=np.uint32)
        while True:
            yield {"seed": rows}

    def examples(
        self, split: str, host: tuple[int, int] = (0, 1)
    ) -> Generator[HostBatch, None, None]:
        """Each seed once; the last batch is filled up with rows whose `valid` is 0."""
        del split
        number, count = host
        each = self.eval_worlds // count
        for first in range(0, self.episodes, self.eval_worlds):
            rows = first + number * each + np.arange(each)
            valid = rows < self.episodes
            seeds = np.where(valid, TEST + rows, TEST).astype(np.uint32)
            yield {
                "seed": seeds,
                "index": np.where(valid, rows, 0).astype(np.int32),
                "valid": valid.astype(np.float32),
            }

    def for_devices(self, devices: int) -> "Episodes":
        """The data whose evaluation batches divide among so many devices, filled up at their end."""
        size = -(-self.eval_worlds // devices) * devices
        same = size == self.eval_worlds
        return self if same else dataclasses.replace(self, eval_worlds=size)

    def size(self, split: str) -> int:
        """Number of episodes."""
        del split
        return self.episodes

    def broken(self) -> Sequence[str]:
        """No lines: there are no files."""
        return ()

    def smoke(self) -> "Episodes":
        """Two episodes."""
        return dataclasses.replace(self, episodes=2)
