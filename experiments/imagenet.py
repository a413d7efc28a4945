"""ResNet-50 and its kin on ImageNet in 90 epochs, by the recipe of Goyal et al. 2017.

python -m experiments.imagenet --batch-size 1024
python -m experiments.imagenet --dataset /data/imagenet     # train/ and val/ of class folders
"""

from pathlib import Path
from typing import Literal

import jax.numpy as jnp

from jresnet.data.augment import IMAGENET, RandomFlip
from jresnet.data.imagenet import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, launch
from jresnet.models import zoo
from jresnet.models.layers import BatchNorm
from jresnet.models.shortcuts import part
from jresnet.tasks.classify import Classify
from jresnet.train.loop import Plan
from jresnet.train.optim import DECAY_KERNELS, sgd
from jresnet.train.schedules import ramped, step_decay

Net = Literal[
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200",
    "wide_resnet50_2", "wide_resnet101_2",
    "resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "resnet10t", "resnet26d", "resnet34d", "resnet50d", "resnet101d", "resnext50d_32x4d",
    "seresnet50", "resnetrs50", "ecaresnet50d", "resnetaa50", "resnetblur50",
    "resnetv2_50", "resnetv2_101", "resnetv2_152",
]  # fmt: skip


def imagenet(
    net: Net = "resnet50",
    dataset: str = "imagenet2012",
    epochs: int = 90,
    batch_size: int = 256,
    learning_rate: float = 0.1,
    weight_decay: float = 1e-4,
    batch_norm_group: int | None = 32,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
    image_size: int = 224,
    accumulate: int = 1,
    workers: int = 8,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Experiment:
    """ImageNet classification, Goyal et al. 2017 (arXiv:1706.02677, sections 2 and 5.1).

    Expected: ResNet-50 76.4 % top-1 (error 23.60 +- 0.12 at batch 256, 23.74 +- 0.09 at 8192 in
    the paper), ResNet-101 77.9 %. About 2.8 EFLOP for ResNet-50.

    Nesterov momentum 0.9; the rate is `learning_rate` times batch / 256, reached by a ramp over 5
    epochs from `learning_rate`, divided by 10 after 30, 60 and 80 of 90 epochs; decay on kernels
    and the head, not on norms; the last norm of each block starts at zero; BatchNorm over groups
    of 32. JPEGs are decoded and cropped on the host, flipped and normalised on the device.
    Deviations: no colour jitter.

    Args:
        net: a net of jresnet.models.zoo.
        dataset: imagenet2012 as TFDS prepares it, or a folder with train/ and val/ of class folders.
        epochs: passes over the training split; the drops scale with them.
        batch_size: examples a step, over all devices.
        learning_rate: peak learning rate for a batch of 256.
        weight_decay: on kernels.
        batch_norm_group: examples behind each BatchNorm statistic; None for the whole batch.
        dtype: compute type; parameters, statistics and logits are float32.
        image_size: side of the square crop; images are resized to 8/7 of it for evaluation.
        accumulate: parts that a batch is computed in, one after the other.
        workers: processes that decode.
        seed: of the initialisation, the order of examples and the crops.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    data = ImageData(
        dataset,
        batch_size,
        eval_batch_size=batch_size,
        data_dir=data_dir,
        seed=seed,
        train_transform=RandomResizedCrop(image_size),
        eval_transform=ResizeCenterCrop(image_size * 8 // 7, image_size),
        workers=workers,
    )
    info = data.info()
    epoch = info.sizes.get("train", 1_281_167) // batch_size
    peak = learning_rate * batch_size / 256
    drops = [epochs * part_of_90 * epoch // 90 for part_of_90 in (30, 60, 80)]
    schedule = ramped(step_decay(peak, drops), peak, learning_rate, 5 * epoch * epochs // 90)
    optimizer = sgd(schedule, weight_decay=weight_decay, nesterov=True, decay=DECAY_KERNELS)
    model = getattr(zoo, net)(
        info.num_classes,
        norm=part(BatchNorm, group=batch_norm_group),
        zero_init_residual=True,
        dtype=jnp.dtype(dtype),
    )
    plan = Plan(
        epochs * epoch,
        seed,
        eval_every=epoch,
        save_every=max(1, epoch // 4),
        log_every=max(1, epoch // 50),
        accumulate=accumulate,
    )
    return Experiment(Classify(model, IMAGENET, (RandomFlip(),)), data, optimizer, plan)


if __name__ == "__main__":
    launch(imagenet)
