"""Common parts of the sources of image files, wherever the bytes lie: which files count, reading, headers, and naming what is broken."""

import abc
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.decoders import DecodeError
from jresnet.data.info import Example
from jresnet.data.lines import read_lines
from jresnet.errors import UsageError
from jresnet.text import shown

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".bmp", ".gif", ".tif", ".tiff", ".webp")
)
# A split is the first of its names that exists and has labels.
SPLIT_NAMES = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
# More than any image that is decoded takes, uncompressed.
MAX_FILE_BYTES = 1 << 30
_SAMPLED_HEADERS = 64
# What systems put beside people's files; besides these all that begins with a dot.
_HIDDEN = frozenset(
    ("__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found")
)  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is a system's own, such as `.ipynb_checkpoints` and `__MACOSX`."""
    return name.startswith(".") or name.lower() in _HIDDEN


def is_image(name: str) -> bool:
    """Whether the suffix of a file is that of an image."""
    return f".{name.rpartition('.')[2].lower()}" in SUFFIXES


def by_number(name: str) -> tuple[tuple[str | int, ...], str]:
    """A key that sorts names by the numbers in them, `frame2` before `frame10`."""
    parts = re.split(r"(\d+)", name)  # digits at the odd places: never compared with text
    return tuple(int(p) if n % 2 else p for n, p in enumerate(parts)), name


def walk(folder: str | Path, above: Sequence[Path] = ()) -> Iterator[str]:
    """The image files below a folder, relative to it, in no order; hidden files and folders are left out.

    Links are followed, but not to a folder that was visited or holds this one.

    Args:
      folder: where to look.
      above: more folders to which links are not followed.

    Raises:
      UsageError: for a folder that cannot be listed.
    """
    top = Path(folder)
    visited = {_identity(path) for path in (top, *top.resolve().parents, *above)}
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        for entry in list_folder(os.path.join(folder, inside)):  # noqa: PTH118  ImageNet has 1.3 million files
            name = inside + entry.name
            if is_folder(entry):
                if (identity := _identity(entry)) not in visited:
                    visited.add(identity)
                    waiting.append(f"{name}/")
            elif is_image(entry.name):
                yield name


def list_folder(folder: str | Path) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not hidden. Raises UsageError."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise UsageError(f"{shown(folder)}: cannot be listed ({error.strerror})") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def read_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises DecodeError for a pipe, a device (which may never end) and a file too large, and OSError.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DecodeError("a folder, pipe or device; expected a file")
    check_bytes(status.st_size)
    return path.read_bytes()


def check_bytes(size: int) -> None:
    """Raises DecodeError for a file larger than any image that is decoded."""
    if size > MAX_FILE_BYTES:
        raise DecodeError(f"{size:,} bytes; expected at most {MAX_FILE_BYTES:,}")


def read_listing(path: Path) -> list[str]:
    """The lines of a text file that a set depends on, as `read_lines`. Raises UsageError."""
    try:
        return read_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown(path)}: not a readable list ({shown(error, 200)})") from error


def holding(folders: Sequence[Path], names: Sequence[str]) -> Path:
    """The folder that has one of the files; else the first that is there."""
    there = [folder for folder in folders if folder.is_dir()]
    for folder in there:
        if any(is_below(name) and (folder / name).is_file() for name in names):
            return folder
    return (there or list(folders))[0]


def is_below(name: str) -> bool:
    """Whether a path in an index stays in the folder that it is relative to."""
    path = PurePath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


class FileSource(abc.ABC):
    """One split of image files; a subclass says where their bytes lie.

    Images come with `channels`, or as the bytes of their file if `encoded`. A file that is no readable image raises
    BrokenExampleError with its name, one that cannot be read at all UsageError.
    """

    labels: Sequence[int] | np.ndarray
    channels: int
    encoded: bool

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        data, label = self.read(index), int(self.labels[index])
        if self.encoded:
            return {"image": data, "label": label}
        try:
            return {"image": images.decode(data, self.channels), "label": label}
        except images.DecodeError as error:
            raise self.broken(index, error) from error

    def header(self, index: int) -> tuple[int, int, int]:
        """(height, width, channels) of one file. Raises BrokenExampleError."""
        try:
            return images.header(self.read(index))
        except images.DecodeError as error:
            raise self.broken(index, error) from error

    def broken(self, index: int, error: Exception) -> BrokenExampleError:
        """The exception for a file that is there but no readable image."""
        return BrokenExampleError(f"{self.describe(index)}: not a readable image ({error})")

    @abc.abstractmethod
    def read(self, index: int) -> bytes:
        """The file's bytes."""

    @abc.abstractmethod
    def describe(self, index: int) -> str:
        """The file's name, fit to be shown."""


def image_shape(source: FileSource) -> tuple[int | None, ...]:
    """(height, width, channels) by the headers of up to 64 files spread over the source; None where they differ.

    Broken files tell nothing here. Raises UsageError if all are.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, _SAMPLED_HEADERS).astype(int))
    headers, last = set(), None
    for index in chosen.tolist():
        try:
            headers.add(source.header(index))
        except BrokenExampleError as error:
            last = error
    if not headers:
        raise UsageError(
            f"{len(chosen)} of {len(chosen)} files looked at are broken; such as {last}"
        )
    heights, widths, channels = (set(sizes) for sizes in zip(*headers, strict=True))
    only = [sizes.pop() if len(sizes) == 1 else None for sizes in (heights, widths)]
    return (*only, max(channels))  # one coloured image makes it a colour set


def shorten(names: Sequence[str]) -> str:
    """The first names of a list that may be long."""
    return ", ".join(map(shown, names[:10])) + (", ..." if len(names) > 10 else "")
