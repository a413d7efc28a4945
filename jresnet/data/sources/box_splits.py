"""A validation split for sets of boxes that have none."""

import hashlib
from pathlib import PurePosixPath

from jresnet.data.sources.box_table import Rows
from jresnet.errors import UsageError
from jresnet.text import shown

VALIDATION = 0.2  # share of the images
_SEED = "jresnet 0"


def with_validation(rows: dict[str, Rows], folder: object) -> tuple[dict[str, Rows], str]:
    """The splits of a set, with a validation split drawn where there is only one to train on.

    Images are drawn by their names and a fixed seed: an image stays where it is on any machine, and
    nearly all of them stay when others are added.

    Args:
        rows: the splits by name.
        folder: that of the set, for the messages.

    Returns:
        The splits, and a line about the draw; an empty one where nothing was drawn.

    Raises:
        UsageError: for fewer than two images.
    """
    if set(rows) == {"trainval"}:
        rows = {"train": rows["trainval"]}
    if "train" not in rows or "val" in rows or "test" in rows:
        return rows, ""
    whole = rows["train"]
    count = len(whole.names)
    if count < 2:
        raise UsageError(
            f"dataset={shown(folder)!r}: {count} images: expected at least 2, or a validation split"
        )
    drawn = set(sorted(range(count), key=lambda n: _draw(whole.names[n]))[: _number(count)])
    train, val = (
        whole.part([n for n in range(count) if (n in drawn) == inside]) for inside in (False, True)
    )
    train.faults, train.remarks = whole.faults, whole.remarks
    line = (
        f"dataset={shown(folder)!r} has no validation split: {len(drawn)} of its {count} images, "
        "drawn by name, are kept for validation"
    )
    return {**rows, "train": train, "val": val}, line


def _number(count: int) -> int:
    return max(1, round(VALIDATION * count))


def _draw(name: str) -> bytes:
    stem = PurePosixPath(name).stem  # the same in every layout
    return hashlib.sha256(f"{_SEED} {stem}".encode("utf-8", "surrogateescape")).digest()
