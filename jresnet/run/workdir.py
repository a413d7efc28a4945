"""The folder that a run works in: on this machine, or a copy of one in an object store."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from jresnet.runtime import distributed
from jresnet.store.bucket import is_remote
from jresnet.store.copy import Copy, copied
from jresnet.train.checkpoint import CheckpointError

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Workdir:
    """A run's folder. Of one in a store, `copy` is that of this process; None without a store.

    Nothing is uploaded before the folder is `ready`: until then the copies of processes other than
    the first one may be those of an earlier sitting.
    """

    folder: Path
    copy: Copy | None = None
    ready: bool = False

    @property
    def saved(self) -> Callable[[], None] | None:
        """To be called when something was written that must not be lost; None without a store.

        Raises CheckpointError.
        """
        return None if self.copy is None else self._upload

    def claimed(self) -> None:
        """Bring to the other processes what the first one wrote. All processes call it together."""
        copy = self.copy
        if copy is None:
            return
        first = distributed.is_first()

        def take_over() -> None:
            copy.take_over()
            copy.upload()
            copy.download()  # what the machine that worked here saved meanwhile

        distributed.attempt(lambda: take_over() if first else None)
        self.share()
        self.ready = True

    def share(self) -> None:
        """Bring what the first process uploaded to the others. All processes call it together."""
        copy = self.copy
        if copy is not None:
            distributed.attempt(lambda: None if distributed.is_first() else copy.download())

    def named(self, text: str) -> str:
        """A message with the address in place of its copy."""
        return text.replace(str(self.folder), self.copy.address) if self.copy else text

    def _upload(self) -> None:
        assert self.copy is not None
        try:
            self.copy.upload()
        except OSError as error:
            raise CheckpointError(f"cannot save the run: {error}") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Workdir]:
    """The folder at a path or an address. All processes call it together.

    Of one in a store each process works in a copy. What is there is downloaded, and at the end,
    however that comes, uploaded.

    Raises UsageError, OSError.
    """
    if not is_remote(path):
        yield Workdir(path)
        return
    process = jax.process_index()
    copy = distributed.attempt(lambda: Copy(path, f"run-{process}"))
    with contextlib.ExitStack() as stack:
        distributed.attempt(lambda: stack.enter_context(copy.held(timeout=1)))
        distributed.attempt(lambda: copy.download() if distributed.is_first() else None)
        workdir = Workdir(copy.folder, copy)
        stack.enter_context(_addressed(workdir))
        stack.enter_context(_uploading(workdir))
        yield workdir


@contextlib.contextmanager
def _uploading(workdir: Workdir) -> Iterator[None]:
    """Upload at the end; after an error too, which then stays the one that is raised."""
    copy = workdir.copy
    assert copy is not None
    try:
        yield
    except BaseException:
        try:
            if workdir.ready:  # else it is another's folder
                copy.upload()
                copy.disown()
        except OSError as error:
            log.warning("not uploaded at the end: %s", error)
        raise
    workdir._upload()
    if distributed.is_first():
        copy.disown()


@contextlib.contextmanager
def _addressed(workdir: Workdir) -> Iterator[None]:
    """Name the address, not its copy, in what is raised."""
    try:
        yield
    except Exception as error:
        error.args = tuple(
            workdir.named(one) if isinstance(one, str) else one for one in error.args
        )
        raise


def local_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with the copy of each file or folder in a store in its place.

    Raises UsageError, StoreError.
    """
    return {name: _local(value) for name, value in arguments.items()}


def _local(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_local, value))
    if isinstance(value, str | Path) and is_remote(value):
        return type(value)(copied(value))
    return value
