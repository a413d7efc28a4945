"""A folder in an object store: its files listed, fetched, written and removed.

fsspec does it, with gcsfs and s3fs. Two other ways were looked at. `etils.epath` imports
TensorFlow where that is installed. Orbax writes to `gs://` and not to `s3://` (0.12.8).
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.text import shown

# A path makes one slash of the two.
_ADDRESS = re.compile(r"(gs|s3):/+([^/]+)(?:/+(.*))?", re.S)
_EXTRAS = {"gs": ("gcsfs", "gcs"), "s3": ("s3fs", "s3")}

CONNECT, READ = 10, 60  # seconds without an answer, after which a request is made again
_BATCH = 16  # small files that are sent at a time
_STAMPS = ("ETag", "etag", "generation", "md5Hash", "crc32c", "updated", "LastModified")


class StoreError(OSError):
    """An object store did not do as asked, after the libraries' own retries. One line."""


def is_remote(path: object) -> bool:
    """Whether a text or a path is an address in a store that is known here."""
    return _ADDRESS.fullmatch(str(path)) is not None


def address(path: object) -> str:
    """`gs://bucket/folder` from a text or from a path, which makes one slash of two."""
    match = _ADDRESS.fullmatch(str(path))
    if match is None:
        raise UsageError(f"{str(path)!r}: expected gs://BUCKET/FOLDER or s3://BUCKET/FOLDER")
    parts = (match[3] or "").strip("/").split("/")
    if any(part in (".", "..") for part in parts) or ("" in parts and parts != [""]):
        raise UsageError(f"{str(path)!r}: expected a folder's name, without . and .. in it")
    return f"{match[1]}://{match[2]}/{'/'.join(parts)}".rstrip("/")


@dataclasses.dataclass(frozen=True)
class Stored:
    """A file in a store: bytes, and a text that changes with its content."""

    size: int
    stamp: str


class Bucket:
    """The folder at an address, or the one file. All methods raise StoreError, one line.

    Settings, such as keys and endpoints, are those of gcsfs and s3fs: the clouds' own variables and
    files, and fsspec's (`FSSPEC_S3_ENDPOINT_URL`).
    """

    def __init__(self, path: object):
        self.address = address(path)
        scheme, self.root = self.address.split("://")
        self.files = _file_system(scheme)

    def list(self) -> dict[str, Stored]:
        """Its files by their names relative to it; one file is named "". Empty: nothing is there."""
        with self._answering():
            try:
                stored = self.files.find(self.root, detail=True)
            except FileNotFoundError:
                return {}
        names = {}
        for path, about in stored.items():
            name = path.removeprefix(self.root).strip("/")
            if about.get("type") == "directory" or path.endswith("/"):
                continue  # some tools store an empty object for a folder
            if ".." in PurePosixPath(name).parts:
                raise StoreError(f"{self.address}: {shown(name)!r} would lie outside of the folder")
            stamp = next((str(about[key]) for key in _STAMPS if about.get(key)), "")
            names[name] = Stored(int(about.get("size") or 0), stamp)
        return names

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        """Copy files into a folder. Raises FileNotFoundError if one is no longer there."""
        targets = [folder / name if name else folder for name in names]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        if names:
            with self._answering():
                self.files.get([self._path(name) for name in names], [str(one) for one in targets])

    def put(self, names: Sequence[str], folder: Path) -> None:
        """Copy files that no longer change from a folder."""
        if names:
            with self._answering():
                paths = [self._path(name) for name in names]
                self.files.put([str(folder / name) for name in names], paths)

    def write(self, contents: Iterable[tuple[str, Path]]) -> None:
        """Store files, by name, as they are now: they may grow meanwhile."""
        waiting = list(contents)
        for first in range(0, len(waiting), _BATCH):
            some = {self._path(n): path.read_bytes() for n, path in waiting[first : first + _BATCH]}
            self._pipe(some)

    def write_text(self, name: str, text: str) -> None:
        """Store a small file."""
        self._pipe({self._path(name): text.encode()})

    def read_text(self, name: str) -> str | None:
        """The text of a small file; None if it is not there."""
        with self._answering():
            try:
                return self.files.cat_file(self._path(name)).decode(errors="replace")
            except FileNotFoundError:
                return None

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are gone already do not count."""
        with self._answering():
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self.files.rm_file(self._path(name))

    def _pipe(self, contents: Mapping[str, bytes]) -> None:
        with self._answering():
            self.files.pipe(dict(contents))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # gcsfs, s3fs, aiohttp and botocore share no class of errors
            reason = shown(error, 200) or type(error).__name__
            raise StoreError(f"{self.address}: {reason}") from error


def _file_system(scheme: str) -> Any:
    """fsspec's view of a store, without its cache of listings."""
    package, extra = _EXTRAS[scheme]
    library(package, extra)
    fsspec = library("fsspec", extra)
    options: dict[str, Any] = {}
    configured = fsspec.config.apply_config(fsspec.get_filesystem_class(scheme), {})
    if scheme == "gs" and "requests_timeout" not in configured:
        # gcsfs gives up a request after five minutes, however much of a large file has come, and
        # does not try again; it does where the time is that without an answer (2026.10).
        wait = library("aiohttp", extra).ClientTimeout
        options["requests_timeout"] = wait(total=None, sock_connect=CONNECT, sock_read=READ)
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)
