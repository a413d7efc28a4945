"""Distillation: a student learns the function of a trained teacher, patiently.

python -m experiments.distil --teacher resnet152.pth --teacher-net resnet152 --batch-size 1024
python -m experiments.distil --teacher runs/large --dataset photos/ --epochs 300 --batch-size 64
"""

from pathlib import Path
from typing import Literal

import jax.numpy as jnp

from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.recipes.distillation import FUNMATCH, taught
from jresnet.recipes.imagenet import Net
from jresnet.run.arguments import DataDir, NetName, Seed
from jresnet.run.launch import launch
from jresnet.weights.nets import load_net, net_of


def distil(
    teacher: Path | None = None,
    teacher_net: NetName = "resnet152",
    net: Net = "resnet50",
    dataset: str = "imagenet2012",
    temperature: float = 1.0,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
    train_size: int | None = None,
    test_size: int | None = None,
    accumulate: int = 1,
    workers: int = 8,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Experiment:
    """A classifier taught by another one alone, on the very same crops and mixed images.

    Beyer et al. 2021 (arXiv:2106.05237): random crops, mixup in uniform shares, Kullback-Leibler
    divergence from the teacher, Adam under a cosine of 9,600 epochs. Expected there: 82.8 % top-1
    of a ResNet-50 at 224 pixels on ImageNet by a BiT-M ResNet-152x2; not run here.

    Deviations: that student has GroupNorm and weight standardisation, this one BatchNorm; the
    crops' areas are 8 to 100 %, not 5; with fewer epochs the ramp of 16 is shorter in proportion.

    Args:
        teacher: checkpoint in torch's layout, or a run's folder; it says how images are normalised.
        net: the student.
        dataset: imagenet2012 as TFDS prepares it, or a folder with train/ and val/ of class folders.
        temperature: of both softmaxes.
        epochs: passes over the training split instead of 9,600.
        batch_size: examples a step, over all devices, instead of 4,096.
        learning_rate: peak rate for the batch of 4,096; another batch scales it.
        weight_decay: decoupled decay of kernels, times the rate, instead of 0.01.
        dtype: compute type of the student; parameters, statistics and logits are float32.
        train_size: side of the random crop instead of 224.
        test_size: side of the evaluation crop; the resize before it scales with it.
        accumulate: number of parts in which a batch is computed, one after the other.
        workers: processes that decode.
    """
    if teacher is None:
        raise UsageError("teacher missing: expected a checkpoint or a run's folder")
    recipe = FUNMATCH.changed(
        epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        train_size=train_size,
        test_size=test_size,
    )
    loaded = load_net(*net_of(teacher, teacher_net, {}), teacher)
    size = batch_size or recipe.batch_size
    data = ImageData(
        dataset, size, eval_batch_size=size, data_dir=data_dir, seed=seed, workers=workers
    )
    experiment = recipe.experiment(getattr(zoo, net), data, jnp.dtype(dtype), accumulate)
    return taught(experiment, loaded, temperature)


if __name__ == "__main__":
    launch(distil)
