"""The order of training examples: one permutation after the other, any place of it at once."""

import dataclasses
import functools

import numpy as np
from grain.experimental import index_shuffle

from jresnet.data.buckets import Buckets

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
        """The first seed of `grain.MapDataset.range(size).seed(seed).shuffle()`."""
        return int(np.random.SeedSequence((self.seed, 1)).generate_state(1, np.uint32)[0])


@dataclasses.dataclass(frozen=True, eq=False)
class BucketOrder:
    """A sequence of positions in a split, every `batch_size` of them out of one bucket.

    Each bucket has an endless `Order` of its own, cut into batches. So every example of a bucket
    comes once in each of the bucket's epochs. The remainder of an epoch, less than a batch, opens
    a batch that the bucket's next epoch fills: nothing is dropped, and nothing is seen twice before
    the whole bucket was seen. By the end of epoch e a bucket of n examples has given
    floor(e n / batch_size) batches, so buckets advance alike, and a bucket smaller than a batch
    comes once in several epochs. The buckets of an epoch's batches are shuffled.
    """

    buckets: Buckets
    batch_size: int
    seed: int
    repeats: int = 1

    def __len__(self) -> int:
        return _EPOCHS * self.buckets.size * self.repeats

    def __getitem__(self, index: int) -> int:
        step, row = divmod(int(index), self.batch_size)
        bucket, number = self.batch(step)
        members = self.buckets.members[bucket]
        return int(members[self._orders[bucket][number * self.batch_size + row]])

    def batch(self, step: int) -> tuple[int, int]:
        """The bucket of batch `step`, and how many batches of that bucket come before it."""
        # By the end of epoch e fewer than one batch a bucket is missing from e * size / batch_size.
        epoch = step * self.batch_size // sum(self._sizes)
        while sum(self._dealt(epoch + 1)) <= step:
            epoch += 1
        place = step - sum(self._dealt(epoch))
        buckets, numbers = self._deal(epoch)
        return int(buckets[place]), int(numbers[place])

    def _deal(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """For each batch of an epoch its bucket, and its number among the bucket's batches."""
        deal = self._deals.get(epoch)  # threads read while others write
        if deal is not None:
            return deal
        before, after = self._dealt(epoch), self._dealt(epoch + 1)
        counts = np.subtract(after, before)
        count, seed = int(counts.sum()), (self._first + epoch) % 2**32
        places = [
            index_shuffle(place, max_index=count - 1, seed=seed, rounds=4) for place in range(count)
        ]
        buckets = np.repeat(np.arange(len(counts)), counts)[places]
        numbers = np.empty(count, np.int64)
        for bucket, first in enumerate(before):
            # In ascending order: a bucket's epoch ends before its next one begins.
            numbers[buckets == bucket] = first + np.arange(counts[bucket])
        for old in [known for known in list(self._deals) if abs(known - epoch) > 1]:
            self._deals.pop(old, None)
        self._deals[epoch] = buckets, numbers
        return buckets, numbers

    def _dealt(self, epoch: int) -> list[int]:
        """The number of batches of each bucket in the first `epoch` epochs."""
        return [epoch * size // self.batch_size for size in self._sizes]

    @functools.cached_property
    def _deals(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """The newest epochs that were dealt."""
        return {}

    @functools.cached_property
    def _sizes(self) -> list[int]:
        return [len(members) * self.repeats for members in self.buckets.members]

    @functools.cached_property
    def _orders(self) -> list[Order]:
        # As many seeds as there are buckets, none of them the seed of a set in one bucket.
        seeds = np.random.SeedSequence((self.seed, 2)).generate_state(len(self._sizes), np.uint32)
        members = self.buckets.members
        return [
            Order(len(m), int(seed), self.repeats) for m, seed in zip(members, seeds, strict=True)
        ]

    @functools.cached_property
    def _first(self) -> int:
        return int(np.random.SeedSequence((self.seed, 3)).generate_state(1, np.uint32)[0])


def training_order(
    buckets: Buckets, batch_size: int, seed: int, repeats: int = 1
) -> Order | BucketOrder:
    """The endless order of a split's examples in batches of one bucket each."""
    if len(buckets.members) == 1:
        return Order(buckets.size, seed, repeats)
    return BucketOrder(buckets, batch_size, seed, repeats)
