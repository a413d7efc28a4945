"""A validation split for sets of boxes that have none."""

from pathlib import PurePosixPath

from jresnet.data.sources.box_table import Rows
from jresnet.data.sources.drawn import draw_test
from jresnet.errors import UsageError
from jresnet.text import shown


def with_validation(rows: dict[str, Rows], folder: object) -> tuple[dict[str, Rows], str]:
    """The splits of a set, with a validation split drawn where there is only one to train on.

    VOC's "trainval" is the one to train on where there is neither "train" nor "val".

    Images are drawn by their names without folder and suffix, which are the same in every layout
    (`drawn.draw_test`).

    Args:
        rows: the splits by name.
        folder: that of the set, for the messages.

    Returns:
        The splits, and a line about the draw; an empty one where nothing was drawn.

    Raises:
        UsageError: for fewer than two images.
    """
    if "trainval" in rows and not {"train", "val"} & set(rows):
        rows = {"train" if split == "trainval" else split: one for split, one in rows.items()}
    if "train" not in rows or "val" in rows or "test" in rows:
        return rows, ""
    whole = rows["train"]
    count = len(whole.names)
    if count < 2:
        raise UsageError(
            f"dataset={shown(folder)!r}: {count} images: expected at least 2, or a validation split"
        )
    kept, drawn = draw_test(range(count), lambda n: PurePosixPath(whole.names[n]).stem)
    train, val = whole.part(kept), whole.part(drawn)
    train.faults, train.remarks = whole.faults, whole.remarks
    line = (
        f"dataset={shown(folder)!r} has no validation split: {len(drawn)} of its {count} images, "
        "drawn by name, are kept for validation"
    )
    return {**rows, "train": train, "val": val}, line
