"""Trained nets on a test set that was shifted: the same images, made worse on the device."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jresnet.data.augment.corruptions import KINDS, Corruption, Kind, corruptions
from jresnet.data.features import FeatureData
from jresnet.experiment import Experiment, Result
from jresnet.text import shown
from jresnet.weights.run import read_variables

Array = jax.Array


class Shift(NamedTuple):
    """One training on one shifted test set; `strength` from 1 to 5."""

    label: str
    kind: Kind
    strength: int
    error: float


def measure(experiments: Mapping[str, Experiment], results: Mapping[str, Result]) -> list[Shift]:
    """The error of every trained net at every kind and strength.

    Every net sees the same corrupted images: the noise is a function of the example's batch.
    """
    shifts: list[Shift] = []
    compiled: dict[tuple[Kind, int], Any] = {}
    with tqdm(total=len(results), desc="shifted test sets", unit="net", disable=None) as bar:
        for label, result in results.items():
            bar.set_postfix_str(shown(label))
            shifts += _errors(label, experiments[label], result, compiled)
            bar.update()
    return shifts


def _errors(
    label: str, experiment: Experiment, result: Result, compiled: dict[tuple[Kind, int], Any]
) -> list[Shift]:
    """The errors of one trained net; `compiled` keeps corruptions for the next one."""
    data: Any = experiment.data
    images = data.data if isinstance(data, FeatureData) else data
    task: Any = experiment.task
    variables = jax.device_put(read_variables(result.folder / "checkpoints"))
    outputs = jax.jit(task.outputs)
    batches = list(images.examples("test", (0, 1)))
    shape = batches[0]["image"].shape[1:]
    shifts = []
    for kind in KINDS:
        for strength, op in enumerate(corruptions(shape)[kind], 1):
            corrupt = compiled.setdefault((kind, strength), jax.jit(functools.partial(_bytes, op)))
            wrong = count = 0.0
            for number, batch in enumerate(batches):
                pixels = corrupt(jax.random.key(number), batch["image"])
                seen = data.standardised(pixels) if isinstance(data, FeatureData) else pixels
                logits = outputs(variables, {"image": seen, "label": batch["label"]})["logits"]
                real = np.asarray(batch["valid"]) > 0
                wrong += float((np.argmax(logits, -1) != batch["label"])[real].sum())
                count += float(real.sum())
            shifts.append(Shift(label, kind, strength, wrong / count))
    return shifts


def _bytes(op: Corruption, key: Array, images: Array) -> Array:
    """Corrupted uint8 images of uint8 images."""
    return op(key, images.astype(jnp.float32)).astype(jnp.uint8)
