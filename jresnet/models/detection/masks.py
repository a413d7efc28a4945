"""Instance masks: targets cropped from boxes, and predictions put into the image."""

import jax
import jax.numpy as jnp

from jresnet.models.detection.boxes import centres, sides
from jresnet.models.detection.roi_align import roi_align

Array = jax.Array


def mask_targets(
    masks: Array,
    boxes: Array,
    matched: Array,
    output: int,
    frames: Array | None = None,
    aligned: bool = False,
) -> Array:
    """Each box's part of the mask of its object, float32 `[count, output, output]` in 0 to 1.

    As torchvision's RoIAlign with an adaptive number of samples, which is not rounded to 0 and 1.

    Args:
        masks: `[objects, rows, columns]`, numbers in 0 to 1 or bool.
        boxes: float `[count, 4]` in pixels of the image.
        matched: the object of each box, int `[count]`.
        output: cells along a side.
        frames: the part of the image that each mask covers, float `[objects, 4]`, for masks that
            are stored cropped and in another resolution. None: the whole image, a cell a pixel.
        aligned: whether a pixel's centre is half a pixel from its corner, as in detectron2's targets
            (`BitMasks.crop_and_resize`). torchvision's are half a pixel off.
    """
    if frames is not None:
        frame = frames[matched]
        width, height = (jnp.maximum(side, 1e-6) for side in sides(frame))
        scale = jnp.stack([masks.shape[2] / width, masks.shape[1] / height] * 2, -1)
        # A pixel's centre is at its index and a half, on either grid.
        half = 0.0 if aligned else 0.5
        boxes = (boxes + half - jnp.tile(frame[:, :2], (1, 2))) * scale - half

    def crop(row: tuple[Array, Array]) -> Array:
        box, number = row
        mask = masks[number].astype(jnp.float32)[..., None]
        options = {"sampling": None, "aligned": aligned}
        part = roi_align([mask], box[None], output, [1.0], form="einsum", **options)
        return part[0, ..., 0]

    # A few boxes at a time: each has a whole mask of its own.
    return jax.lax.map(crop, (boxes, matched), batch_size=8)


def paste_masks(masks: Array, boxes: Array, size: tuple[int, int]) -> Array:
    """Probabilities of objects in their boxes, put into the image: float32 `[count, *size]`.

    As torchvision's `paste_masks_in_image`: a ring of zeros around the mask, the box enlarged
    with it, its corners cut to whole pixels, bilinear interpolation. Above 0.5 is the object.

    Args:
        masks: float `[count, rows, columns]`.
        boxes: float `[count, 4]` in pixels of the image.
        size: (height, width) of the image.
    """
    padded = jnp.pad(masks, ((0, 0), (1, 1), (1, 1)))
    x, y = centres(boxes)
    rows, columns = masks.shape[1:]
    width, height = sides(boxes)
    half_width = 0.5 * width * ((columns + 2) / columns)
    half_height = 0.5 * height * ((rows + 2) / rows)
    across = _interpolation(x - half_width, x + half_width, size[1], columns + 2)
    down = _interpolation(y - half_height, y + half_height, size[0], rows + 2)
    return jnp.einsum("nyr,nrc,nxc->nyx", down, padded, across)


def _interpolation(low: Array, high: Array, size: int, cells: int) -> Array:
    """The weight of each cell in each pixel along an axis: `[boxes, size, cells]`; 0 outside."""
    # Towards zero, both corners included.
    low, high = jnp.trunc(low)[:, None], jnp.trunc(high)[:, None]
    length = jnp.maximum(high - low + 1, 1)
    pixel = jnp.arange(size, dtype=low.dtype)[None] - low
    inside = (pixel >= 0) & (pixel < length)
    position = jnp.maximum((pixel + 0.5) * (cells / length) - 0.5, 0)
    near = jnp.clip(jnp.floor(position), 0, cells - 1)
    share = position - near
    weights = jnp.zeros((), low.dtype)
    for cell, weight in ((near, 1 - share), (jnp.minimum(near + 1, cells - 1), share)):
        hot = jax.nn.one_hot(cell.astype(jnp.int32), cells, dtype=low.dtype)
        weights = weights + hot * jnp.where(inside, weight, 0)[..., None]
    return weights
