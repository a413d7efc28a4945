"""Arrays that devices and processes hold in parts: crc32 of the whole, and the whole itself."""

import functools
import json
import operator
import zlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jresnet.runtime import distributed
from jresnet.weights.run import checksum


def checksums(tree: Any) -> dict[str, int]:
    """crc32 of every leaf, by path: the same for any layout, and in every process.

    A leaf that is spread over several processes is put together nowhere. Each of them takes the
    crc32 of an array that holds its part and is 0 elsewhere; crc32 is affine over exclusive or, so
    these numbers combine into that of the whole. All processes must call this together.
    """
    leaves = {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    spread = {path: leaf for path, leaf in leaves.items() if _is_spread(leaf)}
    sums = {path: checksum(leaf) for path, leaf in leaves.items() if path not in spread}
    if spread:
        mine = [_sum_of_part(leaf) for leaf in spread.values()]
        parts = zip(*map(json.loads, distributed.gather(json.dumps(mine))), strict=True)
        for (path, leaf), numbers in zip(spread.items(), parts, strict=True):
            sums[path] = _combine(numbers, leaf.nbytes)
    return sums


def gathered(tree: Any) -> Any:
    """The tree with every leaf whole in this process, as NumPy's: of arrays on a device Orbax takes
    none of a single process where there are several. All processes must call this together."""

    def whole(leaf: Any) -> Any:
        if _is_spread(leaf):
            return multihost_utils.process_allgather(leaf, tiled=True)
        if not isinstance(leaf, jax.Array):
            return leaf
        return np.asarray(leaf.addressable_data(0) if leaf.is_fully_replicated else leaf)

    return jax.tree.map(whole, tree)


def _is_spread(leaf: Any) -> bool:
    """Whether this process holds a part of the array only."""
    return isinstance(leaf, jax.Array) and not (
        leaf.is_fully_addressable or leaf.is_fully_replicated
    )


def _sum_of_part(leaf: jax.Array) -> int:
    """crc32 of this process's part, 0 elsewhere. Of equal shards one process has the first."""
    part = np.zeros(leaf.shape, leaf.dtype)
    for shard in leaf.addressable_shards:
        if shard.replica_id == 0:
            part[shard.index] = shard.data
    return checksum(part)


def _combine(sums: tuple[int, ...], size: int) -> int:
    """crc32 of `size` bytes of which each of `sums` is that of a part, 0 elsewhere."""
    zeros = functools.reduce(
        lambda crc, count: zlib.crc32(bytes(count), crc),
        [2**20] * (size // 2**20) + [size % 2**20],
        0,
    )
    # Each crc32 has the same constant added: an odd number of them leaves one.
    return functools.reduce(operator.xor, sums) ^ (0 if len(sums) % 2 else zeros)
