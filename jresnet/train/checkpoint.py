"""Checkpoints by Orbax: asynchronous, checked by checksum, restored onto the current mesh.

Orbax never falls back by itself and restores a flipped bit silently (measured with 0.12.8). So
each checkpoint carries a crc32 of every array, and `restore` walks back to the newest one that
is whole. Scanned blocks are saved unrolled, the canonical form.
"""

import dataclasses
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import orbax.checkpoint as ocp

from jresnet.models.scan import stack, unstack
from jresnet.train.state import TrainState

log = logging.getLogger(__name__)

_RESERVE = 16 * 2**20  # bytes that logs and reports may still need


class CheckpointError(OSError):
    """A checkpoint could not be written, or none that exists can be read. One line."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """A state, what was saved beside it, and one line for each checkpoint that was passed over."""

    state: TrainState
    extra: dict[str, Any]
    skipped: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one run, the newest `keep` of them or all; a context manager that waits
    for what is still being written."""

    def __init__(self, folder: Path, keep: int | None = 2):
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self.manager = self._writing(lambda: ocp.CheckpointManager(self.folder, options=options))

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        self._writing(self.manager.close)

    def steps(self) -> list[int]:
        """Steps with a finished checkpoint, newest first."""
        return sorted(self.manager.all_steps(), reverse=True)

    def save(self, state: TrainState, extra: dict[str, Any]) -> None:
        """Start writing `state` and the JSON-able `extra`; the arrays are copied before it returns.

        Raises CheckpointError when this or the save before it fails.
        """
        tree = _map_variables(unstack, state)
        meta = {"schema": 1, "crc32": checksums(tree), "extra": extra}
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), meta=ocp.args.JsonSave(meta))
        step = int(state.step)
        self._check_space(tree)
        if not self._writing(lambda: self.manager.save(step, args=args)):
            raise CheckpointError(f"Orbax declined to save step {step} in {self.folder}")

    def _check_space(self, tree: TrainState) -> None:
        """A full disk is met here, before anything is half written: tensorstore's threads each
        print a traceback of their own."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        free = shutil.disk_usage(self.folder).free
        if free < needed + _RESERVE:
            raise CheckpointError(
                f"cannot write checkpoints in {self.folder}: No space left on device "
                f"({free / 2**20:.0f} MiB free, {(needed + _RESERVE) / 2**20:.0f} wanted)"
            )

    def wait(self) -> None:
        """Until everything saved is on disk. Raises CheckpointError if it cannot be."""
        self._writing(self.manager.wait_until_finished)

    def restore(self, abstract: TrainState) -> Restored | None:
        """The newest whole checkpoint, laid out as `abstract` says; None if there is none at all.

        `abstract` is a TrainState of `jax.ShapeDtypeStruct` with shardings on the current mesh.
        Raises CheckpointError, naming the reasons, if checkpoints exist and none can be used.
        """
        target = _map_variables(_unstack_abstract, abstract)
        skipped: list[str] = []
        for step in self.steps():
            try:
                tree, extra = self._read(step, target)
            except Exception as error:  # Orbax raises bare Exception, KeyError, ValueError, ...
                reason = " ".join(str(error).split())[:200]
                skipped.append(f"checkpoint {step} is unusable ({type(error).__name__}: {reason})")
                log.warning("%s in %s", skipped[-1], self.folder)
                continue
            return Restored(_restack(abstract, tree), extra, tuple(skipped))
        if skipped:
            raise CheckpointError(f"no usable checkpoint in {self.folder}: {'; '.join(skipped)}")
        return None

    def delete(self, step: int) -> None:
        """Remove one checkpoint."""
        self._writing(lambda: self.manager.delete(step))

    def _read(self, step: int, target: TrainState) -> tuple[TrainState, dict[str, Any]]:
        meta = self.manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        tree = self.manager.restore(step, args=args).state
        found, stored = checksums(tree), meta.meta["crc32"]
        wrong = sorted(name for name in found | stored if found.get(name) != stored.get(name))
        if wrong:
            raise ValueError(f"checksum mismatch in {', '.join(wrong[:3])}")
        return tree, meta.meta["extra"]

    def _writing(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # tensorstore reports a full disk as a ValueError
            raise CheckpointError(
                f"cannot write checkpoints in {self.folder}: {_reason(error)}"
            ) from error


def read_variables(folder: Path) -> dict[str, Any]:
    """The variables that a run evaluated, as numpy arrays in canonical (unrolled) form.

    Of the newest whole checkpoint in `folder`: the moving average where there is one. Needs
    neither the experiment nor as many devices as it ran on. Raises CheckpointError.
    """
    skipped: list[str] = []
    for _, variables in _readable(folder, skipped):
        return variables
    raise CheckpointError(
        f"no usable checkpoint in {folder}" + "".join(f"; {reason}" for reason in skipped)
    )


def read_trajectory(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """(step, variables as `read_variables` gives them) of every whole checkpoint, oldest first.

    Raises CheckpointError if there is no folder.
    """
    return list(_readable(folder, []))[::-1]


def _readable(folder: Path, skipped: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Newest first; why one is passed over is logged and added to `skipped`."""
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {str(folder)!r}: no run's folder")
    reader = ocp.PyTreeCheckpointer()
    steps = sorted((int(p.name) for p in folder.iterdir() if p.name.isdigit()), reverse=True)
    for step in steps:
        try:
            variables = _read_variables(reader, folder.absolute() / str(step))
        except Exception as error:  # Orbax raises bare Exception, KeyError, ValueError, ...
            reason = " ".join(str(error).split())[:200]
            skipped.append(f"checkpoint {step} is unusable ({type(error).__name__}: {reason})")
            log.warning("%s in %s", skipped[-1], folder)
        else:
            yield step, variables


def _read_variables(reader: ocp.PyTreeCheckpointer, step: Path) -> dict[str, Any]:
    stored: Any = cast(Any, reader.metadata(step / "state")).item_metadata.tree
    fields = ["average"] if stored.get("average") else ["params", "model_state"]
    wanted = {field: stored[field] for field in fields}
    kind = ocp.RestoreArgs(restore_type=np.ndarray)
    args = ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=jax.tree.map(lambda _: kind, wanted),
        partial_restore=True,
    )
    tree = reader.restore(step / "state", args=args)
    meta = ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(step / "meta")
    for field in fields:
        for name, found in checksums(tree[field]).items():
            if meta["crc32"].get(f".{field}{name}") != found:
                raise ValueError(f"checksum mismatch in {field}{name}")
    return (
        tree["average"] if "average" in tree else {"params": tree["params"], **tree["model_state"]}
    )


def checksums(tree: Any) -> dict[str, int]:
    """crc32 of every leaf, by path."""
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(jax.device_get(leaf)).data)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _reason(error: Exception) -> str:
    """What the system said, where tensorstore's page of context holds it; one line."""
    text = " ".join(str(error).split())
    said = (os.strerror(code) for code in (ENOSPC, EDQUOT, EFBIG, EROFS, EACCES, EPERM, ENOTDIR))
    return next((words for words in said if words in text), text[:300])


def _map_variables(convert: Callable[[Any], Any], state: TrainState) -> TrainState:
    """`convert` applied to every variable tree within the state, the optimizer's included."""
    return jax.tree.map(convert, state, is_leaf=lambda node: isinstance(node, Mapping))


def _unstack_abstract(tree: Any) -> Any:
    """`unstack` for shapes: the blocks' leading axis goes, the sharding stays."""
    if not isinstance(tree, Mapping):
        return tree
    shapes = jax.eval_shape(unstack, tree)
    shardings = {leaf.sharding for leaf in jax.tree.leaves(tree)}
    if len(shardings) > 1:
        raise ValueError(f"scanned variables with several shardings: {shardings}")
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=next(iter(shardings))),
        shapes,
    )


def _restack(abstract: TrainState, state: TrainState) -> TrainState:
    if jax.tree.structure(abstract) == jax.tree.structure(state):
        return state
    stacked = _map_variables(stack, state)
    return jax.tree.map(lambda a, x: jax.device_put(x, a.sharding), abstract, stacked)
