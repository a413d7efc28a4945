"""Where each image of a set of tar files lies: one pass over the tars, kept in a file for the next run."""

import dataclasses
import logging
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jresnet.data.files import SUFFIXES
from jresnet.errors import UsageError

logger = logging.getLogger(__name__)

_FORMAT = 1
# name, first byte, bytes, and the class: its number, or its name
Entry = tuple[str, int, int, int | str]


@dataclasses.dataclass(frozen=True, eq=False)
class TarIndex:
    """The N images of S tars, in the order of the tars and within each in its own.

    tar int32, offset int64, size int64 and label int32 are [N]; names are bytes [N], UTF-8. classes are the names
    behind the labels, sorted, and empty where the labels are the set's own numbers. stamps int64 [S, 2] are size and
    modification time (ns) of the tars when they were read.
    """

    tars: tuple[str, ...]
    stamps: np.ndarray
    classes: tuple[str, ...]
    tar: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    label: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


def read_index(root: Path, tars: Sequence[Path], cache: Path) -> TarIndex:
    """The index of the tars, below root: from the file cache if it fits them, else by reading them, and then kept there.

    Where cache cannot be written a warning says so. Raises UsageError, naming the file, for a tar that is damaged and
    for an image without a class.
    """
    names = tuple(path.relative_to(root).as_posix() for path in tars)
    stamps = np.array([_stamp(path) for path in tars], np.int64)
    found = _load(cache)
    if found is not None and found.tars == names and np.array_equal(found.stamps, stamps):
        return found
    index = _scan(tars, names, stamps)
    try:
        _save(index, cache)
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s): the index of %d tars is kept in memory and made anew by each run",
            cache, error.strerror, len(tars),
        )  # fmt: skip
    return index


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _scan(tars: Sequence[Path], names: tuple[str, ...], stamps: np.ndarray) -> TarIndex:
    entries: list[Entry] = []
    counts = []
    # delay: no bar for what is read at once; disable=None: none where stderr is no terminal.
    for path in tqdm(tars, desc="indexing", unit="tar", delay=2, disable=None):
        found = list(_entries(path))
        if entries and found and isinstance(found[0][3], str) != isinstance(entries[0][3], str):
            raise UsageError(
                f"dataset: {path}/{found[0][0]} has the class {found[0][3]!r}, the tars before it have classes "
                f"such as {entries[0][3]!r}; expected numbers (.cls) or names in all"
            )
        entries += found
        counts.append(len(found))
    if not entries:
        raise UsageError(
            f"dataset: {tars[0]} and the {len(tars) - 1} others hold no images; expected files ending in "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    files, offsets, sizes, given = zip(*entries, strict=True)
    classes, labels = (), np.array(given)
    if labels.dtype.kind == "U":
        unique, labels = np.unique(labels, return_inverse=True)
        classes = tuple(unique.tolist())
    return TarIndex(
        names,
        stamps,
        classes,
        np.repeat(np.arange(len(tars), dtype=np.int32), counts),
        np.array(offsets, np.int64),
        np.array(sizes, np.int64),
        labels.astype(np.int32),
        np.array([name.encode() for name in files]),
    )


def _entries(path: Path) -> Iterator[Entry]:
    """The images of one tar. Raises UsageError."""
    images: list[tuple[str, int, int]] = []
    numbers: dict[str, int] = {}
    others = False
    try:
        with tarfile.open(
            path, "r:"
        ) as archive:  # "r:": plain, since compressed ones are not random access
            for member in archive:
                base = member.name.rpartition("/")[2]
                stem, suffix = _split(member.name)
                if not member.isreg() or base.startswith("."):
                    continue
                if suffix == ".cls":
                    numbers[stem] = _number(archive, member, path)
                elif suffix in SUFFIXES:
                    images.append((member.name, member.offset_data, member.size))
                else:
                    others = True
            _check_end(archive, path)
    except (tarfile.TarError, OSError) as error:
        raise UsageError(
            f"dataset: {path} is not a readable tar file ({error}); expected an uncompressed one"
        ) from error
    for name, offset, size in images:
        yield name, offset, size, _class(path, name, numbers, others)


def _check_end(archive: tarfile.TarFile, path: Path) -> None:
    # tarfile takes a damaged header for the end, and would leave out all that follows.
    with path.open("rb") as file:
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"no file header at byte {archive.offset}")


def _number(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> int:
    file = archive.extractfile(member)
    assert file is not None  # it is a regular file
    text = file.read().strip()
    if not text.isdigit():
        raise UsageError(
            f"dataset: {path}/{member.name} holds {text[:40]!r}; expected the number of a class, 0 or more"
        )
    return int(text)


def _class(path: Path, name: str, numbers: dict[str, int], others: bool) -> int | str:
    stem = _split(name)[0]
    if numbers:
        if stem not in numbers:
            raise UsageError(
                f"dataset: {path}/{name} has no class; expected {stem}.cls in the same tar"
            )
        return numbers[stem]
    parent = name.removeprefix("./").rpartition("/")[0].rpartition("/")[2]
    if parent:
        return parent
    # A tar that lies in a folder of tars and holds nothing but images is one class, as in ILSVRC. Where other files go
    # with the images they are samples of a shard, whose name says nothing.
    if path.parent.name in ("train", "test", "val", "validation") and not others:
        return path.stem
    raise UsageError(
        f"dataset: {path}/{name} has no class; expected {stem}.cls beside it, a folder of its class, or "
        "one tar for each class in a folder of the split"
    )


def _split(name: str) -> tuple[str, str]:
    stem, _, suffix = name.rpartition(".")
    return stem, f".{suffix.lower()}"


def _load(cache: Path) -> TarIndex | None:
    if not cache.exists():
        return None
    try:
        with np.load(cache) as file:
            if int(file["format"]) != _FORMAT:
                return None
            values = {field.name: file[field.name] for field in dataclasses.fields(TarIndex)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s is no readable index (%s): it is made anew", cache, error)
        return None
    for name in ("tars", "classes"):
        values[name] = tuple(values[name].tolist())
    return TarIndex(**values)


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
