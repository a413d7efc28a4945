"""Layer responses: residual nets change their signal less than plain nets, deeper ones least.

    python -m experiments.responses
    python -m experiments.responses --dataset cifar10 --depths 20 56 110 --steps 64000
    python -m experiments.responses --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

He et al. 2015 (arXiv:1512.03385, section 4.2, figure 7), on plain nets of 20 and 56 layers and
residual ones of 20, 56 and 110 trained on CIFAR-10.
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
from jresnet.studies.responses.report import conclude
from jresnet.studies.subjects import pretrained


def responses(
    dataset: DatasetName = "digits",
    depths: tuple[int, ...] = (20, 56),
    steps: int = 240,
    examples: int | None = None,
    weights: Weights = None,
    net: NetName = "cifar_resnet",
    depth: int | None = None,
    statistics: WeightsStatistics = "dataset",
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """Standard deviations of layer responses, plain and residual (He et al. 2015, figure 7).

    The response of a layer is the output of its 3x3 convolution and BatchNorm, before activation
    and addition (in pre-activation nets of the convolution), over all test examples, positions and
    channels.

    The paper found that residual nets respond less strongly than plain ones of the same depth,
    and deeper residual nets less than shallower ones: the residual functions are closer to zero
    than others, and with more layers each changes the signal less. It gives this as a figure.

    Args:
        depths: layers of the nets that are trained, 6n+2.
        steps: training steps of each net, by the recipe of He et al. 2015.
        examples: number of test examples, drawn at random; by default all.
        depth: argument of the zoo function, for the CIFAR nets.
    """
    runs: dict[str, Experiment] = {}
    if weights is not None:
        subject = pretrained(weights, net, {"depth": depth}, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, examples, seed, [subject], runs))
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    for layers in depths:
        residual = zoo.cifar_resnet(layers, data.info().num_classes)
        for kind, model in (("plain", zoo.plain(residual)), ("ResNet", residual)):
            runs[f"{kind}-{layers}"] = he2015(model, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, examples, seed, [], runs))


if __name__ == "__main__":
    launch(responses)
