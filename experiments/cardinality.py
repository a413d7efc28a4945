"""Cardinality: many narrow paths against few wide ones at equal cost; and three forms of one block.

    python -m experiments.cardinality
    python -m experiments.cardinality --dataset cifar10 --nets 1x64d 2x40d 4x24d 8x14d 32x4d \
        --blocks 3 --width 64 --steps 64000 --seeds 5

Xie et al. 2016 (arXiv:1611.05431, sections 3.3 and 5.1, table 3), on ImageNet: ResNet-50 in the
form 1 x 64d has 23.9 % top-1 error, 2 x 40d 23.0, 4 x 24d 22.6, 8 x 14d 22.3, 32 x 4d 22.2.
"""

import functools

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate
from jresnet.run.launch import launch
from jresnet.studies.cardinality.report import PUBLISHED, conclude
from jresnet.studies.variants import trainings


def cardinality(
    dataset: DatasetName = "digits",
    nets: tuple[str, ...] = ("1x64d", "2x40d", "4x24d", "8x14d"),
    blocks: int = 1,
    width: int = 32,
    steps: int = 160,
    seeds: int = 1,
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    data_dir: DataDir = None,
) -> Study:
    """Nets of 1 x 64d, 2 x 40d, 4 x 24d, 8 x 14d and 32 x 4d, which cost about the same.

    Three stages of bottlenecks, as ResNeXt-29, by the recipe of He et al. 2015. C x d is that of a
    block of 256 channels; in a stage of `width` (times 4) channels d is smaller in proportion.
    Every block of the trained nets is also computed in the paper's three forms (figure 3): the sum
    of C paths, C concatenated paths, one grouped convolution. The table has the largest difference.

    Args:
        nets: nets as C x d, some of those above. 32x4d is not in the default, since XLA:CPU is slow
            with many groups.
        blocks: blocks of each of the three stages; ResNeXt-29 has 3.
        width: width of the first stage, a multiple of 32; ResNeXt-29 has 64.
        steps: training steps of each net.
        seeds: repetitions, each with its own initialisation and order of examples.
    """
    if width % 32:
        raise ValueError(f"width={width}: expected a multiple of 32")
    if strange := [name for name in nets if name not in PUBLISHED]:
        raise ValueError(f"nets={' '.join(strange)}: expected some of {', '.join(PUBLISHED)}")
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    sizes = {name: map(int, name.removesuffix("d").split("x")) for name in nets}
    models = {
        name: zoo.cifar_resnext29(
            paths,
            path_width,
            data.info().num_classes,
            depths=(blocks,) * 3,
            widths=(width, 2 * width, 4 * width),
        )
        for name, (paths, path_width) in sizes.items()
    }
    runs = trainings(models, data, steps, seeds, learning_rate)
    return Study(runs, functools.partial(conclude, models, data))


if __name__ == "__main__":
    launch(cardinality)
