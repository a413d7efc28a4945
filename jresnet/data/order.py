"""The order of training examples: one permutation after the other, any place of it at once."""

import dataclasses
import functools

import numpy as np
from grain.experimental import index_shuffle

_EPOCHS = 1 << 30  # without end, for those who ask for a length


@dataclasses.dataclass(frozen=True)
class Order:
    """A sequence of positions 0 to size - 1: every epoch another permutation of them, and each of
    them `repeats` times in a row."""

    size: int
    seed: int
    repeats: int = 1

    def __len__(self) -> int:
        return _EPOCHS * self.size * self.repeats

    def __getitem__(self, index: int) -> int:
        epoch, within = divmod(index // self.repeats, self.size)
        seed = (self._first + epoch) % 2**32
        return index_shuffle(within, max_index=self.size - 1, seed=seed, rounds=4)

    @functools.cached_property
    def _first(self) -> int:
        """As `grain.MapDataset.range(size).seed(seed).shuffle()` has it."""
        return int(np.random.SeedSequence((self.seed, 1)).generate_state(1, np.uint32)[0])
