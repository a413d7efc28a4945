"""A run's own record, `training.json`: its task and net, its images and their classes."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.fit import Fit
from jresnet.data.transform import ImageTransform
from jresnet.description import DescriptionError, rebuild, rebuild_optimizer
from jresnet.errors import UsageError
from jresnet.storage import read_json

TRAINING = "training.json"
# Of a folder that `push` wrote: the file, and its entry in the place of a run's `training.json`.
CONFIG, ENTRY = "config.json", "jresnet"
CLASSIFY = "jresnet.tasks.classify:Classify"


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The training in `folder`, by its `training.json`; parts are built when they are asked for.

    Each raises UsageError, naming the file, for a part that is not there, or not one of a classifier
    of images where it is one of those, or that holds code of the run's own.
    """

    folder: Path
    parts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the net, where a pushed folder tells it; else that of the folder."""
        return str(self.parts.get("name") or self.folder.name)

    @property
    def is_classifier(self) -> bool:
        """Whether the task is `jresnet.tasks.classify.Classify`."""
        task = self.parts.get("task")
        return isinstance(task, dict) and task.get("new") == CLASSIFY

    def task(self) -> Any:
        """The task, as it was trained."""
        task = self._built(lambda: self.parts["task"], "task")
        if not callable(getattr(task, "init", None)):
            raise self._fault(f"{task!r} is none", "task")
        return task

    def data(self) -> Any:
        """The data; where it lies and how it is read are left out."""
        return self._built(lambda: self.parts["data"], "data")

    def batch(self, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of so many examples, as the task was trained on them."""
        try:
            return {
                name: jax.ShapeDtypeStruct((rows, *array["shape"]), np.dtype(array["dtype"]))
                for name, array in self.parts["example"].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise self._fault(f"no shapes of an example ({error})", "task") from error

    def model(self) -> Any:
        """The net, as it was trained."""
        return self._built(lambda: self.parts["task"]["fields"]["model"], "net")

    def optimizer(self) -> Any:
        """A pair of functions, `init` and `update`, as optax has them."""
        return self._built(lambda: self.parts["optimizer"], "optimizer", rebuild_optimizer)

    def normalize(self) -> Callable[[Any], Any]:
        """From uint8 images to the net's input."""
        return self._built(lambda: self.parts["task"]["fields"]["normalize"])

    @property
    def image(self) -> tuple[int, ...]:
        """Shape of one example as the task is given it: `[*spatial, channels]`."""
        try:
            return tuple(map(int, self.parts["example"]["image"]["shape"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._fault(f"no shape of an image ({error})", "net") from error

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        classes = self.parts.get("classes")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise self._fault("no list of classes")
        return tuple(classes)

    def transform(self) -> ImageTransform:
        """From a picture of any size to `image`: that of the run's evaluation, if it had one."""
        transform = self._built(lambda: self.parts["data"]["fields"].get("eval_transform"))
        if transform is not None:
            return transform
        if len(self.image) != 3:
            size = "x".join(map(str, self.image))
            raise UsageError(f"run {str(self.folder)!r} was trained on {size}, not on pictures")
        return Fit(self.image)  # type: ignore[arg-type]

    def sizes(self) -> tuple[int, int]:
        """`resize` and `crop` as `ResizeCenterCrop` takes them."""
        transform = self.transform()
        if isinstance(transform, ResizeCenterCrop):
            return transform.resize, transform.crop
        side = min(transform.image_shape[:2])
        return side, side

    def _built(
        self,
        pick: Callable[[], Any],
        part: str = "classifier",
        rebuild: Callable[[Any], Any] = rebuild,
    ) -> Any:
        try:
            return rebuild(pick())
        except (KeyError, TypeError, AttributeError) as error:
            raise self._fault(f"{type(error).__name__}: {error}", part) from error
        except DescriptionError as error:
            raise self._fault(str(error), part) from error

    def _fault(self, reason: str, part: str = "classifier") -> UsageError:
        again = part in ("data", "optimizer")
        words = f"{part} that can be made again" if again else f"trained {part}"
        return UsageError(f"{str(self.folder / TRAINING)!r}: no {words} ({reason})")


def read_recorded(folder: Path) -> Recorded | None:
    """The record of the training in `folder`; None for one of a version that kept none.

    A folder that `push` wrote has a part of it. Raises UsageError for a damaged file.
    """
    path = folder / TRAINING
    if not path.exists():
        return _read_pushed(folder)
    parts = read_json(path)
    if not isinstance(parts, dict):
        raise UsageError(f"{str(path)!r}: expected a JSON object, got {type(parts).__name__}")
    return Recorded(folder, parts)


def _read_pushed(folder: Path) -> Recorded | None:
    """The record in a pushed folder's `config.json`; None if there is none."""
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    parts = config.get(ENTRY) if isinstance(config, dict) else None
    return Recorded(folder, parts) if isinstance(parts, dict) else None


def trainings(folder: Path) -> list[str]:
    """The trainings of a study's folder, by their paths in it."""
    folders = sorted(path.parent for path in folder.glob("**/checkpoints") if path.is_dir())
    return [path.relative_to(folder).as_posix() for path in folders if path != folder]
