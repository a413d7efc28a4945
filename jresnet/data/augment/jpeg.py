"""The loss of a JPEG file, computed on the device: what is left of images once they were stored.

Baseline JPEG (ITU-T T.81) with the quality scale of libjpeg, chroma at half the resolution and
linear interpolation of it. Rounding inside of the discrete cosine transforms is left out.
"""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

SIDE = 8  # of a block

# ITU-T T.81, tables K.1 and K.2, row by row.
LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]).reshape(SIDE, SIDE)  # fmt: skip
CHROMINANCE = np.array([
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
]).reshape(SIDE, SIDE)  # fmt: skip

# ITU-R BT.601 in full range: luminance, blueness, redness of red, green and blue.
_COLOURS = np.array([
    [0.299, 0.587, 0.114],
    [-0.168735892, -0.331264108, 0.5],
    [0.5, -0.418687589, -0.081312411],
])  # fmt: skip


def quantisation(table: np.ndarray, quality: int) -> np.ndarray:
    """The steps of a quality from 1 to 100, int `[8, 8]`: libjpeg's scale of a table for 50."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((table * scale + 50) // 100, 1, 255)


def stored(images: Array, quality: int) -> Array:
    """Floats in [0, 255] `[batch, H, W, 1 or 3]` as they come back out of a JPEG file, whole numbers."""
    images = jnp.clip(jnp.round(images), 0, 255)
    if images.shape[-1] == 1:
        return _plane(images[..., 0], LUMINANCE, quality)[..., None]
    mixing = jnp.asarray(_COLOURS, images.dtype)
    levels = jnp.asarray([0.0, 128.0, 128.0], images.dtype)
    planes = jnp.round(_mixed(images, mixing) + levels[None, None, None])
    luminance = _plane(planes[..., 0], LUMINANCE, quality)
    colours = [_halved(planes[..., i], quality) for i in (1, 2)]
    back = jnp.asarray(np.linalg.inv(_COLOURS), images.dtype)
    whole = jnp.stack([luminance, *colours], -1) - levels[None, None, None]
    return jnp.clip(jnp.round(_mixed(whole, back)), 0, 255)


def _mixed(colours: Array, matrix: Array) -> Array:
    """Other colours `[batch, H, W, 3]` of each pixel, in whole float32 on every device."""
    return jnp.matmul(colours, matrix.T, precision=jax.lax.Precision.HIGHEST)


def _halved(plane: Array, quality: int) -> Array:
    """A plane of colour, stored at half the height and width."""
    rows, height, width = plane.shape
    even = _padded(plane, 2)
    small = even.reshape(rows, even.shape[1] // 2, 2, even.shape[2] // 2, 2).mean((2, 4))
    kept = _plane(jnp.round(small), CHROMINANCE, quality)
    large = jax.image.resize(kept, even.shape, "linear")
    return jnp.round(large[:, :height, :width])


def _plane(plane: Array, table: np.ndarray, quality: int) -> Array:
    """`[batch, H, W]` through transform, quantisation, and back."""
    rows, height, width = plane.shape
    padded = _padded(plane, SIDE) - 128
    blocks = padded.reshape(rows, padded.shape[1] // SIDE, SIDE, padded.shape[2] // SIDE, SIDE)
    cosines = jnp.asarray(_cosines(), plane.dtype)
    steps = jnp.asarray(quantisation(table, quality), plane.dtype)[None, None, :, None, :]
    # In whole float32: a coefficient near the middle of two steps would fall to either side.
    exact = jax.lax.Precision.HIGHEST
    waves = jnp.einsum("ui,bhiwj,vj->bhuwv", cosines, blocks, cosines, precision=exact)
    waves = jnp.round(waves / steps) * steps
    pixels = jnp.einsum("ui,bhuwv,vj->bhiwj", cosines, waves, cosines, precision=exact)
    whole = pixels.reshape(padded.shape)[:, :height, :width]
    return jnp.clip(jnp.round(whole + 128), 0, 255)


def _padded(plane: Array, multiple: int) -> Array:
    """The last row and column repeated up to whole multiples of the height and width."""
    _, height, width = plane.shape
    return jnp.pad(plane, ((0, 0), (0, -height % multiple), (0, -width % multiple)), mode="edge")


def _cosines() -> np.ndarray:
    """The orthonormal discrete cosine transform of 8 numbers, `[frequency, place]`."""
    frequency, place = np.mgrid[:SIDE, :SIDE]
    waves = np.cos((2 * place + 1) * frequency * np.pi / (2 * SIDE)) / 2
    waves[0] /= np.sqrt(2)
    return waves
