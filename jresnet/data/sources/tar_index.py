"""Where each image of a set of tar files lies: one pass over the tars, kept in a file for the next run."""

import dataclasses
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jresnet.data.info import MAX_CLASSES
from jresnet.data.sources import tar_files, zips
from jresnet.data.sources.files import SUFFIXES
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)

_FORMAT = 2


@dataclasses.dataclass(frozen=True, eq=False)
class TarIndex:
    """The N images of S tars, in the order of the tars and within each in its own.

    tar int32, offset int64, size int64 and label int32 are [N]. names uint8 are all names in a row, those of
    image i up to ends[i], int64 [N]. classes are the names behind the labels, sorted, and empty where the
    labels are the set's own numbers. stamps int64 [S, 2] are size and modification time (ns) of the tars
    when they were read.
    """

    tars: tuple[str, ...]
    stamps: np.ndarray
    classes: tuple[str, ...]
    tar: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    label: np.ndarray
    names: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def name(self, index: int) -> str:
        """The name of an image in its tar. One that is not UTF-8 as `os.fsdecode` has it."""
        start = self.ends[index - 1] if index else 0
        return os.fsdecode(self.names[start : self.ends[index]].tobytes())


def read_index(root: Path, tars: Sequence[Path], cache: Path) -> TarIndex:
    """The index of the tars, below root: from the file cache if it fits them, else by reading them, and then kept there.

    Where cache cannot be written a warning says so. Raises UsageError, naming the file, for a tar that is damaged and
    for an image without a class.
    """
    names = tuple(path.relative_to(root).as_posix() for path in tars)
    stamps = np.array([_stamp(path) for path in tars], np.int64)
    index = _load(cache, names, stamps)
    if index is not None:
        return index
    index = _scan(tars, names, stamps)
    try:
        _save(index, cache)
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s): the index of %d tars is kept in memory and made anew by each run",
            shown(cache), error.strerror, len(tars),
        )  # fmt: skip
    return index


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"dataset: {shown(path)} cannot be read ({error.strerror})") from error
    return status.st_size, status.st_mtime_ns


def _scan(tars: Sequence[Path], names: tuple[str, ...], stamps: np.ndarray) -> TarIndex:
    entries: list[tar_files.Entry] = []
    counts = []
    # delay: no bar for what is read at once; disable=None: none where stderr is no terminal.
    for path in tqdm(tars, desc="indexing", unit="tar", delay=2, disable=None):
        of_tar = list(tar_files.entries(path))
        if entries and of_tar and isinstance(of_tar[0][3], str) != isinstance(entries[0][3], str):
            raise UsageError(
                f"dataset: {shown(f'{path}/{of_tar[0][0]}')} has the class {of_tar[0][3]!r}, the tars before it have "
                f"classes such as {entries[0][3]!r}; expected numbers (.cls) or names in all"
            )
        entries += of_tar
        counts.append(len(of_tar))
    if not entries:
        raise UsageError(
            f"dataset: {shown(tars[0])} and the {len(tars) - 1} others hold no images; expected files ending in "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    files, offsets, sizes, labels = zip(*entries, strict=True)
    classes: tuple[str, ...] = ()
    if isinstance(labels[0], str):
        classes = tuple(sorted(set(labels)))
        numbers = {name: number for number, name in enumerate(classes)}
        labels = [numbers[name] for name in labels]
    encoded = list(map(os.fsencode, files))
    return TarIndex(
        tars=names,
        stamps=stamps,
        classes=classes,
        tar=np.repeat(np.arange(len(tars), dtype=np.int32), counts),
        offset=np.array(offsets, np.int64),
        size=np.array(sizes, np.int64),
        label=np.array(labels, np.int32),
        names=np.frombuffer(b"".join(encoded), np.uint8),
        ends=np.cumsum(list(map(len, encoded)), dtype=np.int64),
    )


def _load(cache: Path, names: tuple[str, ...], stamps: np.ndarray) -> TarIndex | None:
    """The index in the file cache; None where there is none, one of other tars, or one that is damaged."""
    if not cache.is_file():
        return None
    try:
        if int(zips.read_array(cache, "format")) != _FORMAT:
            return None
        values = {
            field.name: zips.read_array(cache, field.name) for field in dataclasses.fields(TarIndex)
        }
        if not np.array_equal(values["stamps"], stamps) or tuple(values["tars"].tolist()) != names:
            return None
        _check(values)
    except (ValueError, TypeError) as error:
        logger.warning("%s is no readable index (%s): it is made anew", shown(cache), shown(error))
        return None
    classes = tuple(values.pop("classes").tolist())
    return TarIndex(**{**values, "tars": names, "classes": classes})  # type: ignore[arg-type]


def _check(values: dict[str, np.ndarray]) -> None:
    """Raises ValueError for arrays that would lead to bytes, names or classes that are not there."""
    size, classes = len(values["label"]), values["classes"]
    for name, dtype in (("tar", np.int32), ("offset", np.int64), ("size", np.int64), ("label", np.int32), ("ends", np.int64)):  # fmt: skip
        if values[name].dtype != dtype or values[name].shape != (size,):
            raise ValueError(f"{name} is {values[name].dtype} {values[name].shape}")
    if classes.dtype.kind != "U" or classes.ndim != 1 or values["names"].dtype != np.uint8:
        raise ValueError("names that are no text")
    if len(set(classes.tolist())) != len(classes) or sorted(classes.tolist()) != classes.tolist():
        raise ValueError("classes that are not in order")
    tar, offset, length = values["tar"], values["offset"], values["size"]
    _check_range("tar", tar, len(values["stamps"]))
    _check_range("label", values["label"], len(classes) or MAX_CLASSES)
    _check_range("ends", values["ends"], values["names"].size + 1)
    # Subtracted, since a sum of hostile numbers may overflow.
    whole = values["stamps"][:, 0][tar]
    if size == 0 or (offset < 0).any() or (length < 0).any() or (length > whole - offset).any():
        raise ValueError("images that lie outside of their tar")
    if (np.diff(values["ends"], prepend=0) < 0).any():
        raise ValueError("names that are not in a row")


def _check_range(name: str, array: np.ndarray, end: int) -> None:
    if array.size and not 0 <= array.min() <= array.max() < end:
        raise ValueError(f"{name} from {array.min()} to {array.max()}; expected 0 to {end - 1}")


def _save(index: TarIndex, cache: Path) -> None:
    arrays = {field.name: getattr(index, field.name) for field in dataclasses.fields(index)}
    arrays |= {name: np.array(arrays[name], np.str_) for name in ("tars", "classes")}
    # Renamed when complete: other processes may be reading and writing the same.
    with tempfile.NamedTemporaryFile(dir=cache.parent, prefix=".index.", delete=False) as file:
        try:
            np.savez(file, format=_FORMAT, **arrays)
            file.close()
            Path(file.name).chmod(0o644)  # temporary files are their owner's alone
            os.replace(file.name, cache)  # noqa: PTH105
        except BaseException:
            Path(file.name).unlink()
            raise
