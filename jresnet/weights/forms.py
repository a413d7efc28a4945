"""How the values of one layer lie in memory, here and in torch."""

import dataclasses
from collections.abc import Callable

import numpy as np

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Form:
    """Two functions that undo each other.

    - ours: torch's array, and the shape that the net has, to ours. It may raise ValueError.
    - theirs: our array to torch's.
    """

    ours: Callable[[np.ndarray, Shape], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


def _kernel(value: np.ndarray, shape: Shape) -> np.ndarray:
    if len(shape) == 2 and set(value.shape[2:]) == {1}:
        value = value.reshape(value.shape[:2])  # a 1x1 convolution there, a matrix here
    return np.moveaxis(value, (0, 1), (-1, -2)) if value.ndim > 1 else value


def _torch_kernel(value: np.ndarray) -> np.ndarray:
    if value.ndim < 2:
        return value
    return np.ascontiguousarray(np.moveaxis(value, (-1, -2), (0, 1)))


def _pointwise(value: np.ndarray) -> np.ndarray:
    kernel = _torch_kernel(value)
    return kernel.reshape(*kernel.shape, 1, 1)


def _transposed(value: np.ndarray, shape: Shape) -> np.ndarray:
    del shape
    axes = tuple(range(2, value.ndim))
    return np.moveaxis(np.flip(value, axes), (0, 1), (-2, -1))


def _torch_transposed(value: np.ndarray) -> np.ndarray:
    axes = tuple(range(2, value.ndim))
    return np.ascontiguousarray(np.flip(np.moveaxis(value, (-2, -1), (0, 1)), axes))


def _blocks(value: np.ndarray, shape: Shape) -> np.ndarray:
    del shape
    return np.moveaxis(value, (0, 1), (-2, -1))


def _torch_blocks(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(value, (-2, -1), (0, 1)))


def _plain(value: np.ndarray, shape: Shape) -> np.ndarray:
    return value.reshape(()) if value.shape == (1,) and shape == () else value


def _torch_plain(value: np.ndarray) -> np.ndarray:
    return value.reshape(1) if value.ndim == 0 else value


# Vectors, and matrices whose rows are rows in both: embeddings, centres of classes. A single number,
# such as the slope that all channels of a PReLU share, has one axis in torch.
PLAIN = Form(_plain, _torch_plain)
# Convolutions `[*kernel, in, out]` and Dense `[in, out]`, with torch's axes `out, in, *kernel`.
KERNEL = Form(_kernel, _torch_kernel)
# A Dense layer here that is a 1x1 convolution in torch.
POINTWISE = Form(_kernel, _pointwise)
# `flax.linen.ConvTranspose`, `[*kernel, in, out]` and not flipped, with torch's `in, out, *kernel`.
TRANSPOSED = Form(_transposed, _torch_transposed)

# `jresnet.models.upsample.ConvTranspose`, `[*kernel, in, out]`, with torch's `in, out, *kernel`.
BLOCKS = Form(_blocks, _torch_blocks)


def flattened(*size: int) -> Form:
    """A Dense layer on a flattened map of `size`: channels come last here, first in torch."""

    def ours(value: np.ndarray, shape: Shape) -> np.ndarray:
        del shape
        split = value.reshape(value.shape[0], -1, *size)
        return np.moveaxis(split, 1, -1).reshape(value.shape[0], -1).T

    def theirs(value: np.ndarray) -> np.ndarray:
        split = value.T.reshape(value.shape[1], *size, -1)
        return np.moveaxis(split, -1, 1).reshape(value.shape[1], -1)

    return Form(ours, theirs)


def _whole_map(value: np.ndarray, shape: Shape) -> np.ndarray:
    *spatial, channels, _ = shape
    return np.moveaxis(value.reshape(value.shape[0], channels, *spatial), (0, 1), (-1, -2))


def _torch_whole_map(value: np.ndarray) -> np.ndarray:
    return _torch_kernel(value).reshape(value.shape[-1], -1)


# A linear layer over a whole map, `[*size, in, out]`; torch flattens the map, channels first.
WHOLE_MAP = Form(_whole_map, _torch_whole_map)
