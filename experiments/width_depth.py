"""Width against depth: wide shallow and thin deep nets of equal parameters, and their time.

    python -m experiments.width_depth
    python -m experiments.width_depth --dataset cifar10 --nets 40-4 16-8 28-10 --steps 78000

Zagoruyko & Komodakis 2016 (arXiv:1605.07146): on CIFAR-10 WRN-40-4 (8.9 M parameters) has 4.53 %
error, WRN-16-8 (11.0 M) 4.27 % at a fraction of the time, WRN-28-10 (36.5 M) 4.00 %.
"""

import functools

from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate
from jresnet.run.launch import launch
from jresnet.studies.variants import trainings
from jresnet.studies.width_depth.report import conclude


def width_depth(
    dataset: DatasetName = "digits",
    nets: tuple[str, ...] = ("40-1", "22-1", "16-2", "10-3"),
    steps: int = 160,
    seeds: int = 1,
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    data_dir: DataDir = None,
) -> Study:
    """Wide ResNets of several depths and widths: error, parameters and time of a step.

    By the recipe of He et al. 2015, so that nothing but the net differs (`cifar10 --family wrn`
    has the paper's). By default three nets of 0.56 to 0.69 million parameters, of 40, 16 and 10
    layers, and one with half as many.

    Args:
        nets: nets as depth-k: 6n+4 layers, k times the channels.
        steps: training steps of each net.
        seeds: repetitions, each with its own initialisation and order of examples.
    """
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    classes = data.info().num_classes
    models = {}
    for text in nets:
        depth, _, k = text.partition("-")
        if not (depth.isdecimal() and k.isdecimal() and int(k)):
            raise UsageError(f"nets={text}: expected depth-k, such as 28-10")
        models[f"WRN-{depth}-{k}"] = zoo.wrn(int(depth), int(k), num_classes=classes)
    runs = trainings(models, data, steps, seeds, learning_rate)
    return Study(runs, functools.partial(conclude, tuple(models), batch_size))


if __name__ == "__main__":
    launch(width_depth)
