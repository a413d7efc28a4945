"""Sensitivity to the learning rate and the depth: plain and residual nets over a sweep of both.

    python -m experiments.sensitivity
    python -m experiments.sensitivity --dataset cifar10 --depth 56 --depths 20 32 44 56 110 \
        --rates 0.001 0.01 0.1 1 --steps 64000 --seeds 5

The claim that smooth loss surfaces (Li et al. 2018, arXiv:1712.09913) make nets easier to optimise,
less sensitive to the learning rate and better on new data. He et al. 2015 (arXiv:1512.03385,
section 4.2) show the depths at one rate; the second line is their recipe with rates around theirs.
"""

import dataclasses
import functools

from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.run.arguments import BatchSize, DataDir, DatasetName
from jresnet.run.launch import launch
from jresnet.studies.sensitivity.measure import KINDS, Cell
from jresnet.studies.sensitivity.report import conclude


def sensitivity(
    dataset: DatasetName = "digits",
    rates: tuple[float, ...] = (0.01, 0.1, 1.0),
    depth: int = 20,
    depths: tuple[int, ...] = (8, 20, 32),
    learning_rate: float = 0.1,
    steps: int = 120,
    seeds: int = 3,
    batch_size: BatchSize = 128,
    data_dir: DataDir = None,
) -> Study:
    """Training and test error against the learning rate, and against the depth, over several seeds.

    By the recipe of He et al. 2015 (`degradation`'s) with its peak rate replaced: the warm-up at
    0.01, or at the rate where that is lower, and the two divisions by 10 stay. A training whose
    loss becomes infinite counts as guessing. Both kinds of net have the same layers and parameters.

    Args:
        rates: peak rates of the nets of `depth` layers.
        depth: layers of the nets whose rate varies, 6n+2.
        depths: layers of the nets that are trained at `learning_rate`.
        learning_rate: peak rate of the nets whose depth varies.
        steps: training steps of each net.
        seeds: repetitions, each with its own initialisation and order of examples.
    """
    for name, values in (("rates", rates), ("depths", depths)):
        if len(set(values)) < len(values):
            raise UsageError(f"{name}={' '.join(map(str, values))}: expected none twice")
    by_rate = [(depth, rate) for rate in rates]
    by_depth = [(layers, learning_rate) for layers in depths]
    runs = {}
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    classes = data.info().num_classes
    for layers, rate in dict.fromkeys(by_rate + by_depth):
        residual = zoo.cifar_resnet(layers, classes)
        for kind in KINDS:
            net = zoo.plain(residual) if kind == "plain" else residual
            for seed in range(seeds):
                seeded = dataclasses.replace(data, seed=seed)
                experiment = he2015(net, seeded, steps, seed, rate)
                plan = dataclasses.replace(experiment.plan, eval_every=steps)
                runs[Cell(kind, layers, rate).label(seed)] = dataclasses.replace(
                    experiment, plan=plan, may_diverge=True
                )
    guessing = 1 - 1 / classes
    return Study(runs, functools.partial(conclude, by_rate, by_depth, seeds, guessing))


if __name__ == "__main__":
    launch(sensitivity)
