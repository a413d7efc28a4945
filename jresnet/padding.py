"""Rows in full batches, the last one filled up."""

import numpy as np


def full_batches(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of `count` rows in order, cut into batches of `size` and the last one filled up.

    Args:
        count: number of rows.
        size: rows of a batch.

    Returns:
        `rows`, int64 `[batches * size]`: 0 to `count` - 1, and `count` - 1 again for padding; and
        `real`, bool of the same length: False for padding.
    """
    places = np.arange(-(-count // size) * size)
    return np.minimum(places, count - 1), places < count
