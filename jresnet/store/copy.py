"""A folder of this machine as the copy of one in an object store.

A store neither appends nor renames nor locks, and it writes one file whole or not at all. So a
run works in a copy, and after each save the copy is uploaded: small files first, then the arrays of
a checkpoint, and last the file `commit_success.txt` in it. A checkpoint without that file is half of
one, and is never downloaded. The marker is Orbax's own, which writes it the same way on `gs://`.
"""

import contextlib
import itertools
import json
import logging
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import filelock

from jresnet.errors import UsageError
from jresnet.storage import read_json, write_json
from jresnet.store.bucket import Bucket, Stored, StoreError, address
from jresnet.store.places import READ, copies, key

log = logging.getLogger(__name__)

MARKER = "commit_success.txt"
OWNER = ".owner"
_CHECKPOINT = re.compile(r"((?:.*/)?checkpoints/[^/]+)/.+", re.S)
_UNFINISHED = re.compile(
    r"(?:.*/)?(?:\.[^/]*\.partial|\.lock)|.*-(?:journal|wal|shm)|.*\.orbax-checkpoint-tmp.*", re.S
)
_ROUNDS = 3  # of downloading a folder into which somebody writes

LIGHT = "light"  # purpose of copies without checkpoints
State = tuple[int, int]  # of a local file: nanoseconds of its change, bytes


class Copy:
    """The copy of the folder at `path`, in this user's cache.

    `folder` is where it lies; it bears the last name of the address. `purpose` tells copies of one
    address apart: each has its own folder and its own lock.
    """

    def __init__(self, path: object, purpose: str):
        self.bucket = Bucket(path)
        self.address = address(path)
        self.place = copies() / purpose / key(self.address)
        self.folder = self.place / self.address.rsplit("/", 1)[-1]
        self.token = secrets.token_hex(16)
        self.known: dict[str, State] = {}
        self.halves: list[str] = []
        """Files of half checkpoints that `download` saw."""
        self.owns = False

    @contextlib.contextmanager
    def held(self, timeout: float = -1) -> Iterator[None]:
        """Keep other processes of this machine out. Raises UsageError after `timeout` seconds."""
        self.place.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.place / "lock", timeout=timeout)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise UsageError(
                f"{self.address}: another process of this machine is at work there; wait for it"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def download(self, wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Make the copy the same as the store; what is the same already stays, and half checkpoints
        are left out.

        Raises StoreError, OSError.
        """
        wrong: list[str] = []
        for _ in range(_ROUNDS):
            listed = self.bucket.list()
            whole = {name: stored for name, stored in whole_files(listed).items() if wanted(name)}
            if not listed:
                self._set_aside()
            try:
                wrong = self._fetch(whole)
            except FileNotFoundError as error:  # a checkpoint that its run has removed meanwhile
                wrong = [str(error)]
            if not wrong:
                self.halves = sorted(listed.keys() - whole_files(listed).keys() - {OWNER})
                return
        raise StoreError(f"{self.address}: {wrong[0]} changes while it is downloaded; try again")

    def _set_aside(self) -> None:
        """Keep a copy whose store has nothing: a wrong endpoint looks like that too, and the copy
        may hold the only checkpoint that was not uploaded."""
        if not states(self.folder):
            return
        taken = (self.place / f"{self.folder.name}.aside-{n}" for n in itertools.count(1))
        aside = next(path for path in taken if not path.exists())
        self.folder.rename(aside)
        log.warning("%s: nothing is there; the copy of it is kept as %s", self.address, aside)

    def _fetch(self, listed: Mapping[str, Stored]) -> list[str]:
        """Fetch what differs; names of files that came in another size than listed."""
        record = self.place / "record.json"
        before = _read_record(record)
        record.unlink(missing_ok=True)
        local = states(self.folder)
        for name in local.keys() - listed.keys():
            (self.folder / name).unlink()
        # An empty folder would be taken for a broken checkpoint.
        for inside, _, _ in os.walk(self.folder, topdown=False):
            if not os.listdir(inside):  # noqa: PTH208 - of a text
                Path(inside).rmdir()
        same = {
            name
            for name, stored in listed.items()
            if before.get(name) == [stored.stamp, *local.get(name, ())] and stored.stamp
        }
        _clear_way(self.folder, listed)
        self.bucket.fetch(sorted(listed.keys() - same), self.folder)
        self.known = states(self.folder)
        wrong = sorted(n for n, stored in listed.items() if self.known[n][1] != stored.size)
        if not wrong:
            write_json(record, {n: [listed[n].stamp, *self.known[n]] for n in listed})
        return wrong

    def take_over(self) -> None:
        """Take the folder in the store over, and remove half checkpoints.

        Of two machines at work the earlier one will end at its next upload.
        """
        self.owns = True
        self.bucket.write_text(
            OWNER, json.dumps({"token": self.token, "host": socket.gethostname()})
        )
        if self.halves:
            log.warning("%s: %d files of half checkpoints removed", self.address, len(self.halves))
        self.bucket.remove(self.halves)

    def disown(self) -> None:
        """Say that nobody works there any more."""
        if self.owned():
            self.bucket.remove([OWNER])

    def owned(self) -> bool:
        """Whether nobody has taken the folder over."""
        return f'"{self.token}"' in (self.bucket.read_text(OWNER) or "")

    def upload(self) -> None:
        """Make the store the same as the copy; a checkpoint counts there once all of it is there.

        Raises StoreError, also if this process owned the folder and another has taken it over.
        """
        self._check_owner()
        now = {
            name: state
            for name, state in states(self.folder).items()
            if not _UNFINISHED.fullmatch(name) and name != OWNER
        }
        changed = [name for name, state in now.items() if self.known.get(name) != state]
        arrays = [name for name in changed if _CHECKPOINT.fullmatch(name)]
        steps = {_step(name) for name in arrays}
        gone = [name for name in self.known if name not in now]
        # Without its marker a checkpoint does not count: neither while another takes its place, nor
        # while it is removed.
        # A step that another machine stored has one too.
        before, after = ({_step(name) for name in names} - {""} for names in (self.known, now))
        self.bucket.remove([f"{step}/{MARKER}" for step in steps | before - after])
        self.bucket.write((n, self.folder / n) for n in changed if n not in set(arrays))
        self.bucket.put([n for n in arrays if not _is_marker(n)], self.folder)
        if steps:  # whose files a new owner removes where they had no marker
            self._check_owner()
        for step in sorted(steps):
            self.bucket.write_text(f"{step}/{MARKER}", "whole\n")
        self.bucket.remove(gone)
        self.known = now

    def _check_owner(self) -> None:
        if self.owns and not self.owned():
            raise StoreError(
                f"{self.address}: another machine has taken this run over; it goes on there"
            )


def whole_files(listed: Mapping[str, Stored]) -> dict[str, Stored]:
    """Files without those of half checkpoints and without the owner's note."""
    return {
        name: stored
        for name, stored in listed.items()
        if name != OWNER
        and (not _CHECKPOINT.fullmatch(name) or f"{_step(name)}/{MARKER}" in listed)
    }


def states(folder: Path) -> dict[str, State]:
    """Time and size of each file in a folder, by its name relative to it; one file is named ""."""
    if folder.is_file():
        return {"": _state(folder)}
    seen = {}
    for inside, _, names in os.walk(folder):
        for name in names:
            path = Path(inside, name)
            with contextlib.suppress(FileNotFoundError):  # of a checkpoint that is just removed
                seen[path.relative_to(folder).as_posix()] = _state(path)
    return seen


def _state(path: Path) -> State:
    about = path.stat()
    return about.st_mtime_ns, about.st_size


def _step(name: str) -> str:
    """The folder of the checkpoint in which a file lies; "" for one in no checkpoint."""
    match = _CHECKPOINT.fullmatch(name)
    return match[1] if match else ""


def _is_marker(name: str) -> bool:
    return name == f"{_step(name)}/{MARKER}"


def _clear_way(folder: Path, names: Iterable[str]) -> None:
    """Remove an earlier file where a folder comes to lie now, or the other way round."""
    single = "" in names
    if folder.exists() and folder.is_file() != single:
        folder.unlink() if folder.is_file() else shutil.rmtree(folder)
    if not single:
        folder.mkdir(parents=True, exist_ok=True)


def _read_record(path: Path) -> dict[str, list[object]]:
    try:
        record = read_json(path)
    except (FileNotFoundError, UsageError):
        return {}
    return record if isinstance(record, dict) else {}


def copied(path: object, light: bool = False) -> Path:
    """A folder or file of a store on this machine, downloaded as far as it is not here yet.

    With `light` the files of checkpoints are left out. Raises UsageError if nothing is there,
    StoreError.
    """
    copy = Copy(path, LIGHT if light else READ)
    with copy.held():
        copy.download(lambda name: not (light and _CHECKPOINT.fullmatch(name)))
    if not copy.known:
        raise UsageError(f"{copy.address}: nothing is there; expected a file or a folder")
    return copy.folder
