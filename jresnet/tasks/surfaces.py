"""Distances between the surfaces of two regions, in pixels or in the units of their spacing."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """Distances from each surface pixel of one region to the other's surface, and the reverse.

    A surface pixel is in its region and has a direct neighbour that is not, where what lies
    outside the image is not. Both arrays are float64 of any length.
    """

    forth: np.ndarray
    back: np.ndarray

    @property
    def missing(self) -> float | None:
        """Every distance where a region is empty: nan if both are, infinite if one is; else None."""
        if self.forth.size and self.back.size:
            return None
        return np.inf if self.forth.size or self.back.size else np.nan

    def hausdorff(self, percentile: float = 95.0) -> float:
        """The larger of the two percentiles of distances; 100 is the Hausdorff distance."""
        if self.missing is not None:
            return self.missing
        return float(max(np.percentile(d, percentile) for d in (self.forth, self.back)))

    def average(self) -> float:
        """Average symmetric surface distance: the mean over the pixels of both surfaces."""
        if self.missing is not None:
            return self.missing
        return float(np.concatenate([self.forth, self.back]).mean())

    def dice(self, tolerance: float) -> float:
        """Surface Dice: the share of both surfaces that lies within `tolerance` of the other."""
        if not (self.forth.size or self.back.size):
            return np.nan
        if self.missing is not None:
            return 0.0
        return float(np.mean(np.concatenate([self.forth, self.back]) <= tolerance))


def surfaces(
    predicted: np.ndarray, true: np.ndarray, spacing: Sequence[float] | None = None
) -> Surfaces:
    """Distances between two regions, bool `[*spatial]`; `spacing` is one size of a pixel an axis.

    Raises ValueError for regions of different shape.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"predicted {predicted.shape}: expected the shape of true, {true.shape}")
    box = _bounds(predicted | true)  # outside of it nothing changes
    one, other = surface(predicted[box]), surface(true[box])
    return Surfaces(_to(other, one, spacing), _to(one, other, spacing))


def surface(region: np.ndarray) -> np.ndarray:
    """The surface pixels of a region, bool `[*spatial]`."""
    return region & ~ndimage.binary_erosion(region)


def _to(target: np.ndarray, pixels: np.ndarray, spacing: Sequence[float] | None) -> np.ndarray:
    if not target.any():
        return np.full(int(pixels.sum()), np.inf)
    distances: Any = ndimage.distance_transform_edt(~target, sampling=spacing)
    return distances[pixels]


def _bounds(region: np.ndarray) -> tuple[slice, ...]:
    boxes = ndimage.find_objects(region.astype(np.uint8))
    return boxes[0] if boxes else (slice(0, 0),) * region.ndim
