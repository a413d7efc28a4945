"""The flow of the gradient to the first layers: plain against residual nets.

    python -m experiments.gradient_flow
    python -m experiments.gradient_flow --dataset cifar10 --depths 20 56 110 --steps 64000
    python -m experiments.gradient_flow --weights runs/cifar10 --net cifar_resnet --depth 56 --dataset photos/

He et al. 2016 (arXiv:1603.05027, section 2): the gradient at a block's input is the one at its
output plus what the branch adds. The second line has the paper's data and depths.
"""

import functools

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Study
from jresnet.models import zoo
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
from jresnet.studies.gradient_flow.flowing import SWITCHES, Switch, trainings
from jresnet.studies.gradient_flow.measure import measure
from jresnet.studies.gradient_flow.report import conclude
from jresnet.studies.subjects import Subject, pretrained


def gradient_flow(
    dataset: DatasetName = "digits",
    depths: tuple[int, ...] = (20, 56),
    steps: int = 60,
    examples: int = 64,
    scales: tuple[float, ...] = (0.5, 0.9, 1.0, 1.1),
    blocks: int = 18,
    products: int = 30,
    switches: tuple[Switch, ...] = SWITCHES,
    clip: float = 1.0,
    weights: Weights = None,
    net: NetName = "cifar_resnet",
    depth: int | None = None,
    preactivation: bool = True,
    statistics: WeightsStatistics = "dataset",
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """Norms, parts, orders and Jacobians of the gradient, and effects of three ingredients on it.

    At initialisation, for plain and residual nets of every depth, it measures the norm of the loss
    gradient at every block's input and by every block's kernels, and its exact split into the parts
    through the shortcut and through the branch. For the shallowest net it also has the terms of the
    product of I + J_l by the number of branches they pass, and the extreme singular values of every
    block's Jacobian (by Golub-Kahan-Lanczos: the largest from below, the smallest from above). In a
    net of one stage with shortcuts scaled by lambda, the branch-free term decays as lambda^(L-l).

    Then nets of the least depth train by the recipe of He et al. 2015, as it is and with one
    change: without BatchNorm, with weights from N(0, 0.01^2) instead of He's, or with clipped
    gradients. The norms are measured during training. All gradients are those of training mode,
    through the batch's statistics.

    With `--weights` the trained net takes the place of those at initialisation; nothing is trained.

    Args:
        depths: layers of the nets at initialisation, 6n+2; the least trains.
        steps: training steps of each net.
        examples: images of the training split on which gradients are taken.
        scales: values of lambda.
        blocks: blocks of the net with scaled shortcuts.
        products: steps of the bidiagonalisation, two Jacobian products each.
        switches: changes to train with; those at initialisation are measured, too.
        clip: global norm to which gradients are clipped.
        depth: argument of the zoo function.
        preactivation: the ordering of He et al. 2016; also an argument of the zoo function.
    """
    depths = tuple(sorted(depths))
    runs = {}
    if weights is not None:
        arguments = {"depth": depth, "preactivation": preactivation}
        subject = pretrained(weights, net, arguments, dataset, statistics, data_dir)
    else:
        data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
        classes = data.info().num_classes
        model = zoo.cifar_resnet(depths[0], classes, preactivation=preactivation, bottleneck=False)
        subject = Subject(f"ResNet-{depths[0]}", model, {}, data.normalize(), data)
        runs = trainings(model, data, steps, seed, learning_rate, switches, clip)
    measured = functools.partial(
        measure, subject, depths, examples, scales, blocks, products, seed, preactivation, switches
    )
    return Study(runs, functools.partial(conclude, measured, bool(subject.variables)))


if __name__ == "__main__":
    launch(gradient_flow)
