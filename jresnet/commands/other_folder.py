"""A run's data with another set in its place, read and prepared in the same way."""

import dataclasses
from pathlib import Path
from typing import Any

from jresnet.errors import UsageError


def in_other_folder(data: Any, where: str, classes: tuple[str, ...], split: str = "test") -> Any:
    """`data` on the set at `where`, with the run's `classes` and room for what is in the split.

    A set with a name takes another name; one in a folder keeps all that was said about the first,
    such as ignored values. Raises UsageError for data that are neither.
    """
    if not hasattr(data, "dataset"):
        raise UsageError(
            f"dataset={where!r}: expected none, the run's {type(data).__name__} has its own"
        )
    dataset = _moved(data.dataset, where, classes)
    if isinstance(dataset, str):
        return dataclasses.replace(data, dataset=dataset)
    transform = data.eval_transform
    return dataclasses.replace(
        data, dataset=dataset, eval_transform=_with_room(transform, dataset, split), data_dir=None
    )


def _moved(dataset: Any, where: str, classes: tuple[str, ...]) -> Any:
    if isinstance(dataset, str):
        return where
    fields = {field.name for field in dataclasses.fields(dataset)}
    if "folder" in fields:
        named = {"classes": classes} if "classes" in fields else {}
        return dataclasses.replace(dataset, folder=Path(where), **named)
    if "dataset" in fields:
        return dataclasses.replace(dataset, dataset=_moved(dataset.dataset, where, classes))
    raise UsageError(
        f"dataset={where!r}: expected none, the run's {type(dataset).__name__} lies in no folder"
    )


def _with_room(transform: Any, dataset: Any, split: str) -> Any:
    """The transform with as many rows of objects, or as large volumes, as the set needs."""
    if hasattr(transform, "transforms"):
        each = tuple(_with_room(one, dataset, split) for one in transform.transforms)
        return (
            dataclasses.replace(transform, transforms=each) if _settable(transform) else transform
        )
    if hasattr(transform, "holding"):
        return transform.holding(dataset.largest())
    if hasattr(transform, "limit"):
        objects, lengths, _ = dataset.largest(split)
        runs = None if transform.runs is None else max(transform.runs, lengths)
        return dataclasses.replace(transform, limit=max(transform.limit, objects), runs=runs)
    return transform


def _settable(transform: Any) -> bool:
    return next(f for f in dataclasses.fields(transform) if f.name == "transforms").init
