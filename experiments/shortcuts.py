"""Variants of the shortcut, and orders of norm and activation: two tables of He et al. 2016.

    python -m experiments.shortcuts
    python -m experiments.shortcuts --dataset cifar10 --depth 110 --steps 64000 --seeds 5

Identity Mappings in Deep Residual Networks (arXiv:1603.05027), tables 1 and 2, on CIFAR-10: the
median of five runs of ResNet-110. The second line is the paper's own experiment.
"""

import functools

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate
from jresnet.run.launch import launch
from jresnet.studies.shortcuts.measure import TABLES, TableName
from jresnet.studies.shortcuts.report import conclude
from jresnet.studies.variants import trainings


def shortcuts(
    dataset: DatasetName = "digits",
    depth: int = 20,
    steps: int = 160,
    seeds: int = 1,
    tables: tuple[TableName, ...] = ("shortcuts", "orders"),
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    data_dir: DataDir = None,
) -> Study:
    """Every shortcut and every order of norm and activation of He et al. 2016, tables 1 and 2.

    All by the recipe of He et al. 2015 (`degradation`'s) and with zero-padded shortcuts where the
    shape changes, so that only the named part differs. A gate is a 1x1 convolution of the shortcut
    and a sigmoid. With ReLU-only and full pre-activation, the layers before each convolution also
    close the net; only full pre-activation has no ReLU after the stem.

    The paper (ResNet-110, CIFAR-10, medians of five): every operation on the shortcut harms. Full
    pre-activation, which keeps the path between blocks clean, helps, and more in deeper nets.

    Args:
        depth: layers, 6n+2.
        steps: training steps of each net.
        seeds: repetitions, each with its own initialisation and order of examples.
        tables: shortcuts, orders or both.
    """
    if strange := [name for name in tables if name not in TABLES]:
        raise ValueError(f"tables {', '.join(strange)}: take some of {', '.join(TABLES)}")
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    nets = {
        name: zoo.cifar_resnet(depth, data.info().num_classes, **variant.fields)
        for table in tables
        for name, variant in TABLES[table].items()
    }
    runs = trainings(nets, data, steps, seeds, learning_rate)
    return Study(runs, functools.partial(conclude, tables, depth, batch_size))


if __name__ == "__main__":
    launch(shortcuts)
