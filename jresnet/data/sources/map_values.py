"""From the values that stand in maps to classes."""

from collections.abc import Mapping

import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import BrokenExampleError
from jresnet.errors import UsageError

FOREGROUND = ("background", "foreground")
LARGEST = 65_535  # of the values that are counted and looked up in a table


def ignored_values(ignored: tuple[int, ...] | None, foreground: bool) -> tuple[int, ...]:
    """The values that are no class: those asked for, else 255, or none of a foreground."""
    if ignored is not None:
        return ignored
    return () if foreground else (IGNORED,)


def known_values(classes: int, first: int, ignored: tuple[int, ...]) -> Mapping[int, int]:
    """The class of each value, where class 0 has the value `first`."""
    shifted = {first + number: number for number in range(classes)}
    return shifted | dict.fromkeys(ignored, IGNORED)


def check_names(names: tuple[str, ...], foreground: bool, dataset: str) -> tuple[str, ...]:
    """The names. Raises UsageError for fewer than two, too many, or not two of a foreground."""
    if foreground and len(names) != 2:
        raise UsageError(
            f"classes={' '.join(names)}: expected two, of value 0 and of any other, with foreground"
        )
    if len(names) < 2:
        raise UsageError(
            f"dataset={dataset!r}: its maps have no class but {' '.join(names) or 'ignored pixels'}; "
            "expected two or more. Masks of 0 and 255 need --foreground"
        )
    if len(names) > IGNORED:
        raise UsageError(
            f"dataset={dataset!r}: {len(names)} classes; expected at most {IGNORED}. "
            "Maps whose values number objects need --foreground"
        )
    return names


def to_classes(
    numbers: np.ndarray, values: Mapping[int, int], rest: int | None, name: str
) -> np.ndarray:
    """The class of each number of a map, int32 of its shape, by `values`; `rest` is that of all others.

    Raises BrokenExampleError with the map's `name` for another value where `rest` is None, and for
    one that is not finite.
    """
    # Small whole numbers are counted and looked up, which takes less than half as long as sorting.
    small = numbers.dtype.kind in "iu" and 0 <= numbers.min() <= numbers.max() <= LARGEST
    present = np.flatnonzero(np.bincount(numbers.ravel())) if small else np.unique(numbers)
    unknown = [value for value in present.tolist() if value not in values]
    if unknown and (rest is None or not np.isfinite(unknown).all()):
        known = [value for value, number in values.items() if number != IGNORED]
        raise BrokenExampleError(
            f"{name}: value {unknown[0]:g} in the map: expected a class, "
            f"{min(known)} to {max(known)}, or one that is ignored"
        )
    classes = np.array([values.get(value, rest) for value in present.tolist()], np.int32)
    if not small:
        return classes[np.searchsorted(present, numbers)]
    table = np.zeros(present[-1] + 1, np.int32)
    table[present] = classes
    return table[numbers]
