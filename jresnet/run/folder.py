"""The folder of a run: the experiment that owns it, and its result.

After the lock, `config.json` is the first file in it. These folders are refused, and nothing in
them is touched: one of another experiment, one of the same experiment with other arguments, and one
that another process works in.
"""

import contextlib
import hashlib
import json
import logging
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from jresnet.errors import UsageError
from jresnet.storage import as_json, read_json, write_json

log = logging.getLogger(__name__)

CONFIG, RESULT = "config.json", "result.json"
CONCLUSION = "conclusion.json"  # of a study, whose trainings have a result each
LOCK = ".lock"


def claim(
    folder: Path, experiment: str, arguments: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Make `folder` this experiment's, or check that it is.

    `arguments` decide whether a run may go on here. `provenance` (versions, commit, hardware) is
    kept for the record. Raises UsageError, naming what differs, and OSError.
    """
    config = {"experiment": experiment, "arguments": as_json(dict(arguments))}
    path = folder / CONFIG
    if not path.exists():
        _check_empty(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # Of two runs that start at once, the second reads the first one's file.
        with hold(folder):
            if not path.exists():
                write_json(path, config | {"command": command(), "date": now(), **provenance})
    _check_same(folder, read_config(path), config)


def _check_empty(folder: Path) -> None:
    """Raise UsageError for a folder with files, except those of a start that was killed."""
    if not folder.exists():
        return
    ours = re.compile(rf"{re.escape(LOCK)}|\.{re.escape(CONFIG)}\..*")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            strange = any(path.iterdir())
        else:
            strange = not ours.fullmatch(path.name)
        if strange:
            raise UsageError(
                f"workdir {str(folder)!r} is not empty and holds no {CONFIG}: "
                "take an empty or a new folder"
            )


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder. Raises UsageError if one is in there.

    The lock ends with the process, however that ends.
    """
    lock = filelock.FileLock(folder / LOCK)
    try:
        # `is_held` takes it for a moment.
        lock.acquire(timeout=1)
    except filelock.Timeout:
        raise UsageError(
            f"workdir {str(folder)!r}: another process is at work there; wait for it, or take "
            "another --workdir"
        ) from None
    except NotImplementedError:
        log.warning("%s: this file system has no locks; do not start the run twice", folder)
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process works in a folder. Nothing in it is changed."""
    if not (folder / LOCK).exists():
        return False
    lock = filelock.FileLock(folder / LOCK, blocking=False)
    try:
        with lock:
            return False
    except filelock.Timeout:
        return True
    except (NotImplementedError, OSError):  # no locks here, or not our folder: unknown
        return False


def read_shared(folder: Path) -> Any:
    """The config that process 0 claimed the folder with. Raises UsageError if it is not here."""
    path = folder / CONFIG
    if not path.exists():
        raise UsageError(
            f"workdir {str(folder)!r} lacks the {CONFIG} that process 0 wrote: "
            "take a folder on a file system that all processes share"
        )
    return read_config(path)


# Arguments that had this value by default in older versions; None, which is the default now,
# means the same.
_FORMER_DEFAULTS = {("experiments.finetune", "statistics"): "imagenet"}


def _with_former_defaults(experiment: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _FORMER_DEFAULTS.get((experiment, name)) if value is None else value
        for name, value in arguments.items()
    }


def _check_same(folder: Path, existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    experiment = wanted["experiment"]
    if existing["experiment"] != experiment:
        raise UsageError(
            f"workdir {str(folder)!r} holds {existing['experiment']}, not {experiment}: "
            "take another --workdir"
        )
    old, new = (
        _with_former_defaults(experiment, config["arguments"]) for config in (existing, wanted)
    )
    differing = [
        f"{name} {json.dumps(old.get(name))} there, {json.dumps(new.get(name))} asked for"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise UsageError(
            f"workdir {str(folder)!r} holds this experiment with other arguments "
            f"({'; '.join(differing)}): take another --workdir or the same arguments"
        )


_LONGEST = 200  # bytes of a folder's name; file systems take 255


def default_name(experiment: str, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """`cifar10` or, with arguments other than the defaults, `cifar10-depth=110-seed=1`.

    A digest is added where different values would give the same letters, or if the name is too
    long.
    """
    usual = _with_former_defaults(experiment, defaults)
    meant = _with_former_defaults(experiment, arguments)
    changed = as_json({name: value for name, value in meant.items() if value != usual[name]})
    parts = [f"{name}={_written(value)}" for name, value in changed.items()]
    name = "-".join([experiment.rsplit(".", 1)[-1], *parts])
    if len(name.encode()) <= _LONGEST:
        return name
    begin = name.encode()[: _LONGEST - 9].decode(errors="ignore")
    return f"{begin}-{_digest(changed)}"


def _written(value: Any) -> str:
    text = "+".join(map(_word, value)) if isinstance(value, list) else _word(value)
    # Words that could also mean something else: none, an empty list, a switch.
    ambiguous = not text or (isinstance(value, str) and text in ("None", "True", "False"))
    return text + _digest(value) if ambiguous else text


def _word(value: Any) -> str:
    safe = "".join(c if c.isalnum() or c in "._+" else "_" for c in str(value)).strip("_.")
    negative = isinstance(value, int | float) and str(value).startswith("-")
    return f"-{safe}" if negative else safe


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]


def read_config(path: Path) -> dict[str, Any]:
    """A run's `config.json`. Raises UsageError for damage, FileNotFoundError."""
    optional = {"command": str, "date": str, "commit": str, "hardware": str, "versions": dict}
    return _fields(path, {"experiment": str, "arguments": dict}, optional, "take another --workdir")


def read_result(path: Path) -> dict[str, Any]:
    """A training's `result.json`. Raises UsageError for damage, FileNotFoundError."""
    needed = {"metrics": dict, "seconds": (int, float), "parameters": int}
    anew = "delete it, and the run's command makes it anew"
    result = _fields(path, needed, {"diverged": str}, anew)
    for split, values in result["metrics"].items():
        numbers = isinstance(values, dict) and all(
            isinstance(value, (int, float)) and not isinstance(value, bool)
            for value in values.values()
        )
        if not numbers:
            raise UsageError(f"{str(path)!r}: expected numbers as metrics of {split!r}; {anew}")
    return {name: result[name] for name in (*needed, "diverged") if name in result}


def read_conclusion(path: Path) -> str:
    """The line in `conclusion.json`. Raises UsageError for damage, FileNotFoundError."""
    anew = "delete it, and the run's command makes it anew"
    return _fields(path, {"line": str}, {}, anew)["line"]


Types = Mapping[str, type | tuple[type, ...]]


def _fields(path: Path, needed: Types, optional: Types, advice: str) -> dict[str, Any]:
    """The object in a file, with all `needed` fields; they and `optional` have their types."""
    record = read_json(path)
    if not isinstance(record, dict):
        kind = type(record).__name__ if record is not None else "null"
        raise UsageError(f"{str(path)!r} is damaged: expected an object, not {kind}; {advice}")
    for name, kind in {**needed, **optional}.items():
        if name not in record and name in needed:
            raise UsageError(f"{str(path)!r} is damaged: it lacks {name!r}; {advice}")
        value = record.get(name)
        if name in record and (not isinstance(value, kind) or isinstance(value, bool)):
            shown = json.dumps(value)[:60]
            raise UsageError(f"{str(path)!r} is damaged: {name!r} is {shown}; {advice}")
    return record


def command() -> str:
    """The command line of this process, as one would type it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return shlex.join(["python", *sys.argv])
    return shlex.join(["python", "-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]])


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
