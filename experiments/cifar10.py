"""Residual nets on CIFAR-10, each family with its paper's recipe.

python -m experiments.cifar10 --depth 110
python -m experiments.cifar10 --family wrn --depth 28 --width 10 --dropout 0.3
"""

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.recipes.cifar import RECIPES, Family, Shortcut, cifar_net
from jresnet.run.arguments import BatchSize, DataDir, LearningRate, Seed
from jresnet.run.launch import launch


def cifar10(
    family: Family = "resnet",
    depth: int | None = None,
    width: int | None = None,
    cardinality: int = 8,
    dropout: float = 0.0,
    shortcut: Shortcut | None = None,
    residual: bool = True,
    dataset: str = "cifar10",
    steps: int | None = None,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 0.1,
    weight_decay: float | None = None,
    batch_norm_group: int | None = None,
    accumulate: int = 1,
    on_device: bool | None = None,
    steps_per_dispatch: int = 1,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Experiment:
    """One net on CIFAR-10 (or a set like it) with the recipe of its paper.

    Expected test error in %, from the papers: resnet (He et al. 2015, arXiv:1512.03385)
    20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43 (mean of 5: 6.61), 1202: 7.93.
    preactivation (He et al. 2016, arXiv:1603.05027) 110: 6.37, 164: 5.46, 1001: 4.92.
    wrn (arXiv:1605.07146) 16-8: 4.27, 40-4: 4.53, 28-10: 4.00, with dropout 0.3: 3.89.
    resnext (arXiv:1611.05431) 29, 8x64d: 3.65, 16x64d: 3.58.

    Deviations: images are normalised by channel, not by pixel; all 50,000 training images are
    used; every resnet has the warm-up that the paper used at 110 layers.

    Args:
        family: nets and recipe of a paper.
        depth: layers; by default 56, 164, 28 or 29.
        width: WRN's k (10) or a ResNeXt path's channels (64).
        cardinality: ResNeXt's number of paths.
        dropout: rate of dropout between the convolutions of a WRN block.
        shortcut: option A, B, C of the paper, identity only, or none; by default A, and B for
            pre-activation.
        residual: with no-residual, the net has no shortcuts.
        dataset: cifar10, cifar100, digits, or a folder of class folders.
        steps: training steps instead of the recipe's; its drops are scaled with them.
        weight_decay: weight decay on every parameter, instead of the recipe's.
        batch_norm_group: examples of each BatchNorm statistic; by default the whole batch.
        accumulate: number of parts in which a batch is computed, one after the other.
        on_device: keep all training images on the device; by default on accelerators.
        steps_per_dispatch: steps of one program; evaluations and logs come at multiples of it.
    """
    recipe = RECIPES[family]
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed, on_device=on_device)
    net = cifar_net(
        family,
        recipe.depth if depth is None else depth,
        recipe.width if width is None else width,
        cardinality,
        dropout,
        shortcut,
        data.info().num_classes,
        part(BatchNorm, group=batch_norm_group),
    )
    return recipe.experiment(
        net if residual else zoo.plain(net),
        data,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        steps=steps,
        accumulate=accumulate,
        steps_per_dispatch=steps_per_dispatch,
    )


if __name__ == "__main__":
    launch(cifar10)
