"""A test split drawn from a set's only split."""

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

SHARE = 5  # one in so many is tested on
Row = TypeVar("Row")
logger = logging.getLogger(__name__)


def draw_test(rows: Sequence[Row], name_of: Callable[[Row], str]) -> tuple[list[Row], list[Row]]:
    """Rows to train on and a fifth, at least one, to test on, both in their order.

    Names decide by their hash: the split does not depend on the order, the machine or a seed, and
    a set that grows keeps nearly all of it. Fewer than two rows are all trained on.
    """
    ranks = sorted(
        range(len(rows)), key=lambda i: hashlib.sha256(name_of(rows[i]).encode()).digest()
    )
    tested = set(ranks[: max(1, len(rows) // SHARE)] if len(rows) > 1 else ())
    halves: tuple[list[Row], list[Row]] = ([], [])
    for i, row in enumerate(rows):
        halves[i in tested].append(row)
    return halves


@functools.cache
def tell_drawn(folder: str, tested: int, count: int) -> None:
    """Warn, once a folder, that `tested` of `count` examples were drawn to test on."""
    logger.warning(
        "dataset=%r has no split to test on: %d of its %d examples, chosen by their names, are left "
        "out of training for it", folder, tested, count,
    )  # fmt: skip
