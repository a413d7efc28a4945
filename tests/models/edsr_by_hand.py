"""EDSR in numpy, from the arrays of its checkpoints: by the names of its authors and of BasicSR."""

import numpy as np

# Names of layers; `n` is a block, `m` one of its two convolutions, `s` a shuffle, all from 0.
AUTHORS = {  # sanghyun-son/EDSR-PyTorch, src/model/edsr.py; the closing one is the last of the body
    "first": "head.0",
    "block": lambda n, m: f"body.{n}.body.{2 * m}",
    "closing": lambda blocks: f"body.{blocks}",
    "up": lambda s: f"tail.0.{2 * s}",
    "last": "tail.1",
}
BASICSR = {  # basicsr/archs/edsr_arch.py, and Upsample of arch_util.py
    "first": "conv_first",
    "block": lambda n, m: f"body.{n}.conv{m + 1}",
    "closing": lambda blocks: "conv_after_body",
    "up": lambda s: f"upsample.{2 * s}",
    "last": "conv_last",
}


def convolved(x, state, layer):
    """torch's 3x3 convolution of `[channels, rows, columns]` with padding 1, in float64."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2)
    )
    kernel, bias = state[f"{layer}.weight"].astype(np.float64), state[f"{layer}.bias"]
    return np.einsum("chwij,ocij->ohw", windows, kernel, optimize=True) + bias[:, None, None]


def edsr_by_hand(state, names, pixels, scale, blocks, residual_scale=1.0):
    """Pixels from 0 to 255, `[H, W, 3]`, enlarged by the net whose checkpoint is `state`."""
    mean = 255 * np.reshape([0.4488, 0.4371, 0.4040], (3, 1, 1))
    x = np.moveaxis(np.asarray(pixels, np.float64), -1, 0) - mean
    first = x = convolved(x, state, names["first"])
    for n in range(blocks):
        branch = np.maximum(convolved(x, state, names["block"](n, 0)), 0)
        x = x + residual_scale * convolved(branch, state, names["block"](n, 1))
    x = convolved(x, state, names["closing"](blocks)) + first
    factor = 3 if scale == 3 else 2
    for step in range({2: 1, 3: 1, 4: 2}[scale]):
        x = convolved(x, state, names["up"](step))
        _, height, width = x.shape
        cells = x.reshape(-1, factor, factor, height, width).transpose(0, 3, 1, 4, 2)
        x = cells.reshape(-1, height * factor, width * factor)
    return np.moveaxis(convolved(x, state, names["last"]) + mean, 0, -1)
