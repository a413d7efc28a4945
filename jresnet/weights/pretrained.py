"""How the net of a model hub's repository wants its pictures: timm's `pretrained_cfg`."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jresnet.data.crops import Interpolation, ResizeCenterCrop
from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.storage import read_json
from jresnet.text import shown
from jresnet.weights import remote
from jresnet.weights.recorded import CONFIG

_KINDS: tuple[Interpolation, ...] = ("bilinear", "bicubic")
_FLAGS = "give --resize, --crop, --mean and --std"


class Pretrained(NamedTuple):
    """The evaluation that a repository's `config.json` tells.

    - square: how a picture is cut.
    - normalize: by the statistics of its training.
    - larger: pixels of a side of a larger size that it names for tests, and its share of the
      shorter side; None without one.
    """

    square: ResizeCenterCrop
    normalize: Normalize
    larger: tuple[int, float] | None

    def told(self) -> str:
        """The treatment as flags, with the kind of interpolation."""
        square, normalize = self.square, self.normalize
        numbers = " ".join(f"{value:.4g}" for value in normalize.mean)
        spread = " ".join(f"{value:.4g}" for value in normalize.std)
        told = (
            f"--resize {square.resize} --crop {square.crop} --mean {numbers} --std {spread}, "
            f"{square.interpolation}"
        )
        if self.larger is None:
            return told
        crop, share = self.larger
        return f"{told}; its larger size for tests is --resize {int(crop / share)} --crop {crop}"


def read_pretrained(weights: Path) -> Pretrained | None:
    """The treatment in the `config.json` beside weights on a model hub.

    None for weights elsewhere, and for a repository that tells none.

    Raises UsageError, one line, without an answer from the hub, and for a treatment that is not
    known here.
    """
    config = remote.beside(weights, CONFIG)
    record = None if config is None else read_json(config)
    if not isinstance(record, Mapping):
        return None
    settings = record.get("pretrained_cfg", record)  # timm wrote them flat at first
    if not isinstance(settings, Mapping) or "input_size" not in settings:
        return None
    try:
        return _treatment(settings)
    except (TypeError, ValueError, UsageError) as error:
        reason = shown(error, 200)
        raise UsageError(
            f"weights {remote.spelled(weights)!r}: its {CONFIG} is not understood ({reason}); "
            f"{_FLAGS}"
        ) from error


def _treatment(settings: Mapping[str, Any]) -> Pretrained:
    kind = settings.get("interpolation", "bicubic")
    mode = settings.get("crop_mode", "center")
    if kind not in _KINDS or mode != "center":
        raise ValueError(f"interpolation {kind}, crop_mode {mode}")
    crop, share = _size(settings["input_size"]), float(settings.get("crop_pct", 0.875))
    square = ResizeCenterCrop(math.floor(crop / share), crop, kind)
    normalize = Normalize(_three(settings["mean"]), _three(settings["std"]))
    larger = settings.get("test_input_size")
    if larger is None:
        return Pretrained(square, normalize, None)
    test_share = float(settings.get("test_crop_pct") or share)
    return Pretrained(square, normalize, (_size(larger), test_share))


def _size(size: Any) -> int:
    """Pixels of a side of `[channels, height, width]`. Raises ValueError for other than squares."""
    _, height, width = size
    if height != width:
        raise ValueError(f"input_size {size}")
    return int(height)


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
