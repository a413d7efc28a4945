"""Kinds of values that an argument accepts: numbers in a range, places, texts."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any, Protocol

from jresnet.store.bucket import is_remote
from jresnet.weights import remote

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.S)


class Range(Protocol):
    """The accepted values of an argument. `str` of it completes the sentence "expected ..."."""

    def holds(self, value: Any) -> bool:
        """Whether one value, not a tuple of them, is accepted."""
        ...


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Finite numbers from `low` to `high`; `above` and `below` exclude these two."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False
    odd: bool = False

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not math.isfinite(value) or (self.whole and value != int(value)):
            return False
        if self.odd and value % 2 != 1:
            return False
        low = value > self.low if self.above else value >= self.low
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a finite number"
        kind = "an odd whole number" if self.odd else kind
        if self.low == -math.inf:
            return kind
        if self.high == math.inf:
            return f"{kind} above {self.low:g}" if self.above else f"{kind} of {self.low:g} or more"
        if self.above or self.below:
            low = "above" if self.above else "from"
            return f"{kind} {low} {self.low} {'and below' if self.below else 'to'} {self.high}"
        return f"{kind} from {self.low} to {self.high}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A few numbers."""

    values: tuple[float, ...]

    def holds(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return " or ".join(f"{value:g}" for value in self.values)


@dataclasses.dataclass(frozen=True)
class Place:
    """A file or folder of this machine, or a name where the argument takes names too.

    With `written` the name must be UTF-8, since some libraries that write there take nothing else.
    With `stored` it may lie in an object store, with `named` on a model hub or at an address.
    """

    written: bool = False
    stored: bool = False
    named: bool = False

    def holds(self, value: Any) -> bool:
        text = str(value)
        if not text or "\0" in text:
            return False
        elsewhere = (self.stored and is_remote(text)) or (self.named and remote.is_remote(value))
        if URL.fullmatch(text) and not elsewhere:
            return False
        return not self.written or text.isascii() or text == text.encode(errors="replace").decode()

    def __str__(self) -> str:
        name = "a path on this machine" + (", its name in UTF-8" if self.written else "")
        if self.named:
            name += ", hf://OWNER/MODEL, https://HOST/FILE"
        if self.stored:
            return f"{name}, or gs://BUCKET/... or s3://BUCKET/..."
        return f"{name}; URLs are neither read nor written"


@dataclasses.dataclass(frozen=True)
class Text:
    """Any text but an empty one."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and bool(value)

    def __str__(self) -> str:
        return "a text that is not empty"


def written(value: Any) -> str:
    """A value as the user wrote it: a Path makes one slash of two."""
    if isinstance(value, Path):
        parts = URL.fullmatch(str(value))
        return f"{parts[1]}://{parts[2]}" if parts else repr(str(value))
    return repr(value)
