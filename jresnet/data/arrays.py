"""Splits in memory."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jresnet.data.buckets import Buckets
from jresnet.data.load import Batch, Load


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """A whole split in memory; maps positions [b], all of one bucket, to a batch.

    - `parts`: the arrays of each bucket, by name, [examples of the bucket, ...].
    - `marked`: whether positions are those of `Buckets.in_order`, and batches say which are real.
    - `broken`: bool [examples], which are stand-ins for a file that could not be read; None: none.
    - `as_rows`: batches are {"row": int32 [b]}, the positions themselves, for those who have the
      arrays.
    """

    parts: tuple[Mapping[str, np.ndarray], ...]
    buckets: Buckets
    marked: bool = False
    broken: np.ndarray | None = None
    as_rows: bool = False

    @classmethod
    def read(cls, load: Load) -> "Arrays":
        """Every example of load.source, in order. Raises UsageError as Load does."""
        replaced = np.zeros(len(load.source), bool)
        unused = np.random.default_rng(0)  # such transforms draw nothing from it
        parts = []
        for spec, members in zip(load.specs, load.buckets.members, strict=True):
            part = {
                name: np.empty((len(members), *one.shape), one.dtype) for name, one in spec.items()
            }
            for row, index in enumerate(members):
                example = load(index, unused)
                for name, values in part.items():
                    values[row] = example[name]
                replaced[index] = example["broken"][1] > 0
            parts.append(part)
        return cls(tuple(parts), load.buckets, broken=replaced)

    def __call__(self, element: np.ndarray) -> Batch:
        """A batch; with valid 0 for padding, and "broken" as in `Ledger.watch`, where `marked`."""
        index, inside = self.buckets.locate(element)
        if self.as_rows:
            return {"row": index.astype(np.int32)}
        bucket = self.buckets.bucket(int(index[0]))
        rank = self.buckets.rank(index, bucket)
        batch = {name: values[rank] for name, values in self.parts[bucket].items()}
        if self.marked:
            lost = np.zeros_like(inside) if self.broken is None else inside & self.broken[index]
            batch["valid"] = (inside & ~lost).astype(np.float32)
            batch["broken"] = lost.astype(np.float32)
            batch["index"] = index.astype(np.int32)
        return batch

    @property
    def whole(self) -> Mapping[str, np.ndarray] | None:
        """All examples, arrays [examples, ...]; None where they are in several buckets."""
        return self.parts[0] if len(self.parts) == 1 else None

    @property
    def spans(self) -> np.ndarray:
        """The broken files as `Ledger.note` takes them, int64 [n, 2]."""
        lost = np.flatnonzero(self.broken) if self.broken is not None else np.zeros(0, np.int64)
        return np.stack([lost, np.ones_like(lost)], axis=-1)
