"""Trained nets that studies look into."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.normalisation import Statistics, normalisation
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.files import shorten
from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Result
from jresnet.models.headed import Headed, unrolled
from jresnet.models.heads import Classifier
from jresnet.models.scan import unstack
from jresnet.padding import full_batches
from jresnet.tasks.base import Array
from jresnet.train.data import Data
from jresnet.weights.nets import classifier, load_net, net_of
from jresnet.weights.remote import spelled
from jresnet.weights.run import read_variables


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained net, and the data that it was trained or is to be examined on.

    `variables` are canonical (unrolled) and `model` is the net that takes them as they are.
    `normalize` maps the data's uint8 images to what the net wants.
    """

    label: str
    model: Headed
    variables: Mapping[str, Any]
    normalize: Callable[[Array], Array]
    data: Data

    @property
    def classifier(self) -> Classifier:
        """The net, for studies of logits and classes. Raises UsageError for any other."""
        return classifier(self.model)

    def examples(
        self, split: str, count: int | None = None, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """`image` uint8 `[count, *spatial, channels]` and `label` `[count]` of a split, on the host.

        They are in the split's order; `count` of them are drawn without replacement, since folders
        are ordered by class. Examples whose file is broken are left out. Raises UsageError for a
        count below 1.
        """
        size = self.data.size(split)
        if count is not None and count < 1:
            raise UsageError(f"examples {count}: take 1 to {size}, or None for all")
        drawn = np.random.default_rng(seed).permutation(size)[:count]
        wanted = np.zeros(size, bool)
        wanted[drawn] = True
        images, labels = [], []
        for batch in self.data.examples(split, (0, 1)):
            kept = (batch["valid"] > 0) & wanted[batch["index"]]
            images.append(batch["image"][kept])
            labels.append(batch["label"][kept])
        return {"image": np.concatenate(images), "label": np.concatenate(labels)}

    def batches(
        self, split: str, count: int | None = None, batch_size: int = 256, seed: int = 0
    ) -> list[dict[str, Array]]:
        """`examples` in batches of one size, normalised: `image` `[b, *spatial, channels]`,
        `label` and `valid` `[b]`, on the device. The last one is padded with `valid` 0."""
        examples = self.examples(split, count, seed)
        total = len(examples["label"])
        size = min(batch_size, total)
        rows, real = (x.reshape(-1, size) for x in full_batches(total, size))
        return [
            {
                "image": self.normalize(jnp.asarray(examples["image"][kept])),
                "label": jnp.asarray(examples["label"][kept]),
                "valid": jnp.asarray(valid, jnp.float32),
            }
            for kept, valid in zip(rows, real, strict=True)
        ]


def trained(runs: Mapping[str, Experiment], results: Mapping[str, Result]) -> dict[str, Subject]:
    """The net of each finished run, with the variables that the run evaluated.

    Raises CheckpointError for a run whose checkpoints are gone.
    """
    subjects = {}
    for label, result in results.items():
        task: Any = runs[label].task
        variables = read_variables(result.folder / "checkpoints")
        subjects[label] = Subject(
            label, unrolled(task.model), variables, task.normalize, runs[label].data
        )
    return subjects


def pretrained(
    weights: Path,
    net: str,
    arguments: Mapping[str, Any],
    dataset: str,
    statistics: Statistics = "dataset",
    data_dir: Path | None = None,
) -> Subject:
    """A trained net out of `weights`, to be examined on `dataset`.

    `weights` are a run's folder, or a file for the zoo function `net` with `arguments`.

    Images are normalised as the run's were; `statistics` are those of a file. Images of another
    size than the run's are cut to it, and those that differ in size to the net's. Raises UsageError for a net or
    weights that do not fit, and for data with more classes than the head or other channels.
    """
    named, arguments = net_of(weights, net, arguments)
    loaded = load_net(named, arguments, weights)
    model = unrolled(loaded.model)
    data = ImageData(dataset, 1, data_dir=data_dir)
    cut = loaded.recorded.transform() if loaded.recorded else None
    if cut is None and data.info().fixed_shape is None:
        cut = ResizeCenterCrop(named.image[0], named.image[0])
    if cut is not None and data.info().fixed_shape != cut.image_shape:
        data = dataclasses.replace(
            data, train_transform=cut, eval_transform=cut, transform_once=True
        )
    classes = data.info().num_classes
    if isinstance(model, Classifier) and classes > model.num_classes:
        raise UsageError(
            f"dataset {dataset!r}: {classes} classes, the head of {spelled(weights)!r} has "
            f"{model.num_classes}"
        )
    if loaded.recorded and data.info().class_names != loaded.recorded.classes:
        raise UsageError(
            f"dataset {dataset!r}: classes {shorten(data.info().class_names)}, the run's are "
            f"{shorten(loaded.recorded.classes)}"
        )
    normalize = (
        loaded.recorded.normalize()
        if loaded.recorded
        else normalisation(statistics, data, loaded.channels)
    )
    label = weights.name if weights.is_dir() else weights.stem
    return Subject(label, model, unstack(loaded.variables), normalize, data)
