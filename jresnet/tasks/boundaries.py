"""How far the boundaries of predicted regions lie from the true ones, gathered image by image."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.tasks.segment import Segment
from jresnet.tasks.surfaces import surfaces


@dataclasses.dataclass(frozen=True)
class Boundaries:
    """The distances that are measured.

    - `spacing`: the size of a pixel or voxel along each axis, for images that do not tell theirs;
      by default 1, so that distances are in pixels.
    - `background`: whether class 0 is measured too.
    """

    spacing: tuple[float, ...] | None = None
    background: bool = True


@dataclasses.dataclass(frozen=True)
class SegmentWithBoundaries(Segment):
    """`Segment` that in evaluation also measures distances between boundaries, on the host.

    For each class, over the images that have it in truth and prediction: `hausdorff95/NAME`, the mean
    of the 95th percentile of the Hausdorff distance, and `surface_distance/NAME`, that of the
    average symmetric surface distance (`surfaces.Surfaces`). An image that has a class in only one
    of the two has no distance: `missed/NAME` is the share of such images among those that have it
    in either, and to be read beside the distances. A class that an image has in neither counts for
    nothing there. `mean_hausdorff95`, `mean_surface_distance` and `mean_missed` are means over the
    classes that have a number; nan where none has.

    Ignored pixels are in no region of either. Distances are in pixels, or in the units of
    `boundaries.spacing`, or of `batch["spacing"]` `[batch, axes]` where examples tell theirs.
    """

    boundaries: Boundaries = Boundaries()

    def collector(self) -> "BoundaryCollector":
        """A fresh one, for one pass over a split."""
        return BoundaryCollector(self.boundaries, self.classes)


class BoundaryCollector:
    """Distances of the images of a split, by class; their order does not matter to the bit."""

    def __init__(self, boundaries: Boundaries, classes: Sequence[str]) -> None:
        self.boundaries = boundaries
        self.classes = classes
        self.hausdorff: dict[int, list[float]] = defaultdict(list)
        self.average: dict[int, list[float]] = defaultdict(list)
        self.missed: dict[int, int] = defaultdict(int)

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Measure the images of a batch: `predicted` and `true` `[rows, *size]`, maybe `spacing`."""
        spacings = outputs.get("spacing")
        for number, (predicted, true) in enumerate(
            zip(outputs["predicted"], outputs["true"], strict=True)
        ):
            size = self.boundaries.spacing if spacings is None else tuple(spacings[number].tolist())
            self._measure(np.where(true == IGNORED, IGNORED, predicted), true, size)

    def _measure(
        self, predicted: np.ndarray, true: np.ndarray, spacing: Sequence[float] | None
    ) -> None:
        for number in np.union1d(predicted, true).tolist():
            if number == IGNORED or (number == 0 and not self.boundaries.background):
                continue
            between = surfaces(predicted == number, true == number, spacing)
            if between.missing is None:
                self.hausdorff[number].append(between.hausdorff())
                self.average[number].append(between.average())
            else:
                self.missed[number] += 1

    def result(self) -> dict[str, float]:
        """The metrics of `SegmentWithBoundaries`."""
        distances = {"hausdorff95": self.hausdorff, "surface_distance": self.average}
        by_class = {
            key: {number: math.fsum(v) / len(v) for number, v in sorted(of_class.items())}
            for key, of_class in distances.items()
        }
        met = sorted(self.hausdorff.keys() | self.missed.keys())
        by_class["missed"] = {
            number: self.missed[number] / (self.missed[number] + len(self.hausdorff[number]))
            for number in met
        }
        result = {f"mean_{key}": _mean(list(each.values())) for key, each in by_class.items()}
        for key, each in by_class.items():
            result |= {f"{key}/{self._name(number)}": value for number, value in each.items()}
        return result

    def _name(self, number: int) -> str:
        return self.classes[number] if number < len(self.classes) else str(number)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
