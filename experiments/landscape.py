"""Loss landscapes around a trained residual net and around its plain twin.

    python -m experiments.landscape
    python -m experiments.landscape --dataset cifar10 --depth 56 --steps 64000 --points 51 --examples 10000
    python -m experiments.landscape --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

Li et al. 2018 (arXiv:1712.09913). The second line is near the paper's own figures: 51 x 51 points
over [-1, 1]^2, ResNet-56 with and without shortcuts, trained on CIFAR-10 for 300 epochs.
"""

import dataclasses
import functools
from typing import Literal

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
from jresnet.studies.landscape.measure import landscape_of
from jresnet.studies.landscape.report import conclude
from jresnet.studies.subjects import pretrained


def landscape(
    dataset: DatasetName = "digits",
    depth: int | None = None,
    steps: int = 240,
    points: int = 15,
    reach: float = 1.0,
    hessian_points: int = 5,
    lanczos_steps: int = 10,
    probes: int = 1,
    split: Literal["train", "test"] = "train",
    examples: int | None = 128,
    hessian_examples: int = 32,
    weights: Weights = None,
    net: NetName = "cifar_resnet",
    statistics: WeightsStatistics = "dataset",
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """The loss on lines and planes through a trained net, its curvature there, and the way to it.

    Random directions are filter-normalised; biases and BatchNorm's scales and shifts do not move,
    its statistics are the trained ones, and no image is augmented (Li et al. 2018, section 4).
    Convexity is |smallest / largest eigenvalue| of the Hessian with respect to the kernels, by
    Lanczos iteration (section 6); the spectral density by stochastic Lanczos quadrature
    (Ghorbani 2019, arXiv:1901.10159). The path of training is drawn in the plane of its first two
    principal components (section 7). Sharpness is Keskar's (arXiv:1609.04836), the Lipschitz
    estimate of the gradient is taken between checkpoints (Santurkar 2018, arXiv:1805.11604); both
    with the batch's own statistics, as in training.

    The paper found: deep nets without shortcuts (ResNet-56-noshort, 13.31 % error against 5.89 %)
    turn chaotic, with steep hills all around, while residual ones have smooth, nearly convex
    bowls; the ratio of eigenvalues stays near 0 there (under 1 % for DenseNet) and is larger in
    chaotic regions; two components hold 40 to 90 % of a path's variance.

    A run that was stopped continues where it was, even within a surface.

    Args:
        depth: layers of the nets, 6n+2; by default 32 if they are trained.
        steps: training steps of each net, by the recipe of He et al. 2015.
        points: along each side of the plane, an odd number; the line has twice as many.
        reach: distance from the net to the sides of the plane, in lengths of its filters.
        hessian_points: points along each side of the map of curvature, an odd number.
        lanczos_steps: steps at each of its points; the spectrum has twice as many.
        probes: random vectors for the spectral density.
        split: split of the examples that measure the loss.
        examples: number of examples, drawn at random; None for all.
        hessian_examples: number of examples for second derivatives.
    """
    measure = functools.partial(
        landscape_of,
        points=points,
        reach=reach,
        hessian_points=hessian_points,
        lanczos_steps=lanczos_steps,
        probes=probes,
        split=split,
        examples=examples,
        hessian_examples=hessian_examples,
        seed=seed,
    )
    runs: dict[str, Experiment] = {}
    if weights is not None:
        subject = pretrained(weights, net, {"depth": depth}, dataset, statistics, data_dir)
        checkpoints = {subject.label: weights / "checkpoints"} if weights.is_dir() else {}
        return Study(
            runs, functools.partial(conclude, measure, {subject.label: subject}, checkpoints, runs)
        )
    depth = 32 if depth is None else depth
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    residual = zoo.cifar_resnet(depth, data.info().num_classes)
    for label, model in ((f"ResNet-{depth}", residual), (f"plain-{depth}", zoo.plain(residual))):
        training = he2015(model, data, steps, seed, learning_rate)
        plan = dataclasses.replace(training.plan, save_every=max(1, steps // 24), keep=None)
        runs[label] = dataclasses.replace(training, plan=plan)
    return Study(runs, functools.partial(conclude, measure, {}, {}, runs))


if __name__ == "__main__":
    launch(landscape)
