"""The three forms of a ResNeXt block, which compute the same (Xie et al. 2016, figure 3).

(a) the sum of C paths 1x1, 3x3, 1x1 of width d; (b) C paths 1x1, 3x3, their outputs concatenated,
then one 1x1; (c) a grouped convolution. `Block` is form (c); the other two are computed from its
variables. arXiv:1611.05431, section 3.3.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.models.block import BOTTLENECK, Block
from jresnet.models.layers import BatchNorm, Conv, Shape

Array = jax.Array
Variables = Mapping[str, Any]


def split_paths(variables: Variables, cardinality: int) -> list[dict[str, Any]]:
    """The variables of each of the C = `cardinality` paths of a bottleneck block.

    A path has these parts of the block's variables:

    - d outputs of `conv1 [1, 1, in, C d]` and of `conv2 [3, 3, d, C d]`;
    - the rows of `conv3 [1, 1, C d, out]` for its d inputs;
    - d channels of the first two norms.

    Raises ValueError for inner widths that `cardinality` does not divide.
    """
    inner = variables["params"]["conv2"]["kernel"].shape[-1]
    if cardinality < 1 or inner % cardinality:
        raise ValueError(f"cardinality {cardinality}: the inner width is {inner}, take a divisor")
    axes = {"conv1": -1, "norm1": -1, "conv2": -1, "norm2": -1, "conv3": -2}

    def one_path(path: int) -> dict[str, Any]:
        def cut(axis: int, leaf: Array) -> Array:
            return jnp.split(leaf, cardinality, axis)[path]

        return {
            kind: {
                name: jax.tree.map(lambda leaf, axis=axis: cut(axis, leaf), tree[name])
                for name, axis in axes.items()
                if name in tree
            }
            for kind, tree in variables.items()
        }

    return [one_path(path) for path in range(cardinality)]


def aggregated(block: Block, variables: Variables, x: Array, form: str) -> Array:
    """The output of `block` for `[batch, *spatial, in]` in evaluation, by form "a", "b" or "c".

    Raises ValueError for another form, and for a block that is not a post-activation bottleneck
    with a strided 3x3.
    """
    if [spec.kernel for spec in block.branch] != [spec.kernel for spec in BOTTLENECK]:
        raise ValueError(f"branch {block.branch}: take a bottleneck")
    if form == "c":
        return _array(block.apply(variables, x, train=False))
    if form not in ("a", "b"):
        raise ValueError(f"form {form!r}: take a, b or c")
    width = variables["params"]["conv3"]["kernel"].shape[-1]
    paths = split_paths(variables, block.groups)
    inner = [_to_3x3(path, x, block.strides) for path in paths]
    if form == "a":
        ends = [
            _layer(path, "conv3", Conv(width, 1), y) for path, y in zip(paths, inner, strict=True)
        ]
        branch = sum(ends[1:], ends[0])
    else:
        branch = _layer(variables, "conv3", Conv(width, 1), jnp.concatenate(inner, -1))
    branch = _norm(variables, "norm3", branch)
    # The block without its branch is its shortcut and the last activation.
    skip = block.shortcut(conv=block.conv, norm=block.norm)
    of_shortcut = {kind: tree["shortcut"] for kind, tree in variables.items() if "shortcut" in tree}
    return block.act(branch + _array(skip.apply(of_shortcut, x, width, block.strides, train=False)))


def _to_3x3(path: Variables, x: Array, strides: Shape) -> Array:
    width = path["params"]["conv1"]["kernel"].shape[-1]
    y = jax.nn.relu(_norm(path, "norm1", _layer(path, "conv1", Conv(width, 1), x)))
    y = _layer(path, "conv2", Conv(width, 3, strides), y)
    return jax.nn.relu(_norm(path, "norm2", y))


def _layer(variables: Variables, name: str, conv: Conv, x: Array) -> Array:
    return _array(conv.apply({"params": variables["params"][name]}, x))


def _norm(variables: Variables, name: str, x: Array) -> Array:
    of_norm = {kind: tree[name] for kind, tree in variables.items()}
    return _array(BatchNorm().apply(of_norm, x, train=False))


def _array(value: Any) -> Array:
    return value
