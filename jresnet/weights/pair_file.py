"""InsightFace's `.bin` files of pairs (`lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`), read without running them.

Each is a pickle of `(pictures, same)`: encoded pictures, two for each pair, and whether they show one
person. Pickles can run anything; `inert.Machine` runs nothing.
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jresnet.data.face_pairs import check_folds
from jresnet.errors import UsageError
from jresnet.text import shown
from jresnet.weights.clamped import Clamped
from jresnet.weights.containers import CONTAINERS
from jresnet.weights.inert import Machine
from jresnet.weights.pickled_arrays import ARRAYS, Array

FOLDS = 10


class PairFile(NamedTuple):
    """Bytes of pictures `[2 * pairs]`, pair after pair, `same` bool `[pairs]` and `fold` int `[pairs]`."""

    pictures: list[bytes]
    same: np.ndarray
    fold: np.ndarray


def read_pair_file(path: Path) -> PairFile:
    """The pictures and pairs of a file; folds are ten consecutive parts, as insightface cuts them.

    Raises UsageError for what cannot be read, is damaged or is something else, and for pairs that
    cannot be scored (`face_pairs.check_folds`).
    """
    if not path.is_file():
        raise UsageError(f"{shown(path)}: no such file; expected a .bin file of pairs")
    try:
        with Clamped(path) as file:
            content = file.read()
        value = Machine(CONTAINERS | ARRAYS, len(content)).run(io.BytesIO(content))
    except Exception as error:  # a damaged pickle fails in any way
        raise UsageError(f"{shown(path)}: not a readable file of pairs ({shown(error, 200)})") from error  # fmt: skip
    expected = (
        f"{shown(path)}: expected a pickle of encoded pictures and whether each two are one person"
    )
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise UsageError(expected)
    pictures, same = (_items(part) for part in value)
    if pictures is None or same is None or not same or len(pictures) != 2 * len(same):
        raise UsageError(expected)
    encoded = [_encoded(picture) for picture in pictures]
    if None in encoded or not all(isinstance(one, bool | int) and one in (0, 1) for one in same):
        raise UsageError(expected)
    folds = np.empty(len(same), int)
    for number, part in enumerate(np.array_split(np.arange(len(same)), FOLDS)):
        folds[part] = number
    check_folds(path, same, folds)
    return PairFile([p for p in encoded if p is not None], np.array(same, bool), folds)


def _items(value: Any) -> list[Any] | None:
    if isinstance(value, Array) and value.items is not None:
        return value.items
    if isinstance(value, Array) and value.value is not None and value.value.ndim == 1:
        return value.value.tolist()
    return list(value) if isinstance(value, tuple | list) else None


def _encoded(value: Any) -> bytes | None:
    """The bytes of a picture: bytes, Python 2's text, or an array of bytes."""
    if isinstance(value, str):
        try:
            return value.encode("latin1")
        except UnicodeEncodeError:
            return None
    if isinstance(value, Array) and value.value is not None and value.value.dtype == np.uint8:
        return value.value.tobytes()
    return value if isinstance(value, bytes) else None
