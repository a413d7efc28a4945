"""Identical blocks under one `nn.scan`, so that compile time does not grow with depth.

Variables of scanned blocks lie stacked along a leading axis under `stageN/blocks`. The unrolled
tree, `stageN/block2 ...`, is the canonical form of checkpoints: `stack` and `unstack` convert.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models import cpu
from jresnet.models.layers import convolve

Array = jax.Array
Axes = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def scan_blocks(
    run: Callable[..., Array],
    block: nn.Module,
    x: Array,
    scalars: Sequence[Array | None],
    length: int,
) -> Array:
    """`x` through `length` copies of `block`, each applied as `run(block, x, *its scalars)`.

    Every copy has its own parameters and running statistics, stacked along axis 0; `scalars` hold
    `[length]` values each, or None.
    """

    def body(block: nn.Module, x: Array, scalars: Any) -> tuple[Array, None]:
        return run(block, x, *scalars), None

    scanned = nn.scan(
        body,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True, "dropout": True},
        length=length,
    )
    return scanned(block, x, tuple(scalars))[0]


def unstack(tree: Any) -> Any:
    """Stacked variables to the canonical, unrolled ones; the rest of the tree stays.

    Works on any mapping, nested to any depth: `params`, `batch_stats`, an optimizer's momentum.
    Stages are known by their names, `stage1, stage2, ...`.
    """
    return _within_stages(tree, _unstack_stage)


def stack(tree: Any) -> Any:
    """The inverse of `unstack`: in each stage `block2, block3, ...` become `blocks` where there are
    two of them or more, as `Stage(scan=True)` wants it."""
    return _within_stages(tree, _stack_stage)


def _within_stages(tree: Any, change: Callable[[Mapping[str, Any]], Any]) -> Any:
    if not isinstance(tree, Mapping):
        return tree
    return {
        key: change(value)
        if isinstance(value, Mapping) and re.fullmatch(r"stage\d+", str(key))
        else _within_stages(value, change)
        for key, value in tree.items()
    }


def _unstack_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    unrolled = {}
    for key, value in stage.items():
        if key == "blocks":
            length = jax.tree.leaves(value)[0].shape[0]
            for i in range(length):
                unrolled[f"block{i + 2}"] = jax.tree.map(lambda leaf, i=i: leaf[i], value)
        else:
            unrolled[key] = value
    return unrolled


def _stack_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    numbers = sorted(int(key[5:]) for key in stage if re.fullmatch(r"block\d+", key))
    if len(numbers) <= 2:
        return dict(stage)
    rest = [stage[f"block{n}"] for n in numbers[1:]]
    return {"block1": stage["block1"], "blocks": jax.tree.map(lambda *x: jnp.stack(x), *rest)}


def scannable_convolve(
    x: Array, kernel: Array, strides: Axes, padding: Padding, dilation: Axes, groups: int = 1
) -> Array:
    """`convolve` whose gradients are written as channels-last convolutions too.

    Outside of loops XLA:CPU brings the transposed layouts of autodiff into its fast form; inside a
    `scan` they run about fifty times slower. Same values as `convolve`. Reverse mode only, except
    where the convolution is a matrix product.
    """
    parts = cpu.divided(scannable_convolve, x, kernel, strides, padding, dilation, groups)
    if parts is not None:
        return parts
    return _convolve(x, kernel, *map(tuple, (strides, padding, dilation)), groups)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _convolve(
    x: Array, kernel: Array, strides: Axes, padding: Padding, dilation: Axes, groups: int
) -> Array:
    return convolve(x, kernel, strides, padding, dilation, groups)


def _forward(x, kernel, strides, padding, dilation, groups):
    return convolve(x, kernel, strides, padding, dilation, groups), (x, kernel)


def _backward(strides, padding, dilation, groups, saved, dy):
    x, kernel = saved
    spans = [d * (k - 1) for d, k in zip(dilation, kernel.shape, strict=False)]
    # Rows at the end of the padded input that no window reaches.
    unread = [
        n + low + high - span - 1 - (o - 1) * s
        for n, (low, high), span, o, s in zip(
            x.shape[1:-1], padding, spans, dy.shape[1:-1], strides, strict=True
        )
    ]
    dx = convolve(
        dy,
        _swap_features(kernel, groups),
        (1,) * len(strides),
        [(e - low, e - low + u) for e, (low, _), u in zip(spans, padding, unread, strict=True)],
        dilation,
        groups,
        input_dilation=strides,
    )
    # Channels as batch and batch as input features, group by group.
    batch, *spatial, channels = x.shape
    channels_first = jnp.moveaxis(x.reshape(batch, *spatial, groups, -1), (-1, 0), (0, -1))
    dkernel = convolve(
        channels_first.reshape(channels // groups, *spatial, groups * batch),
        jnp.moveaxis(dy, 0, -2),
        dilation,
        [(low, high - u) for (low, high), u in zip(padding, unread, strict=True)],
        strides,
        groups,
    )
    return dx, jnp.moveaxis(dkernel, 0, -2)


def _swap_features(kernel: Array, groups: int) -> Array:
    """The kernel flipped, with its inputs and outputs exchanged within each group."""
    *size, inputs, outputs = kernel.shape
    flipped = jnp.flip(kernel, tuple(range(len(size))))
    split = flipped.reshape(*size, inputs, groups, outputs // groups)
    return jnp.moveaxis(split, -1, -3).swapaxes(-1, -2).reshape(*size, -1, groups * inputs)


_convolve.defvjp(_forward, _backward)
