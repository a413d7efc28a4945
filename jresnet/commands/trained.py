"""A trained task with all that its predictions need, out of a run's folder or a checkpoint file."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jresnet.data import images
from jresnet.data.buckets import Bucketed
from jresnet.data.fit import Grey
from jresnet.data.info import Info
from jresnet.data.patches import MiddlePatch, WholePictures
from jresnet.data.transform import Labelled, Transform
from jresnet.errors import UsageError
from jresnet.models.heads.restyle import Restyler
from jresnet.models.heads.upsample import Upscaler
from jresnet.models.scan import stack, unstack
from jresnet.tasks.base import MEMORY, Predictor, Task
from jresnet.tasks.classify import Classify
from jresnet.tasks.detect import Detect
from jresnet.tasks.grad_cam import Salient
from jresnet.tasks.ordered import Estimate, Grade
from jresnet.tasks.stylise import Stylise, tiles_for
from jresnet.tasks.upscale import Upscale
from jresnet.tasks.upscale import tiles_for as upscale_tiles
from jresnet.weights.nets import Net, shapes
from jresnet.weights.pushed import is_pushed, recorded_variables
from jresnet.weights.recorded import Recorded, read_recorded
from jresnet.weights.run import CheckpointError, read_variables


@runtime_checkable
class Placing(Protocol):
    """A transform that tells where in a picture its pixels come from."""

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in a picture of this size."""
        ...


@dataclasses.dataclass(frozen=True)
class Trained:
    """A task, its variables, the preparation of files, and the names of classes, if it has any.

    `transform` is that of a run's evaluation: an `ImageTransform`, a `Transform` or a `Bucketed`.
    `info` are the facts about the run's data that the last two ask for.
    """

    task: Predictor
    variables: Mapping[str, Any]
    transform: Any
    info: Info

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of classes, if there are any."""
        return self.info.class_names

    def prepare(
        self, file: bytes, **known: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """One example without its truth, and the place of its picture as `Case` keeps it.

        `known` are further parts of the example, such as landmarks. Raises DecodeError and
        ExampleError.
        """
        example = self.task.unlabelled(file) | known
        unused = np.random.default_rng(0)  # evaluation draws nothing
        transform = bucket(self.transform, example, self.info)
        if isinstance(transform, Transform):
            arrays = transform(example, unused)
        else:
            arrays = {name: np.asarray(value) for name, value in example.items() if name != "image"}
            arrays["image"] = transform(example["image"], unused)
        placing = inner(transform)
        if not isinstance(placing, Placing):
            return arrays, None
        return arrays, placing.place(*images.header(file)[:2])

    def predict(self) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
        """A compiled function from a batch to results, arrays `[batch, ...]` on the host."""
        step = jax.jit(self.task.predict)
        variables = jax.device_put(self.variables)

        def predict(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return jax.device_get(step(variables, dict(batch)))

        return predict


def bucket(transform: Any, example: Mapping[str, Any], info: Info) -> Any:
    """The transform of an example's bucket; one without buckets itself. Raises DecodeError."""
    if not isinstance(transform, Bucketed):
        return transform
    each = transform.each(info)
    sizes = [one.spec(info)[transform.image].shape[:-1] for one in each]
    return each[transform.choose(images.header(example[transform.image])[:2], sizes)]


def inner(transform: Any) -> Any:
    """The part of a transform that decides where pixels come from."""
    while isinstance(transform, Grey | Labelled):
        transform = transform.transform if isinstance(transform, Grey) else transform.crop
    return transform


def upscaler(net: Upscaler, variables: Mapping[str, Any], name: str) -> Trained:
    """A net that enlarges pictures, with weights of a file, for `predict`."""
    task = Upscale(net, tiles=upscale_tiles(net))
    info = Info(name, class_of=None)
    return Trained(task, variables, WholePictures(scale=net.scale), info)


def painter(net: Restyler, variables: Mapping[str, Any], name: str) -> Trained:
    """A net that paints pictures anew, with weights of a file, for `predict`."""
    task = Stylise(net, tiles=tiles_for(net))
    return Trained(task, variables, MiddlePatch(256), Info(name, class_of=None))


def with_strength(trained: Trained, strength: float | None) -> Trained:
    """With a share of the result in painted pictures. Raises UsageError for another task."""
    if strength is None:
        return trained
    if not isinstance(trained.task, Stylise):
        name = type(trained.task).__name__
        raise UsageError(f"strength={strength}: expected none, task {name} paints no pictures")
    task = dataclasses.replace(trained.task, strength=strength)
    return dataclasses.replace(trained, task=task)


def with_saliency(trained: Trained, feature: str | None) -> Trained:
    """With a map of a feature for each picture. Raises UsageError for no classifier of pictures."""
    if feature is None:
        return trained
    # Outputs of grades and amounts are not one for each class.
    if not isinstance(trained.task, Classify) or isinstance(trained.task, Grade | Estimate):
        name = type(trained.task).__name__
        raise UsageError(f"saliency={feature!r}: expected none, task {name} is no classifier")
    task = Salient(trained.task, None if feature == "last" else feature)
    return dataclasses.replace(trained, task=task)


def other_run(argv: Sequence[str]) -> Recorded | None:
    """The record of the run that a command's first argument names, if it trained no classifier."""
    folder = Path(argv[0]) if argv else None
    recorded = read_recorded(folder) if folder is not None and folder.is_dir() else None
    return None if recorded is None or recorded.is_classifier else recorded


def run_as_net(recorded: Recorded) -> Net:
    """A run in the place of a net of the zoo, for `arguments.parse`; it takes no arguments."""
    return Net(recorded.name, recorded.task, ())


def load_task(recorded: Recorded) -> tuple[Task, dict[str, Any]]:
    """A run's task, and the variables that it evaluated.

    Raises UsageError for a task with code of the run's own or with constants, for a checkpoint of
    another task, and for one that cannot be read.
    """
    run = f"run {str(recorded.folder)!r}"
    if recorded.is_classifier:  # losses and augmentation may be the run's own code
        task: Any = Classify(recorded.model(), recorded.normalize())
    else:
        task = recorded.task()
    name = type(task).__name__
    alone = getattr(task, "predicts_without_constants", False)
    if recorded.parts.get("constants") is not None and not alone:
        raise UsageError(f"{run}: its task {name} needs constants, which no run keeps")
    try:
        variables = (
            recorded_variables(recorded)
            if is_pushed(recorded.folder)
            else read_variables(recorded.folder / "checkpoints")
        )
    except CheckpointError as error:
        raise UsageError(f"{run}: {error}") from error
    wanted = jax.eval_shape(task.init, jax.random.key(0), recorded.batch(1))
    wanted = {name: tree for name, tree in wanted.items() if name != MEMORY}
    unrolled = jax.eval_shape(unstack, wanted)
    there, here = shapes(variables), shapes(unrolled)
    wrong = sorted(path for path in there | here if there.get(path) != here.get(path))
    if wrong:
        raise UsageError(
            f"{run}: its checkpoint is of another task, {wrong[0]} is {there.get(wrong[0])} there "
            f"and {here.get(wrong[0])} in {name}"
        )
    if jax.tree.structure(unrolled) != jax.tree.structure(wanted):
        variables = jax.tree.map(np.asarray, stack(variables))
    return task, variables


def load_predictor(recorded: Recorded) -> Trained:
    """A run whose task is none of classification, for `predict`.

    Raises UsageError if it tells nothing of files, and as `load_task` does.
    """
    task, variables = load_task(recorded)
    run = f"run {str(recorded.folder)!r}"
    if not isinstance(task, Predictor):
        raise UsageError(f"{run}: its task {type(task).__name__} predicts nothing of files")
    transform: Any = recorded.transform()
    each = transform.transforms if isinstance(transform, Bucketed) else (transform,)
    for one in map(inner, each):
        if not isinstance(one, Placing):
            raise UsageError(
                f"{run}: its evaluation transform {type(one).__name__} does not tell where in a "
                "picture its pixels come from (place)"
            )
    classes = tuple(recorded.parts.get("classes") or ())
    kind = "box" if isinstance(task, Detect) else None  # buckets ask for it
    info = Info(recorded.name, len(classes), classes, class_of=kind)
    return Trained(task, variables, transform, info)
