"""Paths: of the many paths through a residual net, the short ones carry the gradient.

    python -m experiments.paths
    python -m experiments.paths --dataset cifar10 --depth 110 --steps 64000
    python -m experiments.paths --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

Veit et al. 2016 (arXiv:1605.06431, sections 3 and 5, figure 6), on a pre-activation ResNet-110 of
54 blocks trained on CIFAR-10. The second line trains this net.
"""

import functools

from jresnet.analysis.chain import chain
from jresnet.analysis.paths import ShortPaths
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
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
from jresnet.studies.paths.measure import measure
from jresnet.studies.paths.report import FULL, conclude
from jresnet.studies.subjects import pretrained


def paths(
    dataset: DatasetName = "digits",
    depth: int | None = None,
    preactivation: bool | None = None,
    modules: int | None = None,
    steps: int = 240,
    samples: int = 20,
    examples: int = 128,
    weights: Weights = None,
    net: NetName = "cifar_resnet",
    statistics: WeightsStatistics = "dataset",
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """Path lengths, gradient per path length, and training with short paths only (Veit 2016, 5).

    A net of n blocks has 2^n paths, with lengths that follow Binomial(n, 1/2). The gradient of a
    path is measured at the first block's input: forward through the whole net, backward through the
    branches of randomly chosen blocks and the shortcuts of all others. Its mean norm times the
    number of paths tells which lengths carry the gradient. A second net trains with few randomly
    drawn blocks a batch, so that no long path is ever used.

    The paper found for 54 blocks: 95 % of the paths pass 19 to 35 of them; the norm falls
    exponentially with the length; nearly all gradient comes from paths through 5 to 17 blocks,
    which are 0.45 % of all; trained with 23 blocks a batch the net reaches 5.96 % error, and 6.10 %
    with all of them.

    Args:
        depth: layers of the nets, 6n+2; by default 32 if they are trained.
        preactivation: the ordering of He et al. 2016; by default if the nets are trained.
        modules: blocks of the second net that train at a time; by default in the proportion 23 of 54.
        steps: training steps of each net, by the recipe of He et al. 2015.
        samples: random paths of each length.
        examples: training examples whose mean loss is differentiated.
    """
    measured = functools.partial(measure, samples=samples, examples=examples, seed=seed)
    runs: dict[str, Experiment] = {}
    if weights is not None:
        arguments = {"depth": depth, "preactivation": preactivation}
        subject = pretrained(weights, net, arguments, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, measured, subject, runs))
    depth = 32 if depth is None else depth
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    model = zoo.cifar_resnet(
        depth, data.info().num_classes, preactivation=preactivation is not False
    )
    blocks = len(chain(model).blocks)
    modules = max(1, round(blocks * 23 / 54)) if modules is None else modules
    if not 1 <= modules <= blocks:
        raise UsageError(f"modules {modules}: the net has {blocks} blocks, take 1 to that many")
    short = ShortPaths(model.backbone, model.num_classes, modules=modules)
    for label, one in ((FULL, model), (f"{modules} of {blocks} blocks", short)):
        runs[label] = he2015(one, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, measured, None, runs))


if __name__ == "__main__":
    launch(paths)
