"""Checkpoints by Orbax: asynchronous, checked by checksum, restored onto the current mesh.

Orbax never falls back by itself and restores a flipped bit silently (measured with 0.12.8). So
each checkpoint carries a crc32 of every array, and `restore` walks back to the newest one that
is whole. Broken ones are renamed and kept: Orbax saves no step that is not newer than all others.
Scanned blocks are saved unrolled, the canonical form.
"""

import dataclasses
import functools
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jresnet.errors import UsageError
from jresnet.runtime import distributed
from jresnet.train.canonical import stacked, unrolled, unrolled_shapes
from jresnet.train.checksums import checksums, gathered
from jresnet.train.state import TrainState
from jresnet.train.uploads import Uploads
from jresnet.weights import run as stored
from jresnet.weights import storage_errors
from jresnet.weights.run import CheckpointError, read_trajectory, read_variables

__all__ = ["CheckpointError", "Checkpoints", "Restored", "read_trajectory", "read_variables"]

log = logging.getLogger(__name__)

_RESERVE = 16 * 2**20  # bytes that logs and reports may still need


@dataclasses.dataclass(frozen=True)
class Restored:
    """A state and what was saved beside it."""

    state: TrainState
    extra: dict[str, Any]


@dataclasses.dataclass
class _Choice:
    """The step to go on from, None for the start, or why the run must end.

    `aside` has a line for each newer checkpoint, which was renamed.
    """

    step: int | None = None
    aside: list[str] = dataclasses.field(default_factory=list)
    error: str | None = None


class Checkpoints:
    """The checkpoints of one run, the newest `keep` of them or all; a context manager that waits
    for what is still being written.

    `saved` is called in a thread after each save; what it raises, the next save or wait does. With
    it every process has a folder of its own, and only the first one's gets checkpoints.
    """

    def __init__(self, folder: Path, keep: int | None = 2, saved: Callable[[], None] | None = None):
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(folder)):
            raise UsageError(f"folder={folder}: expected a path on this machine, not a URL")
        self.folder = folder.absolute()
        self.uploads = Uploads(saved)
        self.shared = jax.process_count() > 1 and saved is None
        self.aside: list[str] = []
        """A line for each checkpoint that was set aside."""
        options = self._options(keep)
        if distributed.is_first() and self.folder.is_dir():
            for step in stored.steps_in(self.folder):
                if not (self.folder / str(step)).is_dir():
                    self.aside.append(self._set_aside(step, "is no folder"))
        distributed.sync("the checkpoints' folder is in order")
        self.manager = self._writing(lambda: ocp.CheckpointManager(self.folder, options=options))

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._writing(self.manager.close)
        finally:
            self.uploads.close()

    def _options(self, keep: int | None) -> ocp.CheckpointManagerOptions:
        if self.shared or jax.process_count() == 1:
            return ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._writing(lambda: self.folder.mkdir(parents=True, exist_ok=True))
        return ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=False, multiprocessing_options=stored.by_itself()
        )

    def steps(self) -> list[int]:
        """Steps with a finished checkpoint, newest first."""
        return sorted(self.manager.all_steps(), reverse=True)

    def save(self, state: TrainState, extra: dict[str, Any]) -> None:
        """Start writing `state` and the JSON-able `extra`; the arrays are copied before it returns.

        Raises CheckpointError when this or the save before it fails.
        """
        tree = unrolled(state)
        self._check_space(tree)
        meta = ocp.args.JsonSave(stored.meta(checksums(tree), extra))
        self.uploads.wait()
        if not self.shared and distributed.several():
            tree = gathered(tree)
            if not distributed.is_first():
                self.uploads.begin(lambda: None)
                return
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), meta=meta)
        step = int(state.step)
        if not self._writing(lambda: self.manager.save(step, args=args)):
            raise CheckpointError(f"Orbax declined to save step {step} in {self.folder}")
        self.uploads.begin(lambda: self._writing(self.manager.wait_until_finished))

    def _check_space(self, tree: TrainState) -> None:
        """Raise CheckpointError for a full disk before anything is half written: tensorstore's
        threads would each print a traceback.

        Several processes share the folder. Together they write each array once, so the sum of the
        global sizes is needed, and the first process looks how much is free.
        """
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        free = distributed.told(shutil.disk_usage(self.folder).free)
        if free < needed + _RESERVE:
            raise CheckpointError(
                f"cannot write checkpoints in {self.folder}: No space left on device "
                f"({free / 2**20:.0f} MiB free, {(needed + _RESERVE) / 2**20:.0f} wanted)"
            )

    def wait(self) -> None:
        """Wait until everything saved is on disk. Raises CheckpointError if it cannot be."""
        self._writing(self.manager.wait_until_finished)
        self.uploads.wait()

    def restore(
        self, abstract: TrainState, unusable: Callable[[dict[str, Any]], str | None] | None = None
    ) -> Restored | None:
        """The newest whole checkpoint, laid out as `abstract` says; None to start from scratch.

        Newer ones that are broken are renamed, with a line in the log for each. If all are broken
        the run starts from scratch: nothing that could be read is lost. With several processes the
        first one decides.

        Args:
          abstract: a TrainState of `jax.ShapeDtypeStruct` with shardings on the current mesh.
          unusable: takes a checkpoint's `extra`; the reason not to go on from it, or None.

        Raises:
          CheckpointError: a checkpoint is of another net, the system refuses to read it, or all
            that are whole are unusable. None is renamed then.
        """
        target = unrolled_shapes(abstract)
        alone = jax.process_count() == 1
        read = functools.partial(self._read if alone else self._read_alone, target)
        choice, restored = _Choice(), None
        if distributed.is_first():
            try:
                choice, restored = self._choose(target, read, unusable or (lambda extra: None))
            except OSError as error:
                choice = _Choice(error=str(error))
        choice = _Choice(**distributed.told(dataclasses.asdict(choice)))
        if choice.error:
            raise CheckpointError(choice.error)
        if choice.aside:
            self.aside += choice.aside
            self.manager.reload()
        if choice.step is None:
            return None
        if restored is None or not alone:
            restored = self._read_together(target, choice.step)
        tree, extra = restored
        return Restored(stacked(tree, abstract), extra)

    def _choose(
        self,
        target: TrainState,
        read: Callable[[int], tuple[Any, dict[str, Any]]],
        unusable: Callable[[dict[str, Any]], str | None],
    ) -> tuple[_Choice, tuple[Any, dict[str, Any]] | None]:
        """The decision of the first process, and what it read."""
        reasons: dict[int, str] = {}
        refused, restored, chosen = "", None, None
        for step in stored.steps_in(self.folder):
            try:
                tree, extra = read(step)
            except Exception as error:  # Orbax raises bare Exception, KeyError, ValueError, ...
                storage_errors.hush()
                self._check_broken(step, target, error)
                reasons[step] = (
                    f"is broken ({type(error).__name__}: {storage_errors.one_line(error)})"
                )
                continue
            if wrong := unusable(extra):
                refused = refused or wrong
                reasons[step] = f"cannot be gone on from ({wrong})"
                continue
            restored, chosen = (tree, extra), step
            break
        if chosen is None and refused:
            raise CheckpointError(refused)
        on = "from scratch" if chosen is None else f"from step {chosen}"
        lines = [self._set_aside(step, reason, on) for step, reason in reasons.items()]
        return _Choice(chosen, lines), restored

    def _check_broken(self, step: int, target: TrainState, error: Exception) -> None:
        """Raises CheckpointError if the checkpoint that could not be read may be whole."""
        path = self.folder / str(step)
        if refusal := storage_errors.refusal(error):
            raise CheckpointError(f"cannot read {path}: {refusal}") from error
        try:
            saved = stored.check_fields(path)
        except Exception as again:
            if refusal := storage_errors.refusal(again):
                raise CheckpointError(f"cannot read {path}: {refusal}") from again
            return
        if differing := stored.differing(saved, target):
            raise CheckpointError(
                f"{path} is of another net: it differs in {', '.join(differing[:3])}; take another "
                "--workdir"
            ) from error

    def _set_aside(self, step: int, reason: str, on: str = "") -> str:
        """Rename a checkpoint to a name that Orbax does not take for a step; the line said of it."""
        path = self.folder / str(step)
        aside = next(
            name
            for number in range(1, 10**6)
            if not (name := path.with_name(f"{step}.aside-{number}")).exists()
        )
        self._writing(lambda: path.rename(aside))
        line = f"checkpoint {step} {reason}: renamed to {aside}" + (on and f"; going on {on}")
        log.warning("%s", line)
        return line

    def delete(self, step: int) -> None:
        """Remove one checkpoint."""
        self._writing(lambda: self.manager.delete(step))

    def _read(self, target: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
        """State and extra; all processes together."""
        stored.read_tree(self.folder / str(step))  # which `read_variables` will need
        meta: Any = self.manager.restore(
            step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())
        ).meta
        stored.check_meta(meta)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        tree = self.manager.restore(step, args=args).state
        stored.compare(checksums(tree), meta["crc32"])
        return tree, meta["extra"]

    def _read_together(self, target: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
        """State and extra of a checkpoint that the first process could read."""
        try:
            return self._read(target, step)
        except Exception as error:
            path = self.folder / str(step)
            raise CheckpointError(f"cannot read {path}: {storage_errors.reason(error)}") from error

    def _read_alone(self, target: TrainState, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Shapes and extra, without the other processes, of a checkpoint that is whole."""
        path = self.folder / str(step)
        saved = stored.check_fields(path)
        if stored.differing(saved, target):
            raise ValueError("it is of another net")
        return saved, stored.read_meta(path)["extra"]

    def _writing(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # tensorstore reports a full disk as a ValueError
            raise CheckpointError(
                f"cannot write checkpoints in {self.folder}: {storage_errors.reason(error)}"
            ) from error
