"""Images and volumes larger than a net's training crop, seen in windows whose logits are blended.

The first spatial axis is walked from one row of windows to the next. A row of pixels that no later
window can touch is handed on at once, so that logits are held for one row of windows alone: memory
grows with classes x window x the other axes, not with classes x volume.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jresnet.tasks.base import Array

State = TypeVar("State")
Net = Callable[[Array], Array]  # images [batch, *size, channels] to logits [batch, *size, classes]
# (so far, number of the first row, logits [batch, rows, *size[1:], classes]) to so far.
Take = Callable[[State, Array | int, Array], State]


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of `size`, a number for each spatial axis, that overlap by a share of their side or more.

    They are spread evenly over each axis, the first at its beginning, the last at its end. Where an
    image is smaller than a window, the window is as small. A pixel's logits are the weighted mean
    of those of its windows, with weights that fall from the middle of a window to its edges:
    `gaussian` with a standard deviation of an eighth of the side (nnU-Net, Isensee et al. 2021,
    doi:10.1038/s41592-020-01008-z), or `triangular`.

    `margin` pixels at the edges of a window weigh nothing, except at the border of the image: what
    lies beyond the edge is hidden from them. With a margin as wide as the net sees, the result is
    that of the whole image.
    """

    size: tuple[int, ...]
    overlap: float = 0.5
    blend: Literal["gaussian", "triangular"] = "gaussian"
    margin: int = 0

    def __post_init__(self) -> None:
        if not self.size or min(self.size) < 1:
            raise ValueError(f"size={self.size}: expected a number of pixels for each axis")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap={self.overlap}: expected at least 0 and below 1")
        if not 0 <= 2 * self.margin < min(self.size):
            raise ValueError(
                f"margin={self.margin}: expected at least 0 and below half of size {self.size}"
            )

    def sides(self, size: Sequence[int]) -> tuple[int, ...]:
        """The sides of the windows over an image of `size`. Raises ValueError for another rank."""
        if len(size) != len(self.size):
            raise ValueError(
                f"size={self.size}: expected {len(size)} numbers, the images are "
                f"{'x'.join(map(str, size))}"
            )
        return tuple(min(side, whole) for side, whole in zip(self.size, size, strict=True))

    def starts(self, length: int, side: int) -> np.ndarray:
        """The first pixel of each window along an axis of `length`, int32 [windows], ascending."""
        stride = min(math.floor(side * (1 - self.overlap)), side - 2 * self.margin)
        count = math.ceil((length - side) / max(1, stride)) + 1
        return np.rint(np.linspace(0, length - side, count)).astype(np.int32)

    def weights(self, length: int, side: int) -> np.ndarray:
        """The weight of each window's pixels along an axis, float32 [windows, side].

        At each pixel of the axis the weights of its windows add up to 1. A pixel's weight in an
        image is the product over its axes, so that these add up to 1 too.
        """
        distance = np.abs(np.arange(side) - (side - 1) / 2)
        if self.blend == "gaussian":
            fall = np.exp(-0.5 * (distance / (side / 8)) ** 2)
        else:
            fall = 1 - distance / (side / 2 + 0.5)
        starts = self.starts(length, side)
        places = starts[:, None] + np.arange(side)
        # To the window's own edges, those at the border of the image left out.
        low = np.where(starts[:, None] > 0, np.arange(side), np.inf)
        high = np.where(starts[:, None] + side < length, np.arange(side)[::-1], np.inf)
        each = fall * (np.minimum(low, high) >= self.margin)
        total = np.zeros(length)
        np.add.at(total, places, each)
        return (each / total[places]).astype(np.float32)

    def fold(self, net: Net, images: Array, initial: State, take: Take[State]) -> State:
        """`take` over the blended logits of all rows of `images`, from first to last.

        Args:
            net: from images of a window's size to logits of that size.
            images: `[batch, *size, channels]`.
            initial: the first argument of the first call, a tree of arrays.
            take: `(so far, row, logits)` to the same tree. Where one window holds the whole image
                it is called once, with all rows; else for each row.

        Raises ValueError for images of another number of axes than `size`.
        """
        size = images.shape[1:-1]
        if self.sides(size) == size:
            return take(initial, 0, net(images))
        return _Walk(self, net, images).fold(initial, take)

    def logits(self, net: Net, images: Array) -> Array:
        """The blended logits of all pixels, `[batch, *size, classes]`; memory holds them whole."""
        kind: Any = jax.eval_shape(net, images)
        return self.fold(net, images, jnp.zeros(kind.shape, kind.dtype), put)


@dataclasses.dataclass(frozen=True, eq=False)
class _Walk:
    """Windows over images that are larger than one of them.

    Row r of an image has its logits in row r % side of a ring, so that nothing is moved on the way.
    """

    windows: Windows
    net: Net
    images: Array

    @functools.cached_property
    def axes(self) -> list[tuple[int, int]]:
        """The image's length and the window's side on each axis."""
        size = self.images.shape[1:-1]
        return list(zip(size, self.windows.sides(size), strict=True))

    def fold(self, initial: State, take: Take[State]) -> State:
        starts = self.windows.starts(*self.axes[0])
        ends = jnp.asarray([*starts[1:], self.axes[0][0]])  # of the rows that are complete
        begins, side = jnp.asarray(starts), self.axes[0][1]

        def slab(carry: tuple[Array, State], number: Array) -> tuple[tuple[Array, State], None]:
            ring, state = carry
            # The ring is read last in this body, and what was read is emptied first in the next:
            # in another order XLA copies the ring.
            ring = lax.fori_loop(begins[jnp.maximum(number - 1, 0)], begins[number], empty, ring)
            ring = self._added(ring, number)

            def hand_on(row: Array, state: State) -> State:
                return take(state, row, lax.dynamic_slice_in_dim(ring, row % side, 1, 1))

            return (ring, lax.fori_loop(begins[number], ends[number], hand_on, state)), None

        def empty(row: Array, ring: Array) -> Array:
            zeros = jnp.zeros((len(ring), 1, *ring.shape[2:]), ring.dtype)
            return lax.dynamic_update_slice_in_dim(ring, zeros, row % side, 1)

        (_, state), _ = lax.scan(slab, (self._ring(), initial), jnp.arange(len(starts)))
        return state

    def _ring(self) -> Array:
        batch, *size, channels = self.images.shape
        sides = [side for _, side in self.axes]
        window = jax.ShapeDtypeStruct((batch, *sides, channels), self.images.dtype)
        kind: Any = jax.eval_shape(self.net, window)
        return jnp.zeros((batch, sides[0], *size[1:], kind.shape[-1]), kind.dtype)

    def _added(self, ring: Array, number: Array) -> Array:
        """The ring with all windows of a row of windows added, each times its weights."""
        starts = [jnp.asarray(self.windows.starts(*axis)) for axis in self.axes]
        weights = [jnp.asarray(self.windows.weights(*axis)) for axis in self.axes]
        others = np.indices([len(each) for each in starts[1:]]).reshape(len(starts) - 1, -1).T
        batch, channels = len(self.images), self.images.shape[-1]
        sides = [side for _, side in self.axes]

        def add(ring: Array, place: Array) -> tuple[Array, None]:
            numbers = [number, *place]
            corner = [each[n] for each, n in zip(starts, numbers, strict=True)]
            cut = lax.dynamic_slice(self.images, (0, *corner, 0), (batch, *sides, channels))
            logits = self.net(cut)
            for axis, (each, n) in enumerate(zip(weights, numbers, strict=True)):
                shape = [sides[axis], *(1,) * (logits.ndim - axis - 2)]
                logits = logits * each[n].reshape([1] * (axis + 1) + shape).astype(logits.dtype)
            logits = jnp.roll(logits, corner[0] % sides[0], 1)
            at = (0, 0, *corner[1:], 0)
            before = lax.dynamic_slice(ring, at, logits.shape)
            return lax.dynamic_update_slice(ring, before + logits, at), None

        return lax.scan(add, ring, jnp.asarray(others))[0]


def put(whole: Array, row: Array | int, rows: Array) -> Array:
    """`whole` `[batch, length, ...]` with `rows` from number `row` on."""
    return lax.dynamic_update_slice_in_dim(whole, rows, row, 1)


def part(whole: Array, row: Array | int, count: int) -> Array:
    """`count` rows of `whole` `[batch, length, ...]` from number `row` on."""
    return lax.dynamic_slice_in_dim(whole, row, count, 1)
