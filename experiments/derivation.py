"""Backpropagation by hand on a trained net, and a residual net written as a sum.

    python -m experiments.derivation
    python -m experiments.derivation --dataset cifar10 --depth 110 --steps 64000
    python -m experiments.derivation --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

The backward passes of convolution, BatchNorm, ReLU and addition, derived by hand
(`jresnet.analysis.derivation`), and `h_L = h_0 + sum F`: He et al. 2016 (arXiv:1603.05027,
equations 3 to 5). The second line takes the depth at which the paper compares its nets.
"""

import functools

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.run.arguments import (
    BatchSize,
    DataDir,
    DatasetName,
    LearningRate,
    NetName,
    Seed,
    Weights,
    WeightsStatistics,
)
from jresnet.run.launch import launch
from jresnet.studies.derivation.report import conclude
from jresnet.studies.subjects import pretrained


def derivation(
    dataset: DatasetName = "digits",
    depth: int | None = None,
    preactivation: bool | None = None,
    steps: int = 120,
    examples: int = 32,
    weights: Weights = None,
    net: NetName = "cifar_resnet",
    statistics: WeightsStatistics = "dataset",
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """The hand-derived gradients of a trained net against jax.grad, and its recursive expansion.

    Both are computed in float64, on images of the training split. The gradients are those of the
    mean cross-entropy in training, through the batch's statistics, by every parameter and by the
    images. The expansion is that of the net in evaluation: the input of the first block, every
    branch, and in post-activation nets the change by each ReLU after an addition add up to the last
    output.

    Expected: no difference above 1e-10, and an expansion exact to rounding.

    Args:
        depth: layers of the net, 6n+2; by default 20 if it is trained.
        preactivation: the ordering of He et al. 2016; by default if the net is trained.
        steps: training steps, by the recipe of He et al. 2015.
        examples: images of the training split.
    """
    runs: dict[str, Experiment] = {}
    if weights is not None:
        arguments = {"depth": depth, "preactivation": preactivation}
        subject = pretrained(weights, net, arguments, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, examples, seed, subject, runs))
    depth = 20 if depth is None else depth
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    model = zoo.cifar_resnet(
        depth, data.info().num_classes, preactivation=preactivation is not False
    )
    runs[f"ResNet-{depth}"] = he2015(model, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, examples, seed, None, runs))


if __name__ == "__main__":
    launch(derivation)
