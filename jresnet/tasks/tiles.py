"""Large pictures in tiles that overlap, enlarged one after the other."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jresnet.tasks.base import Array

# Pictures and a mask of what is real, `[batch, h, w, ...]`, to pictures `scale` times as large.
Enlarge = Callable[[Array, Array], Array]


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Tiles of `side` x `side` pixels of the picture that is enlarged.

    Of each, `margin` pixels at its edges are thrown away, except at the border of the picture: what
    lies beyond the edge is hidden from them. With a margin as wide as the net sees, the result is
    that of the whole picture. Tiles begin at multiples of `step`, for nets with strides; the
    picture's sides, `side` and `margin` are such too.
    """

    side: int = 192
    margin: int = 16
    step: int = 1

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.margin < self.side:
            raise ValueError(
                f"margin={self.margin}: expected at least 0 and below half of side {self.side}"
            )
        if self.side % self.step or self.margin % self.step:
            raise ValueError(
                f"side={self.side}, margin={self.margin}: expected multiples of step {self.step}"
            )

    def starts(self, length: int) -> np.ndarray:
        """The first pixel of each tile along an axis, int32, ascending; the last ends at its end."""
        side = min(self.side, length)
        count = -(-(length - side) // (self.side - 2 * self.margin)) + 1
        even = np.linspace(0, length - side, count) / self.step
        return np.rint(even).astype(np.int32) * self.step

    def kept(self, length: int) -> np.ndarray:
        """The pixels of each tile that stay, bool `[tiles, side]`."""
        starts, side = self.starts(length), min(self.side, length)
        place = np.arange(side)[None]
        first, last = starts[:, None] == 0, starts[:, None] == length - side
        return (first | (place >= self.margin)) & (last | (place < side - self.margin))

    def enlarge(self, net: Enlarge, pictures: Array, real: Array) -> Array:
        """`net` over all tiles: `[batch, H, W, channels]` and `[batch, H, W, 1]` to one result."""
        _, height, width, _ = pictures.shape
        sides = min(self.side, height), min(self.side, width)
        if sides == (height, width):
            return net(pictures, real)
        cut = jax.eval_shape(
            net, *(jax.ShapeDtypeStruct((len(x), *sides, x.shape[-1]), x.dtype) for x in (pictures, real))
        )  # fmt: skip
        scale = cut.shape[1] // sides[0]
        shape = (len(pictures), height * scale, width * scale, cut.shape[-1])
        rows, columns = self.starts(height), self.starts(width)
        numbers = jnp.asarray(np.indices((len(rows), len(columns))).reshape(2, -1).T)
        stays = [jnp.asarray(self.kept(n).repeat(scale, 1)) for n in (height, width)]
        tops, lefts = jnp.asarray(rows), jnp.asarray(columns)

        def tile(result: Array, number: Array) -> tuple[Array, None]:
            top, left = tops[number[0]], lefts[number[1]]
            part, mask = (
                lax.dynamic_slice(x, (0, top, left, 0), (len(x), *sides, x.shape[-1]))
                for x in (pictures, real)
            )
            new = net(part, mask)
            at = (0, top * scale, left * scale, 0)
            old = lax.dynamic_slice(result, at, new.shape)
            stay = stays[0][number[0]][:, None] & stays[1][number[1]][None]
            return lax.dynamic_update_slice(result, jnp.where(stay[None, ..., None], new, old), at), None  # fmt: skip

        return lax.scan(tile, jnp.zeros(shape, cut.dtype), numbers)[0]
