"""PSNR and SSIM of pictures against the truth, on luma and on colours, over their real part."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from jresnet.tasks.base import Array

WINDOW, SIGMA = 11, 1.5  # of SSIM, in pixels
_K1, _K2 = 0.01, 0.03


def luma(pictures: Array) -> Array:
    """Y of BT.601, 16 to 235, `[..., 1]` of RGB from 0 to 255, `[..., 3]`: MATLAB's rgb2ycbcr.

    Of grey pictures `[..., 1]` that of equal colours. Not rounded.
    """
    pictures = pictures.astype(jnp.float32)
    if pictures.shape[-1] == 1:
        return 16 + pictures * ((65.481 + 128.553 + 24.966) / 255)
    weights = jnp.asarray([65.481, 128.553, 24.966], jnp.float32) / 255
    weights = lax.broadcast_to_rank(weights, pictures.ndim)
    return 16 + jnp.sum(pictures * weights, -1, keepdims=True)


def psnr(ours: Array, truth: Array, sizes: Array | None = None, border: int = 0) -> Array:
    """Peak signal-to-noise ratio in dB, `[batch]`, of pictures `[batch, H, W, channels]`, 0 to 255.

    Infinite for equal pictures. `sizes`, int `[batch, 2]`, are height and width of each picture's
    real part; without them all is real. `border` pixels at its edges are left out.
    """
    inside = _inside(ours, sizes, border, border)
    square = jnp.square(ours.astype(jnp.float32) - truth.astype(jnp.float32)).mean(-1)
    error = jnp.sum(square * inside, (1, 2)) / jnp.sum(inside, (1, 2))
    return 10 * jnp.log10(255**2 / error)


def ssim(ours: Array, truth: Array, sizes: Array | None = None, border: int = 0) -> Array:
    """Structural similarity, `[batch]`, the mean over channels (Wang et al. 2004).

    Gaussian windows of 11 pixels that lie wholly inside, biased variances, as MATLAB and BasicSR.
    NaN where none does. Arguments as in `psnr`.
    """
    return ssim_of_channels(ours, truth, sizes, border).mean(-1)


def ssim_of_channels(
    ours: Array, truth: Array, sizes: Array | None = None, border: int = 0
) -> Array:
    """`ssim` of each channel, `[batch, channels]`."""
    # Variances do not change, and lose less to rounding.
    x, y = (pictures.astype(jnp.float32) - 128 for pictures in (ours, truth))
    if min(x.shape[1:3]) < WINDOW:
        return jnp.full((len(x), x.shape[-1]), jnp.nan)
    blurred = _blurred(jnp.concatenate([x, y, x * x, y * y, x * y], -1))
    mean_x, mean_y, xx, yy, xy = jnp.split(blurred, 5, -1)
    covariance = xy - mean_x * mean_y
    variances = xx - mean_x**2 + yy - mean_y**2
    mean_x, mean_y = mean_x + 128, mean_y + 128
    one, two = (_K1 * 255) ** 2, (_K2 * 255) ** 2
    values = (2 * mean_x * mean_y + one) * (2 * covariance + two)
    values /= (mean_x**2 + mean_y**2 + one) * (variances + two)
    whole = _inside(x, sizes, border, border + WINDOW - 1)[:, : values.shape[1], : values.shape[2]]
    return jnp.sum(values * whole[..., None], (1, 2)) / jnp.sum(whole, (1, 2))[:, None]


def scores(ours: Array, truth: Array, sizes: Array, border: int) -> dict[str, Array]:
    """`psnr_y`, `psnr_rgb`, `ssim_y` and `ssim_rgb`, `[batch]` each; arguments as in `psnr`."""
    luminous, true = luma(ours), luma(truth)
    similar = ssim_of_channels(
        jnp.concatenate([luminous, ours], -1), jnp.concatenate([true, truth], -1), sizes, border
    )
    return {
        "psnr_y": psnr(luminous, true, sizes, border),
        "psnr_rgb": psnr(ours, truth, sizes, border),
        "ssim_y": similar[:, 0],
        "ssim_rgb": similar[:, 1:].mean(-1),
    }


def _inside(like: Array, sizes: Array | None, low: int, high: int) -> Array:
    """1 from `low` on and until `high` before the end of each real part, float32 `[batch, H, W]`."""
    height, width = like.shape[1:3]
    if sizes is None:
        sizes = jnp.broadcast_to(jnp.asarray([[height, width]]), (len(like), 2))
    masks = [
        (jnp.arange(side)[None] >= low) & (jnp.arange(side)[None] < sizes[:, axis, None] - high)
        for axis, side in enumerate((height, width))
    ]
    return (masks[0][:, :, None] & masks[1][:, None]).astype(jnp.float32)


def _blurred(x: Array) -> Array:
    """Gaussian means of all windows that lie inside, `[batch, H - 10, W - 10, channels]`."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    weights = jnp.asarray(weights / weights.sum(), x.dtype)
    for axis in (1, 2):  # in a loop, which compiles to a fraction of the code
        length = x.shape[axis] - WINDOW + 1

        def add(start: Array, so_far: Array, x: Array = x, axis: int = axis) -> Array:
            part = lax.dynamic_slice_in_dim(x, start, so_far.shape[axis], axis)
            return so_far + weights[start] * part

        empty = jnp.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)
        x = lax.fori_loop(0, WINDOW, add, empty)
    return x
