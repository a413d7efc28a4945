"""One checkpoint as it is stored: read and checked by checksum, nothing changed.

This needs neither the net nor the devices that wrote it, and no other process.
"""

import copy
import json
import logging
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jresnet.weights.storage_errors import hush, one_line

log = logging.getLogger(__name__)

_MEMORY = "memory"  # of a task (`jresnet.tasks.base.MEMORY`), which is no part of the net
_STEP = re.compile(r"0|[1-9][0-9]{0,17}")
_KEY = re.compile(r"\.(\w+)|\['(.*?)'\]|\[(\d+)\]")


class CheckpointError(OSError):
    """A checkpoint could not be written, or one that exists cannot be used. One line."""


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
    for step in steps_in(folder):
        try:
            variables = _read_variables(folder.absolute() / str(step))
        except Exception as error:  # Orbax raises bare Exception, KeyError, ValueError, ...
            reason = f"{type(error).__name__}: {one_line(error)}"
            skipped.append(f"checkpoint {step} is unusable ({reason})")
            log.warning("%s in %s", skipped[-1], folder)
        else:
            yield step, variables


def _read_variables(step: Path) -> dict[str, Any]:
    if average := read_fields(step, ("average",)):
        return average["average"]
    tree = read_fields(step, ("params", "model_state"))
    kept = {name: kind for name, kind in tree.get("model_state", {}).items() if name != _MEMORY}
    return {"params": tree["params"], **kept}


def steps_in(folder: Path) -> list[int]:
    """Steps by the names in a folder of checkpoints, newest first; whole or not."""
    names = (path.name for path in folder.iterdir())
    return sorted((int(name) for name in names if _STEP.fullmatch(name)), reverse=True)


def read_fields(step: Path, fields: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Fields of the state in a checkpoint's folder as numpy arrays, by default all.

    An empty field is left out. Raises whatever Orbax raises, and ValueError for wrong checksums.
    """
    hush()
    reader, stored = _reader(), read_tree(step)
    wanted = {
        field: stored[field] for field in fields or tuple(stored) if stored.get(field) is not None
    }
    if not wanted:
        return {}
    kind = ocp.RestoreArgs(restore_type=np.ndarray)
    args = ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=jax.tree.map(lambda _: kind, wanted),
        partial_restore=True,
    )
    tree = reader.restore(step / "state", args=args)
    saved = _by_names(read_meta(step)["crc32"])
    if fields is not None:
        saved = {names: value for names, value in saved.items() if names[0] in wanted}
    compare(_by_names(checksums(tree)), saved)
    return tree


def check_fields(step: Path) -> dict[str, Any]:
    """The shapes of a stored state, once its arrays are found whole, one field after the other.

    Raises what `read_fields` raises.
    """
    recorded = {names[0] for names in _by_names(read_meta(step)["crc32"])}
    shapes: dict[str, Any] = {}
    for field in read_tree(step):
        shapes |= jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), read_fields(step, (field,))
        )
    if missing := recorded - shapes.keys():
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    return shapes


def read_tree(step: Path) -> dict[str, Any]:
    """The tree of a stored state, without its arrays. Raises ValueError if it is damaged."""
    stored: Any = _reader().metadata(step / "state")
    if stored is None or stored.item_metadata is None:
        raise ValueError("the description of the state is damaged")
    return stored.item_metadata.tree


def by_itself() -> ocp.options.MultiprocessingOptions:
    """This process without the others, for which Orbax would wait."""
    index = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=index, active_processes={index})


def _reader() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(), multiprocessing_options=by_itself())


def read_meta(step: Path) -> dict[str, Any]:
    """The checksums of a checkpoint, and what was saved beside the state as `extra`."""
    return check_meta(json.loads((step / "meta" / "metadata").read_text()))


def meta(sums: dict[str, int], extra: dict[str, Any]) -> dict[str, Any]:
    """The JSON-able record that is saved beside a state with these checksums.

    It holds a copy of `extra`, which may change while the record is written in the background.
    """
    extra = copy.deepcopy(extra)
    return {"schema": 1, "crc32": sums, "extra": extra, "extra_crc32": _sum(extra)}


def check_meta(record: Any) -> dict[str, Any]:
    """The record itself. Raises ValueError if it is not what `meta` made."""
    # Older versions wrote no checksum of what lies beside the state.
    if record.get("extra_crc32", _sum(record["extra"])) != _sum(record["extra"]):
        raise ValueError("checksum mismatch in what was saved beside the state")
    return record


def checksums(tree: Any) -> dict[str, int]:
    """crc32 of every leaf, by path."""
    return {
        jax.tree_util.keystr(path): checksum(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def checksum(array: Any) -> int:
    """crc32 of an array's values in row-major order."""
    values = np.ascontiguousarray(jax.device_get(array)).reshape(-1)
    return zlib.crc32(values.view(np.uint8).data)  # no buffer has bfloat16


def compare(sums: dict[Any, int], stored: dict[Any, int]) -> None:
    """Raises ValueError, naming some of them, unless the checksums are the same."""
    wrong = sorted(str(k) for k in sums.keys() | stored.keys() if sums.get(k) != stored.get(k))
    if wrong:
        raise ValueError(f"checksum mismatch in {', '.join(wrong[:3])}")


def differing(saved: dict[str, Any], target: Any) -> list[str]:
    """Names of leaves that only one of the two has, or that differ in shape."""
    shapes = [
        _by_names(
            {
                jax.tree_util.keystr(path): tuple(leaf.shape)
                for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
            }
        )
        for tree in (saved, target)
    ]
    names = shapes[0].keys() | shapes[1].keys()
    return sorted(".".join(n) for n in names if shapes[0].get(n) != shapes[1].get(n))


def _by_names(values: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """`.state[0].trace['a']` and `['state'][0]['trace']['a']` alike: Orbax reads attributes as keys."""
    return {
        tuple("".join(groups) for groups in _KEY.findall(path)): value
        for path, value in values.items()
    }


def _sum(extra: Any) -> int:
    return zlib.crc32(json.dumps(extra, sort_keys=True).encode())
