"""Lesions: a residual net loses a block and hardly notices, a plain net is destroyed.

    python -m experiments.lesion
    python -m experiments.lesion --dataset cifar10 --depth 110 --steps 64000 --repeats 100
    python -m experiments.lesion --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

Veit et al. 2016 (arXiv:1605.06431, section 4, figures 3 and 5), on a pre-activation ResNet-110 of
54 blocks and on VGG-15, trained on CIFAR-10. The second line is the paper's own net.
"""

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
from jresnet.studies.lesion.measure import measure
from jresnet.studies.lesion.report import conclude
from jresnet.studies.subjects import pretrained


def lesion(
    dataset: DatasetName = "digits",
    depth: int | None = None,
    preactivation: bool | None = None,
    steps: int = 240,
    repeats: int = 10,
    split: Literal["train", "test"] = "test",
    examples: int | None = None,
    weights: Weights = None,
    net: NetName = "cifar_resnet",
    statistics: WeightsStatistics = "dataset",
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """Blocks deleted from and swapped in a trained residual net and its plain twin (Veit 2016, 4).

    Nothing is trained again. The output of a deleted block is that of its shortcut. In a plain net,
    which has no shortcuts, it is the block's input; where the shape changes, subsampled and padded
    with zero channels (the paper deletes single layers of VGG instead). Each block is deleted
    alone; then several at random; then pairs of blocks of one stage and shape change places, and
    the order is measured by Kendall's rank correlation.

    The paper found: any one of the 54 blocks but those that change the shape can go with hardly a
    change of error, while any layer taken from VGG-15 brings its error to chance; error rises
    smoothly with the number of deleted blocks and with the disorder. It gives these as figures.

    Args:
        depth: layers of the nets, 6n+2; by default 32 if they are trained.
        preactivation: the ordering of He et al. 2016; by default if the nets are trained.
        steps: training steps of each net, by the recipe of He et al. 2015.
        repeats: random draws for each number of blocks deleted and of pairs swapped.
        split: split of the examples that measure the error.
        examples: number of examples, drawn at random; by default all.
    """
    measured = functools.partial(
        measure, repeats=repeats, split=split, examples=examples, seed=seed
    )
    runs: dict[str, Experiment] = {}
    if weights is not None:
        arguments = {"depth": depth, "preactivation": preactivation}
        subject = pretrained(weights, net, arguments, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, measured, split, [subject], runs))
    depth = 32 if depth is None else depth
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    residual = zoo.cifar_resnet(
        depth, data.info().num_classes, preactivation=preactivation is not False
    )
    for label, model in ((f"ResNet-{depth}", residual), (f"plain-{depth}", zoo.plain(residual))):
        runs[label] = he2015(model, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, measured, split, [], runs))


if __name__ == "__main__":
    launch(lesion)
