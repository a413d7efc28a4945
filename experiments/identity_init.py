"""Residual nets that start as the identity, with and without BatchNorm.

    python -m experiments.identity_init
    python -m experiments.identity_init --dataset cifar10 --depths 56 110 --steps 64000

Zero gamma: Goyal et al. 2017 (arXiv:1706.02677, section 5.1). SkipInit: De & Smith 2020
(arXiv:2002.10444). Fixup: Zhang et al. 2019 (arXiv:1901.09321), whose ResNet-110 without norms has
7.24 % error on CIFAR-10 against 6.61 % with BatchNorm, and 27.6 % (ResNet-50) on ImageNet. He's
initialisation: He et al. 2015 (arXiv:1502.01852). The second line is at the papers' depths.
"""

import dataclasses
import functools

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.models.fixup import RATES
from jresnet.recipes import he2015
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate, Seed
from jresnet.run.launch import launch
from jresnet.studies.identity_init.measure import SCHEMES, Scheme, with_scheme
from jresnet.studies.identity_init.report import conclude
from jresnet.train.optim import by_layer


def identity_init(
    dataset: DatasetName = "digits",
    depths: tuple[int, ...] = (56,),
    schemes: tuple[Scheme, ...] = SCHEMES,
    steps: int = 80,
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """Zero gamma, SkipInit, Fixup and He: F(x) = 0 at the start, and training without BatchNorm.

    Residual nets by the recipe of He et al. 2015 (its rate, decay and warm-up for every scheme).
    With BatchNorm: as usual, and with the last scale of every branch at zero. Without any norm:
    He's initialisation alone; SkipInit, one scalar from zero on every branch; Fixup, whose biases
    and multipliers train at a tenth of the rate. The convolutions of He and SkipInit have biases.
    The papers tune rates and add mixup for Fixup; here one recipe serves all.

    A training whose loss becomes infinite is reported as such.

    Args:
        depths: layers of the nets, 6n+2.
        schemes: schemes to train with.
        steps: training steps of each net.
    """
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    classes = data.info().num_classes
    runs = {}
    for depth in depths:
        for scheme in schemes:
            net = with_scheme(scheme, zoo.cifar_resnet(depth, classes, bottleneck=False))
            experiment = he2015(net, data, steps, seed, learning_rate)
            if scheme == "Fixup":
                optimizer = by_layer(experiment.optimizer, RATES)
                experiment = dataclasses.replace(experiment, optimizer=optimizer)
            runs[f"{scheme}-{depth}"] = dataclasses.replace(experiment, may_diverge=True)
    return Study(runs, functools.partial(conclude, runs, seed))


if __name__ == "__main__":
    launch(identity_init)
