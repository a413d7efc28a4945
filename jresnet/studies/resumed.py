"""Long computations over many points, kept on disk as they go."""

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
    """`[P, K]`: what `compute` yields, part by part, for `points` `[P, D]`.

    Every part is written to `path` (`.npz`), and a call that finds some goes on behind them.
    `depends` is a pytree of all that the values depend on beside the points: if that, or the
    points, have changed, everything is done again. A progress bar has `name`.
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
    """One number that tells trees of arrays apart."""
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
