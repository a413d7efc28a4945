"""Kernels for other inputs: more or fewer channels, and time."""

import numpy as np


def adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A first convolution `[*size, in, out]` for images of `channels` channels.

    To one channel the kernels are summed, which is what a grey image in three channels got; to
    others they are repeated in turn and scaled by `in / channels`, which keeps the response to
    channels that are alike where `channels` is a multiple of `in` (as timm's `adapt_input_conv`).
    """
    inputs = kernel.shape[-2]
    if channels == inputs:
        return kernel
    if channels == 1:
        return kernel.sum(-2, keepdims=True)
    repeated = kernel[..., np.arange(channels) % inputs, :]
    return repeated * np.asarray(inputs / channels, kernel.dtype)


def inflate_kernel(kernel: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A 2-D kernel `[height, width, in, out]` as a 3-D one of `size` (time, height, width).

    Repeated along time and divided by its length, so that a video of one still picture gives the
    picture's response (I3D; Carreira & Zisserman 2017, arXiv:1705.07750, section 2.4).
    """
    if kernel.ndim != 4 or len(size) != 3:
        return kernel
    return np.repeat(kernel[None] / np.asarray(size[0], kernel.dtype), size[0], axis=0)
