"""Recipes with some of their fields changed, as the command line asks for it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def with_changes(recipe: Kind, changes: Mapping[str, Any]) -> Kind:
    """A dataclass with other fields; those that are None stay."""
    changes = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(recipe, **changes)  # type: ignore[type-var]
