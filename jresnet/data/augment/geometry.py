"""Joint geometry on the device: an image moves, and its map, boxes, masks and keypoints with it.

An augmentation of place (`places`) is called as `op(rng, count, size)` and returns a `Warp`;
`carry` applies it to every array of a batch that lies in the image. Several augmentations are one
`Warp`, by `chain`, so that pixels are interpolated once. Coordinates are continuous: the pixel in
row i and column j covers [j, j + 1] x [i, i + 1], and boxes are x1 y1 x2 y2 in them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jresnet.data.augment.sampling import linear, linear_along, nearest, nearest_along

Array = jax.Array
Size = tuple[int, ...]
IGNORED = 255  # in label maps: no class, counts for nothing
PADDING = -1  # class of a row of boxes that is none


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Warp:
    """Where each place of the result comes from: `matrix` @ (x, y, 1), or (x, y, z, 1) in volumes.

    - matrix: float32 `[batch, rank, rank + 1]`, its coordinates the last spatial axis first.
    - size: that of the result, its first spatial axis first: (height, width).
    - aligned: axes stay axes, so that the left of the matrix is diagonal: mirror images, crops and
      scales, but no turns. Each axis is then looked up by itself, which is much faster.
    """

    matrix: Array
    size: Size = dataclasses.field(metadata={"static": True})
    aligned: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def rank(self) -> int:
        """Number of spatial axes that move."""
        return len(self.size)

    def inverse(self) -> Array:
        """From a place in the source to that in the result, `[batch, rank, rank + 1]`."""
        linear = jnp.linalg.inv(self.matrix[..., :-1])
        return jnp.concatenate([linear, -linear @ self.matrix[..., -1:]], -1)

    @property
    def mirrors(self) -> Array:
        """Whether left and right change places, bool `[batch]`."""
        return jnp.linalg.det(self.matrix[..., :-1]) < 0


Place = Callable[[Array, int, Size], Warp]  # (key, batch, size of the source)


def identity(count: int, size: Size) -> Warp:
    """Nothing moves."""
    matrix = jnp.eye(len(size), len(size) + 1, dtype=jnp.float32)
    return Warp(jnp.broadcast_to(matrix, (count, *matrix.shape)), size, aligned=True)


def chain(rng: Array, places: Sequence[Place], count: int, size: Size) -> Warp:
    """All of `places` one after the other, as one warp of images of `size`."""
    whole = identity(count, size)
    for key, place in zip(jax.random.split(rng, max(1, len(places))), places, strict=False):
        step = place(key, count, whole.size)
        matrix = _compose(whole.matrix, step.matrix)
        whole = Warp(matrix, step.size, whole.aligned and step.aligned)
    return whole


def _compose(outer: Array, inner: Array) -> Array:
    """`outer` after `inner`, both `[batch, rank, rank + 1]`."""
    linear = outer[..., :-1] @ inner[..., :-1]
    return jnp.concatenate([linear, outer[..., :-1] @ inner[..., -1:] + outer[..., -1:]], -1)


def carry(
    batch: Mapping[str, Array],
    warp: Warp,
    *,
    fill: float = 0.0,
    mirrored: Sequence[int] | None = None,
    smallest: float = 0.0,
) -> dict[str, Array]:
    """A batch whose images are warped, with all that lies in them; other arrays stay.

    Args:
        batch: named arrays; those in `CARRIED` move. `image` is `[batch, ..., *size, channels]`,
            every frame of a clip alike; `map` int `[batch, *size]`; `boxes` float32
            `[batch, limit, 4]` with `class` int `[batch, limit]`, -1 for padding; `masks`
            `[batch, limit, *size]`, or `[batch, limit, cells, cells]` cropped to `frames`, float32
            `[batch, limit, 4]` like boxes; `keypoints` float32 `[batch, limit, points, 3]`, x, y
            and whether it is visible.
        warp: where each place comes from.
        fill: value of an image outside of the source.
        mirrored: number of the keypoint that takes each one's place where left and right change.
        smallest: boxes whose clipped width or height is not above it become padding.

    Returns:
        The batch, images of `warp.size`. What left an image: 255 in maps, padding in boxes,
        invisible keypoints. Frames are not clipped, and masks in them are only mirrored: a warp
        that turns, by other than half a turn, does not go with them.
    """
    carried = dict(batch)
    framed = {"masks": _mirrored_masks} if "frames" in batch else {}
    for name, move in (CARRIED | framed).items():
        if name in batch:
            carried[name] = move(batch[name], warp, fill, mirrored)
    if "boxes" in batch:
        boxes = carried["boxes"]
        kept = (boxes[..., 2:] - boxes[..., :2]).min(-1) > smallest
        if "class" in batch:
            kept = kept & (batch["class"] != PADDING)
            carried["class"] = jnp.where(kept, batch["class"], PADDING)
        carried["boxes"] = jnp.where(kept[..., None], boxes, 0)
        for name in {"masks", "frames", "keypoints"} & batch.keys():
            rows = kept.reshape(*kept.shape, *(1,) * (carried[name].ndim - 2))
            carried[name] = jnp.where(rows, carried[name], jnp.zeros((), carried[name].dtype))
    return carried


def _image(images: Array, warp: Warp, fill: float, _: Any) -> Array:
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"image is {images.dtype}: expected floats, to interpolate between")
    sample = linear_along if warp.aligned else linear
    return _sampled(images, warp, images.ndim > warp.rank + 2, lambda x, p: sample(x, p, fill))


def _map(labels: Array, warp: Warp, *_: Any) -> Array:
    return _by_nearest(labels, warp, IGNORED, several=False)


def _masks(masks: Array, warp: Warp, *_: Any) -> Array:
    return _by_nearest(masks, warp, jnp.zeros((), masks.dtype), several=True)


def _by_nearest(values: Array, warp: Warp, fill: Any, several: bool) -> Array:
    sample = nearest_along if warp.aligned else nearest
    return _sampled(values[..., None], warp, several, lambda x, p: sample(x, p, fill))[..., 0]


def _mirrored_masks(masks: Array, warp: Warp, *_: Any) -> Array:
    """Masks `[batch, limit, cells, cells]` within their frames: left and right, or top and bottom,
    change places where they do in the image."""
    for axis in (0, 1):
        flips = warp.matrix[:, axis, axis] < 0
        masks = jnp.where(flips[:, None, None, None], jnp.flip(masks, -1 - axis), masks)
    return masks


def _boxes(boxes: Array, warp: Warp, *_: Any) -> Array:
    limit = lax.broadcast_to_rank(jnp.asarray(warp.size[::-1] * 2, boxes.dtype), boxes.ndim)
    return jnp.clip(_frames(boxes, warp), 0, limit)


def _frames(boxes: Array, warp: Warp, *_: Any) -> Array:
    """The box that holds the four moved corners of each."""
    x, y = boxes[..., 0::2], boxes[..., 1::2]
    corners = jnp.stack(jnp.broadcast_arrays(x[..., :, None], y[..., None, :]), -1)
    moved = _moved(corners.reshape(*boxes.shape[:-1], 4, 2), warp)
    return jnp.concatenate([moved.min(-2), moved.max(-2)], -1)


def _keypoints(points: Array, warp: Warp, _: float, mirrored: Sequence[int] | None) -> Array:
    moved = _moved(points[..., :2], warp)
    limit = lax.broadcast_to_rank(jnp.asarray(warp.size[::-1], points.dtype), points.ndim)
    inside = ((moved >= 0) & (moved <= limit)).all(-1, keepdims=True)
    # One that is not visible lies nowhere: zeros.
    points = jnp.concatenate([moved, points[..., 2:]], -1) * (inside & (points[..., 2:] > 0))
    if mirrored is None:
        return points
    return jnp.where(
        warp.mirrors[:, None, None, None], points[..., jnp.asarray(mirrored), :], points
    )


CARRIED: dict[str, Callable[..., Array]] = {
    "image": _image,
    "map": _map,
    "masks": _masks,
    "boxes": _boxes,
    "frames": _frames,
    "keypoints": _keypoints,
}


def _moved(places: Array, warp: Warp) -> Array:
    """Places `[batch, ..., rank]` of the source in the result."""
    matrix = warp.inverse()
    matrix = matrix.reshape(len(matrix), *(1,) * (places.ndim - 2), *matrix.shape[1:])
    return (matrix[..., :-1] @ places[..., None] + matrix[..., -1:])[..., 0]


def _sampled(
    arrays: Array, warp: Warp, several: bool, sample: Callable[[Array, Any], Array]
) -> Array:
    """`sample(array [*size, channels], places)` of `[batch, ...]`, or of the several arrays
    `[batch, frames, ...]` of each example.

    Places are `[*warp.size, rank]`, or of an aligned warp one `[side]` for each spatial axis.
    """

    def one(array: Array, matrix: Array) -> Array:
        places = _along_axes(matrix, warp.size) if warp.aligned else _places(matrix, warp.size)
        if several:
            return jax.vmap(lambda frame: sample(frame, places))(array)
        return sample(array, places)

    return jax.vmap(one)(arrays, warp.matrix)


def _places(matrix: Array, size: Size) -> Array:
    """The place that each pixel's centre comes from, `[*size, rank]`."""
    axes = [jnp.arange(side) + 0.5 for side in size[::-1]]
    grid = jnp.stack(jnp.meshgrid(*axes, jnp.ones(1), indexing="ij"), -1)[..., 0, :]
    grid = jnp.moveaxis(grid, range(len(size)), range(len(size))[::-1])  # [*size, rank + 1]
    return grid @ matrix.T


def _along_axes(matrix: Array, size: Size) -> list[Array]:
    """The same of a diagonal matrix: the coordinates along each spatial axis, `[side]` each."""
    rows = range(len(size))[::-1]  # coordinates begin with the last axis
    return [
        matrix[row, row] * (jnp.arange(side) + 0.5) + matrix[row, -1]
        for row, side in zip(rows, size, strict=True)
    ]
