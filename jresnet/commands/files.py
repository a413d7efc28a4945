"""The picture files that `predict` reads: files, folders of them, and the frames of films."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jresnet.data.decoders import DecodeError
from jresnet.data.films import as_png, frames, is_film
from jresnet.data.sources.files import read_file, walk
from jresnet.extras import library


class File(NamedTuple):
    """A picture to be read.

    - number: its place among the files, from 1; the frames of a film share one.
    - name: its path; of a frame the film's, with the frame's name below it.
    - read: gives its bytes. Raises DecodeError and OSError.
    """

    number: int
    name: Path
    read: Callable[[], bytes]


def find_images(paths: Iterable[Path]) -> Iterator[Path]:
    """The files themselves, and the images below the folders, sorted, without hidden ones."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(path / name for name in walk(path))
        yield from inside or [path]  # `read` tells of a folder without images


def check_films(paths: Iterable[Path]) -> None:
    """Raise UsageError if there are films and no library that reads them."""
    if any(map(is_film, paths)):
        library("av", "video")


def each(paths: Sequence[Path]) -> Iterator[File]:
    """Each of the files, and each frame of the films among them, read one by one."""
    for number, path in enumerate(paths, 1):
        if is_film(path) and not path.is_dir():
            yield from _frames(number, path)
        else:
            yield File(number, path, functools.partial(read, path))


def frame_name(path: Path, number: int) -> Path:
    """The name of a frame of a film, counted from 1.

    It ends in that of a picture, so that a dot in the film's name stays, and is short enough for
    the number to stay in the names of results.
    """
    return path / f"{path.stem[:40]}-{number:06d}.png"


def read(path: Path) -> bytes:
    """The bytes of a file. Raises OSError, and DecodeError for a folder and for what is no file."""
    if path.is_dir():
        raise DecodeError("a folder without images")
    return read_file(path)


def _frames(number: int, path: Path) -> Iterator[File]:
    """The frames that can be read, and then the film itself where it is damaged."""
    try:
        for count, pixels in enumerate(frames(path), 1):
            yield File(number, frame_name(path, count), functools.partial(as_png, pixels))
    except (DecodeError, OSError) as error:
        yield File(number, path, functools.partial(_fail, error))


def _fail(error: Exception) -> bytes:
    raise error
