"""Nets of mirrored borders and instance norms on pictures padded to one shape, and on parts of them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.heads.restyle import Restyler
from jresnet.models.layers import Conv, per_axis
from jresnet.models.norms import InstanceNorm

Array = jax.Array
# Mean and variance `[batch, channels]` of what each instance norm reads, by the norm's path.
Moments = dict[tuple[str, ...], tuple[Array, Array]]


def apply_mirrored(
    net: Restyler,
    variables: Mapping[str, Any],
    pictures: Array,
    sizes: Array,
    moments: Moments | None = None,
) -> tuple[Array, Moments]:
    """`net` in evaluation on each picture's real part alone.

    Convolutions see a picture mirrored at its own border, not at the array's, and norms take the
    statistics of its real part. The result is that of the picture alone.

    With `moments` norms take these instead. They make a part of a picture look as it does in the
    whole one, as far as the net sees (`net.reach`).

    Args:
        net: without scanned stages.
        variables: its own.
        pictures: `[batch, H, W, channels]`; sides are multiples of `net.reduction`.
        sizes: int `[batch, 2]`, height and width of each real part. What it lacks to a multiple of
            `net.reduction` is continued by its mirror image.
        moments: as this function gives them, for pictures of other shapes.

    Returns: the result, of the shape of `pictures`, and the moments that norms took.
    """
    step, height = net.reduction, pictures.shape[1]
    if height % step or pictures.shape[2] % step:
        raise ValueError(f"pictures {pictures.shape[1:3]}: expected multiples of {step}")
    sizes = jnp.maximum(sizes, 1)
    whole = -(-sizes // step) * step
    taken: Moments = {}

    def inside(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if context.method_name != "__call__" or not isinstance(module, Conv | InstanceNorm):
            return call(*args, **kwargs)
        x, *rest = args
        real = whole // (height // x.shape[1])
        if isinstance(module, Conv):
            edge = max(per_axis(module.kernel, 2)) // 2
            return call(continued(x, real, edge), *rest, **kwargs)
        path = tuple(module.path)
        taken[path] = _moments(x, real) if moments is None else moments[path]
        return call(x, taken[path], **kwargs)

    pictures = continued(pictures, sizes, step - 1)
    with nn.intercept_methods(inside):
        result: Any = net.apply(variables, pictures, train=False)
    return result, taken


def continued(x: Array, sizes: Array, edge: int) -> Array:
    """`[batch, H, W, channels]` whose real part is followed by its mirror image, `edge` pixels wide.

    The last row and column of the real part are not repeated. What lies beyond stays.
    """

    def one(x: Array, size: Array) -> Array:
        for axis in (0, 1) if edge else ():
            beyond = size[axis] + jnp.arange(edge)
            seen = jnp.take(x, mirrored(beyond, size[axis]), axis, mode="clip")
            place = (slice(None),) * axis + (beyond,)
            x = x.at[place].set(seen, mode="drop")
        return x

    return jax.vmap(one)(x, sizes)


def mirrored(place: Array, length: Array) -> Array:
    """The position among `length` ones that a place shows: 0, 1, 2, 1, 0, 1 ... for a length of 3."""
    period = jnp.maximum(2 * (length - 1), 1)
    turn = place % period
    return jnp.minimum(turn, period - turn)


def _moments(x: Array, sizes: Array) -> tuple[Array, Array]:
    """Mean and biased variance `[batch, channels]` of real parts, float32 or wider."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    rows, columns = (
        jnp.arange(side)[None] < sizes[:, axis, None] for axis, side in enumerate(x.shape[1:3])
    )
    real = (rows[:, :, None] & columns[:, None])[..., None]
    count = jnp.prod(sizes, 1)[:, None].astype(x.dtype)
    mean = jnp.where(real, x, 0.0).sum((1, 2)) / count
    off = jnp.where(real, x - mean[:, None, None], 0.0)
    return mean, jnp.square(off).sum((1, 2)) / count
