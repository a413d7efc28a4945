"""The values that each argument accepts: one table for the flags of every experiment and command."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jresnet.errors import UsageError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.S)


class Range(Protocol):
    """Values of an argument. `str` of it completes "expected"."""

    def holds(self, value: Any) -> bool:
        """Whether one value, not a tuple of them, is accepted."""
        ...


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Finite numbers from `low` to `high`; with `above` more than `low`, with `below` less than `high`."""

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
    """Some numbers."""

    values: tuple[float, ...]

    def holds(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return " or ".join(f"{value:g}" for value in self.values)


@dataclasses.dataclass(frozen=True)
class Place:
    """A file or folder of this machine, or a name where the argument takes names too.

    With `written` the name has to be UTF-8: not all that write there take other bytes.
    """

    written: bool = False

    def holds(self, value: Any) -> bool:
        text = str(value)
        if not text or "\0" in text or _URL.fullmatch(text):
            return False
        return not self.written or text.isascii() or text == text.encode(errors="replace").decode()

    def __str__(self) -> str:
        name = "a path on this machine" + (", its name in UTF-8" if self.written else "")
        return f"{name}; URLs are neither read nor written"


@dataclasses.dataclass(frozen=True)
class Text:
    """Any text but an empty one."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and bool(value)

    def __str__(self) -> str:
        return "a text that is not empty"


_INT32 = 2**31 - 1
COUNT = Numbers(1, _INT32, whole=True)
COUNT_OR_0 = Numbers(0, _INT32, whole=True)
ODD_GRID = Numbers(3, _INT32, whole=True, odd=True)
SEED = Numbers(0, 2**32 - 1, whole=True)
AT_LEAST_0 = Numbers(0)
POSITIVE = Numbers(0, above=True)
SHARE = Numbers(0, 1)
SHARE_BELOW_1 = Numbers(0, 1, below=True)
PLACE, TEXT = Place(), Text()

# By the argument's name, or where one name has two meanings by the function's or flags' too. What
# is a switch or a choice of words needs no entry: the parser knows its values.
RANGES: dict[str, Range] = {
    # Every run.
    "workdir": Place(written=True),
    "devices": COUNT,
    "model_parallel": COUNT,
    "patience": AT_LEAST_0,
    "interrupted_status": Numbers(0, 255, whole=True),
    "coordinator_address": TEXT,
    "num_processes": COUNT,
    "process_id": COUNT_OR_0,
    "startup_timeout": POSITIVE,
    # Training.
    "dataset": PLACE,
    "data_dir": PLACE,
    "steps": COUNT,
    "epochs": COUNT,
    "seeds": COUNT,
    "seed": SEED,
    "batch_size": COUNT,
    "batch_norm_group": COUNT,
    "accumulate": COUNT,
    "steps_per_dispatch": COUNT,
    "workers": COUNT_OR_0,
    "per_class": COUNT,
    "learning_rate": AT_LEAST_0,
    "scratch_learning_rate": AT_LEAST_0,
    "sensitivity.rates": POSITIVE,
    "finetune.rates": TEXT,
    "weight_decay": AT_LEAST_0,
    "clip": POSITIVE,
    "label_smoothing": SHARE,
    "mixup": POSITIVE,
    "cutmix": POSITIVE,
    "ema_decay": SHARE_BELOW_1,
    "train_size": COUNT,
    "test_size": COUNT,
    "size": COUNT,
    "freeze": TEXT,
    # Nets.
    "net": TEXT,
    "nets": TEXT,
    "depth": COUNT,
    "depths": COUNT,
    "deeper": COUNT,
    "lesion_depth": COUNT,
    "layers": COUNT,
    "width": COUNT,
    "k": COUNT,
    "cardinality": COUNT,
    "blocks": COUNT,
    "modules": COUNT,
    "dropout": SHARE_BELOW_1,
    "num_classes": COUNT,
    "version": OneOf((1, 1.5)),
    "weights": PLACE,
    # Studies.
    "studies": TEXT,
    "tables": TEXT,
    "examples": COUNT,
    "hessian_examples": COUNT,
    "points": Numbers(2, _INT32, whole=True),
    "landscape.points": ODD_GRID,
    "hessian_points": ODD_GRID,
    "lanczos_steps": COUNT,
    "probes": COUNT,
    "reach": POSITIVE,
    "scales": POSITIVE,
    "products": COUNT,
    "samples": COUNT,
    "repeats": COUNT,
    "draws": COUNT,
    "lines": COUNT,
    "seconds": POSITIVE,
    "batch": COUNT,
    "benchmark_analyses.images": COUNT,
    # Commands.
    "Predict.images": PLACE,
    "labels": PLACE,
    "out": Place(written=True),
    "source": PLACE,
    "file": PLACE,
    "folder": PLACE,
    "runs": PLACE,
    "resize": COUNT,
    "crop": COUNT,
    "mean": Numbers(),
    "std": AT_LEAST_0,  # 0, its default, stands for the run's or the published one
    "Evaluate.scales": COUNT,
    "image": COUNT,
    "image_size": COUNT,
    "photos": COUNT,
    "threads": COUNT,
}
# Tuples that may be empty although they are not by default; others that are not need one value.
MAY_BE_EMPTY = {"per_class", "switches"}


def find(name: str, scope: str) -> Range | None:
    """The range of an argument of the function or flags `scope`; None if the table has none."""
    return RANGES.get(f"{scope}.{name}", RANGES.get(name))


def check(values: Mapping[str, Any], defaults: Mapping[str, Any], scope: str) -> None:
    """Raise UsageError for the first value that its argument does not accept.

    An argument whose default is out of the table's range means something else, in a function that
    is not of this package, and is not checked.

    Args:
      values: by name; numbers, texts, paths, tuples of them, or None.
      defaults: of the same names.
      scope: name of the function or flags whose arguments they are.
    """
    for name, value in values.items():
        default, accepted = defaults.get(name), find(name, scope)
        if value == () and default not in ((), None) and name not in MAY_BE_EMPTY:
            raise UsageError(f"{name}=(): expected at least one value")
        if accepted is None or not all(map(accepted.holds, _each(default))):
            continue
        for one in _each(value):
            if not accepted.holds(one):
                raise UsageError(f"{name}={_written(one)}: expected {accepted}")


def check_fields(flags: Any) -> None:
    """The same for a dataclass of flags. Raises UsageError."""
    names = [field.name for field in dataclasses.fields(flags)]
    check({name: getattr(flags, name) for name in names}, {}, type(flags).__name__)


def check_words(argv: Sequence[str]) -> None:
    """Raise UsageError for an empty word: no argument takes one, and as a path it would be the current folder."""
    for before, word in zip(("", *argv), argv, strict=False):
        flag = word.removesuffix("=") if word.startswith("--") and word.endswith("=") else before
        if not word or flag is not before:
            name = (
                flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else "argument"
            )
            raise UsageError(f"{name}='': expected a value; leave it out for the default")


def _each(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, tuple | list) else (value,)


def _written(value: Any) -> str:
    """A value as the user wrote it: a Path makes one slash of two."""
    if isinstance(value, Path):
        parts = _URL.fullmatch(str(value))
        return f"{parts[1]}://{parts[2]}" if parts else repr(str(value))
    return repr(value)
