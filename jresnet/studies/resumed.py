"""Long computations over many points, stored on disk part by part."""

import logging
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from jresnet.storage import replacing
from jresnet.text import shown

log = logging.getLogger(__name__)


def resumed(
    path: Path,
    points: np.ndarray,
    compute: Callable[[np.ndarray], Iterator[np.ndarray]],
    depends: Any,
    name: str,
) -> np.ndarray:
    """The values of `compute` for all points, stored as they come.

    A later call goes on after the stored parts. If the points or `depends` have changed, it begins
    anew.

    Args:
        path: the `.npz` file with the values so far.
        points: `[P, D]`.
        compute: from points to their values, in parts `[n, K]`.
        depends: a pytree of arrays: everything else that the values depend on.
        name: title of the progress bar.

    Returns:
        `[P, K]`.
    """
    mark = fingerprint((points, depends))
    done = _read(path, mark)
    with tqdm(
        total=len(points), initial=len(done), desc=shown(name), unit="point", disable=None
    ) as bar:
        for part in compute(points[len(done) :]):
            done = np.concatenate([done, part]) if len(done) else part
            with replacing(path) as file:
                np.savez(file, values=done, fingerprint=np.int64(mark))
            bar.update(len(part))
    return done


def fingerprint(tree: Any) -> int:
    """A checksum of a tree of arrays."""
    mark = 0
    for leaf in jax.tree.leaves(tree):
        mark = zlib.crc32(np.ascontiguousarray(leaf).data, mark)
    return mark


def _read(path: Path, mark: int) -> np.ndarray:
    if path.exists():
        with np.load(path) as file:
            if int(file["fingerprint"]) == mark:
                return file["values"]
        log.warning("%s is of another net or other points and is done again", path)
    return np.zeros((0, 0))
