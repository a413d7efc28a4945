"""ResNet-50 and related nets on ImageNet, by the recipes that are cited most.

python -m experiments.imagenet --batch-size 1024
python -m experiments.imagenet --recipe rsb_a2
python -m experiments.imagenet --dataset /data/imagenet     # train/ and val/ of class folders

The help has the arXiv: number of each recipe's source.
"""

import functools
from typing import Literal

import jax.numpy as jnp

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.recipes.imagenet import NETS, RECIPES, Net, RecipeName
from jresnet.run.arguments import DataDir, Seed
from jresnet.run.launch import launch


def imagenet(
    recipe: RecipeName = "goyal",
    net: Net | None = None,
    stem: Literal["published", "small"] = "published",
    dataset: str = "imagenet2012",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    batch_norm_group: int | None = None,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
    train_size: int | None = None,
    test_size: int | None = None,
    accumulate: int = 1,
    workers: int = 8,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Experiment:
    """ImageNet classification by a cited recipe.

    Expected top-1 of ResNet-50 (another net where named), and the cost of its training in 1e18
    floating-point operations (two a multiply-accumulate, backward counted twice forward):

    goyal: 76.4 % at a batch of 256, 76.3 % at 8192; 2.8. Goyal et al. 2017 (arXiv:1706.02677,
    sections 2 and 5.1): Nesterov, the rate ramped up over 5 epochs and divided by 10 after 30, 60
    and 80 of 90, decay on kernels only, the last norm of each block starts at 0.
    he2015: 75.3 % (1-crop of the authors' model); 3.8. He et al. 2015 (arXiv:1512.03385, 3.4).
    nvidia90, nvidia250: 77.1 and 78.5 %; 2.8 and 7.9. NVIDIA DeepLearningExamples, ResNet-50 v1.5.
    mlperf_lars: 75.9 % in 42 epochs; 1.3. MLPerf training's reference, batch 4096.
    bag_of_tricks: resnet50d 79.15 %; 6.6. He et al. 2018 (arXiv:1812.01187), without distillation.
    resnet_rs: resnetrs50 78.8 % at 160 pixels; 6. Bello et al. 2021 (arXiv:2103.07579, table 7).
    rsb_a1, rsb_a2, rsb_a3: 80.4, 79.8 and 78.1 %; 18.9, 9.4 and 1.6. Wightman et al. 2021
    (arXiv:2110.00476, table 2).
    torchvision_v2: 80.86 %; 11.7. torchvision's weights IMAGENET1K_V2 (its issue 3995).

    Deviations: goyal has no colour jitter; he2015 falls at fixed epochs, not by eye; RandAugment
    has torchvision's operations and a fixed strength; in rsb_a1 the smoothed targets are not cut
    at a threshold; torchvision_v2's average moves by every step; BatchNorm's groups are those of
    the source's devices, or the whole batch.

    Args:
        recipe: one of the above.
        net: a net of jresnet.models.zoo; by default the recipe's.
        stem: small is a 3x3 convolution and no pool, for images of about 32 pixels.
        dataset: imagenet2012 as TFDS prepares it, or a folder with train/ and val/ of class folders.
        epochs: passes over the training split instead of the recipe's; drops and ramp scale with it.
        batch_size: examples a step, over all devices, instead of the recipe's.
        learning_rate: peak rate for the recipe's batch size; another batch scales it.
        weight_decay: weight decay instead of the recipe's.
        batch_norm_group: examples of each BatchNorm statistic, instead of the recipe's.
        dtype: compute type; parameters, statistics and logits are float32.
        train_size: side of the random crop (FixRes: smaller than test_size), instead of the recipe's.
        test_size: side of the evaluation crop; the resize before it scales with it.
        accumulate: number of parts in which a batch is computed, one after the other.
        workers: processes that decode.
    """
    chosen = RECIPES[recipe].changed(
        epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_norm_group=batch_norm_group,
        train_size=train_size,
        test_size=test_size,
    )
    batch_size = batch_size or chosen.batch_size
    data = ImageData(
        dataset,
        batch_size,
        eval_batch_size=batch_size,
        data_dir=data_dir,
        seed=seed,
        workers=workers,
    )
    build = getattr(zoo, net or NETS.get(recipe, "resnet50"))
    if stem == "small":
        build = functools.partial(build, stem=zoo.SMALL_STEM)
    return chosen.experiment(build, data, jnp.dtype(dtype), accumulate)


if __name__ == "__main__":
    launch(imagenet)
