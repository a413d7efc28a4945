"""Volumes: voxels with a place in space, brought to one orientation, spacing and intensity.

A prepared volume is `[depth, height, width, channels]`: from the feet to the head, from the back to
the front, from the left to the right of the body (nibabel's axis codes S, A, R). Spacing is in
millimetres, an axis in that order.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from jresnet.data.broken import ExampleError
from jresnet.errors import UsageError
from jresnet.extras import library

Spacing = tuple[float, float, float]
Size = tuple[int, int, int]
AXES = ("S", "A", "R")
_APART = 0.1  # of a voxel, by which the corners of two volumes may differ


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """Voxels along the axes of their file.

    - values: `[i, j, k, channels]`.
    - affine: float64 `[4, 4]`, from (i, j, k, 1) to millimetres to the right, front and head.
    """

    values: np.ndarray
    affine: np.ndarray

    @property
    def size(self) -> tuple[int, ...]:
        """Voxels an axis of space."""
        return self.values.shape[:-1]

    @property
    def millilitres(self) -> float:
        """The volume of a voxel; 1 ml is 1000 cubic millimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000)


def check(size: Sequence[int], affine: np.ndarray) -> None:
    """Raise ExampleError for a file of another rank than 3, and for axes that are not independent."""
    if len(size) != 3 or min(size) < 2:
        shape = " x ".join(map(str, size))
        raise ExampleError(f"is {shape}: expected a volume, 3 axes of at least 2 voxels")
    linear = affine[:3, :3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(linear)) < 1e-9:
        raise ExampleError(f"affine={np.round(linear, 3).tolist()}: expected 3 independent axes")


def check_same_grid(size: Sequence[int], affine: np.ndarray, other: Volume, title: str) -> None:
    """Raise ExampleError for a file whose voxels are not those of `other`, which `title` names."""
    if tuple(size) != other.size:
        raise ExampleError(f"is {tuple(size)}: expected {other.size}, the size of {title}")
    corners = np.stack(np.meshgrid(*((0, n - 1) for n in size), [1.0], indexing="ij"), -1)
    apart = np.linalg.norm(corners.reshape(-1, 4) @ (affine - other.affine).T, axis=-1).max()
    if apart > _APART * np.linalg.norm(other.affine[:3, :3], axis=0).min():
        raise ExampleError(
            f"its affine puts it {apart:.3g} mm away from {title}: expected the same"
        )


def upright(volume: Volume) -> Volume:
    """The same voxels with the axes S, A, R, each as near to its direction as whole turns allow."""
    return _turned(volume, library("nibabel.orientations", "medical").axcodes2ornt(AXES))


def _turned(volume: Volume, target: np.ndarray) -> Volume:
    orientations = library("nibabel.orientations", "medical")
    turn = orientations.ornt_transform(orientations.io_orientation(volume.affine), target)
    values = np.asarray(orientations.apply_orientation(volume.values, turn))
    affine = volume.affine @ orientations.inv_ornt_aff(turn, volume.size)
    return Volume(values, affine)


def upright_grid(size: Sequence[int], affine: np.ndarray) -> tuple[Size, Spacing]:
    """Size and spacing of `upright`, without the voxels."""
    turned = upright(Volume(np.broadcast_to(np.zeros(1, np.uint8), (*size, 1)), affine))
    depth, height, width = turned.size
    return (depth, height, width), spacing_of(turned)


def spacing_of(volume: Volume) -> Spacing:
    """Millimetres between voxels, along each axis."""
    depth, height, width = np.linalg.norm(volume.affine[:3, :3], axis=0).tolist()
    return depth, height, width


def resampled(values: np.ndarray, size: Sequence[int], order: int) -> np.ndarray:
    """`[*space, channels]` over the same extent in `size` voxels: 0 takes the nearest, 1 is linear.

    The border voxels continue beyond the outermost centres.
    """
    if values.shape[:-1] == tuple(size):
        return values
    factors = [new / old for new, old in zip(size, values.shape[:-1], strict=True)]
    scaled = ndimage.zoom(values, (*factors, 1), order=order, mode="nearest", grid_mode=True)
    return np.asarray(scaled)


@dataclasses.dataclass(frozen=True)
class ZScore:
    """Mean 0 and deviation 1 of each channel, over the voxels that are not 0; those stay 0.

    With `nonzero` false over all voxels.
    """

    nonzero: bool = True

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """`[*space, channels]` to float32 of the same shape."""
        result = np.zeros(values.shape, np.float32)
        for channel in range(values.shape[-1]):
            x = values[..., channel].astype(np.float64)
            inside = x != 0 if self.nonzero else np.ones(x.shape, bool)
            if inside.any():
                scaled = (x[inside] - x[inside].mean()) / max(float(x[inside].std()), 1e-8)
                result[..., channel][inside] = scaled
        return result


@dataclasses.dataclass(frozen=True)
class Window:
    """Values from `low` to `high` become -1 to 1, and those beyond are cut, as with Hounsfield units."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise UsageError(f"low={self.low}, high={self.high}: expected low < high")

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """`[*space, channels]` to float32 of the same shape."""
        share = (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)
        return (2 * share - 1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Preparation:
    """From a file's voxels to the net's input, and back.

    - spacing: millimetres between voxels along depth, height and width; None leaves the file's.
    - intensity: from `[*space, channels]` to float32, one volume at a time.
    """

    spacing: Spacing | None = None
    intensity: Callable[[np.ndarray], np.ndarray] = ZScore()

    def size(self, size: Size, spacing: Spacing) -> Size:
        """The size of an upright volume of this size and spacing once it is prepared."""
        if self.spacing is None:
            return size
        target = zip(size, spacing, self.spacing, strict=True)
        depth, height, width = (max(1, round(n * old / new)) for n, old, new in target)
        return depth, height, width

    def target(self, size: Size, spacing: Spacing) -> Spacing:
        """The spacing of such a volume once it is prepared: the extent stays, in whole voxels."""
        sides = zip(size, spacing, self.size(size, spacing), strict=True)
        depth, height, width = (old * n / new for n, old, new in sides)
        return depth, height, width

    def image(self, volume: Volume) -> np.ndarray:
        """float32 `[depth, height, width, channels]`. Raises ExampleError for nan and inf."""
        wrong = int(volume.values.size - np.isfinite(volume.values).sum())
        if wrong:
            raise ExampleError(f"{wrong:,} of its values are nan or inf: expected numbers")
        return np.ascontiguousarray(self.intensity(self._fitted(volume, 1).values))

    def labels(self, volume: Volume) -> np.ndarray:
        """int32 `[depth, height, width]`, each voxel of the nearest one."""
        return np.ascontiguousarray(self._fitted(volume, 0).values[..., 0].astype(np.int32))

    def restored(self, labels: np.ndarray, volume: Volume) -> np.ndarray:
        """A prepared map, int `[depth, height, width]`, along the axes of `volume` and of its size."""
        turned = upright(volume)
        whole = resampled(labels[..., None], turned.size, 0)
        axes = library("nibabel.orientations", "medical").io_orientation(volume.affine)
        return _turned(Volume(whole, turned.affine), axes).values[..., 0]

    def _fitted(self, volume: Volume, order: int) -> Volume:
        turned = upright(volume)
        depth, height, width = turned.size
        size = self.size((depth, height, width), spacing_of(turned))
        values = turned.values.astype(np.float32) if order else turned.values
        return Volume(resampled(values, size, order), turned.affine)


PREPARATION = Preparation()
