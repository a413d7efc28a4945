"""Checks before a run claims its folder: sizes, data, shapes, facts that processes share."""

import dataclasses
import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import jresnet
from jresnet.data.broken import BrokenExampleError
from jresnet.data.features import FeatureData
from jresnet.errors import UsageError
from jresnet.run import folder as run_folder
from jresnet.run.command_line import RunOptions, module_name
from jresnet.run.fingerprint import fingerprint
from jresnet.runtime import distributed
from jresnet.runtime import environment as runtime
from jresnet.runtime import mesh as meshes
from jresnet.tasks.base import Task
from jresnet.train.data import Data, batch_shapes, called, for_devices
from jresnet.train.loop import Plan
from jresnet.train.sharding import variable_shardings

Training = tuple[Task, Data, Plan]
_SAMPLED = 64

log = logging.getLogger(__name__)


def check(trainings: Iterable[Training], mesh: Mesh) -> None:
    """Raise UsageError for the first training that could not begin.

    Nothing is computed. Nets are traced once for each kind of batch, which takes a second at most.
    Data sets that are held in memory are read once for all seeds.
    """
    read, traced = [], []
    for task, asked, plan in trainings:
        data = for_devices(asked, mesh.shape["data"])
        for field in ("batch_size", "eval_batch_size"):
            meshes.check_batch_size(mesh, getattr(data, field), called(data, field))
        if data.batch_size % plan.accumulate:
            raise UsageError(
                f"accumulate={plan.accumulate}: expected a divisor of batch_size={data.batch_size}"
            )
        if (source := _unseeded(asked)) not in read:
            read.append(source)
            _stored(asked).check()
        if (shapes := (task, data.batch_size, plan.accumulate)) not in traced:
            traced.append(shapes)
            _check_shapes(task, data, plan.accumulate)


def _check_shapes(task: Task, data: Data, parts: int) -> None:
    """Raise UsageError unless the net takes batches of every shape, or each of their `parts`."""
    for shapes in batch_shapes(data):
        batch = {
            name: jax.ShapeDtypeStruct((rows.shape[0] // parts, *rows.shape[1:]), rows.dtype)
            for name, rows in shapes.items()
        }
        try:
            jax.eval_shape(task.init, jax.eval_shape(lambda: jax.random.key(0)), batch)
        except ValueError as error:
            sizes = ", ".join(f"{name} {rows.shape}" for name, rows in batch.items())
            raise UsageError(f"the model does not take batches of {sizes}: {error}") from error


def _stored(data: Data) -> Data:
    """The stored examples, not the features that are computed from them, which takes long."""
    return data.data if isinstance(data, FeatureData) else data


def _unseeded(data: Data) -> Any:
    """A key that is equal for data that differ only in their seed."""
    stored: Any = _stored(data)
    names = {field.name for field in dataclasses.fields(stored)} if is_plain(stored) else set()
    return dataclasses.replace(stored, seed=0) if "seed" in names else stored


def is_plain(value: object) -> bool:
    """Whether a value is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def check_together(
    function: Callable[..., Any], runs: Mapping[str, Any], folder: Path, mesh: Mesh
) -> None:
    """Raise UsageError, the same in all processes, if a training could not begin in a new folder.

    A folder that is claimed already has passed these checks, and is not checked again.

    Args:
      function: what made the runs.
      runs: experiments by their labels.
      folder: where they are to be trained.
      mesh: the devices.
    """
    trainings = [(run.task, run.data, run.plan) for run in runs.values()]
    if folder.is_file():
        raise UsageError(f"workdir={folder}: expected a folder, a file is there")
    if not distributed.agree((folder / run_folder.CONFIG).exists()):
        distributed.attempt(lambda: check(trainings, mesh))
        distributed.attempt(lambda: check_sharding(runs, mesh))
    if distributed.several():
        facts = distributed.attempt(lambda: data_facts(trainings))
        prints = {label: fingerprint(function, run) for label, run in runs.items()}
        distributed.compare(facts | digests(prints))


def check_sharding(runs: Mapping[str, Any], mesh: Mesh) -> None:
    """Raise UsageError for the first rule of a run's `sharding` that cannot be followed."""
    for run in runs.values():
        if run.sharding:
            key = jax.eval_shape(lambda: jax.random.key(0))
            variables = jax.eval_shape(run.task.init, key, dict(run.data.example_batch))
            variable_shardings(variables, run.sharding, mesh)
    if mesh.shape["model"] > 1 and not any(run.sharding for run in runs.values()):
        log.warning(
            "model_parallel=%d: the experiment shards nothing, so %d devices compute the same",
            mesh.shape["model"],
            mesh.shape["model"],
        )


def identity(
    function: Callable[..., Any], arguments: Mapping[str, Any], options: RunOptions
) -> dict[str, str]:
    """Facts that must be equal in all processes of a run before anything is built, each as a text.

    Arguments, the options that decide what is computed and where, versions, and a digest of the
    code of jresnet and of the file that holds `function`.
    """
    names = ("workdir", "platform", "devices", "model_parallel", "smoke", "profile", "patience")
    shared = {name: getattr(options, name) for name in names}
    words = {"experiment": module_name(function), **arguments, **shared, **runtime.versions()}
    facts = {name: json.dumps(value, default=str) for name, value in words.items()}
    root = Path(jresnet.__file__).parent
    files = {str(path.relative_to(root)): path for path in sorted(root.rglob("*.py"))}
    if source := inspect.getsourcefile(inspect.unwrap(function)):
        files["experiment"] = Path(source)
    code = hashlib.sha256()
    for name, path in files.items():
        code.update(f"{name}\0".encode() + path.read_bytes())
    return {**facts, "code": code.hexdigest()[:12]}


def data_facts(trainings: Iterable[Training]) -> dict[str, str]:
    """Facts about every data set.

    They are the sizes of the splits, the names of classes, and digests of the examples' names in
    order and of a sample of examples.
    """
    facts, seen = {}, []
    for _, data, _ in trainings:
        stored: Any = _stored(data)
        if (source := _unseeded(data)) in seen:
            continue
        seen.append(source)
        which = f"_{len(seen)}" if len(seen) > 1 else ""
        if info := getattr(stored, "info", None):
            facts[f"classes{which}"] = " ".join(info().class_names)
        for split in ("train", "test"):
            facts[f"{split}_examples{which}"] = str(stored.size(split))
            if opened := getattr(stored, "source", None):
                facts[f"{split}_names{which}"] = _names(opened(split))
                facts[f"{split}_sample{which}"] = _sample(opened(split))
    return facts


def digests(prints: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each training's fingerprint."""
    return {
        f"training {label}".strip(): hashlib.sha256(
            json.dumps(record, sort_keys=True, default=str).encode()
        ).hexdigest()[:12]
        for label, record in prints.items()
    }


def _names(source: Any) -> str:
    digest = hashlib.sha256()
    for index in range(len(source)):
        digest.update(source.describe(index).encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()[:12]


def _sample(source: Any) -> str:
    """A digest of the examples at 64 places."""
    digest = hashlib.sha256()
    for index in sorted({index * len(source) // _SAMPLED for index in range(_SAMPLED)}):
        try:
            example = source[index]
        except BrokenExampleError:
            continue
        for name, value in sorted(example.items()):
            digest.update(name.encode())
            digest.update(value if isinstance(value, bytes) else np.asarray(value).tobytes())
    return digest.hexdigest()[:12]
