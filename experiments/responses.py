"""Layer responses: residual nets change their signal less than plain nets, deeper ones least.

    python -m experiments.responses
    python -m experiments.responses --dataset cifar10 --depths 20 56 110 --steps 64000
    python -m experiments.responses --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

He et al. 2015 (arXiv:1512.03385, section 4.2, figure 7), on plain nets of 20 and 56 layers and
residual ones of 20, 56 and 110 trained on CIFAR-10.
"""

import functools
from pathlib import Path

from jresnet.data.normalisation import Statistics
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.run.launch import launch
from jresnet.studies.responses.report import conclude
from jresnet.studies.subjects import given


def responses(
    dataset: str = "digits",
    depths: tuple[int, ...] = (20, 56),
    steps: int = 240,
    examples: int | None = None,
    weights: Path | None = None,
    net: str = "cifar_resnet",
    depth: int | None = None,
    statistics: Statistics = "dataset",
    learning_rate: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Study:
    """Standard deviations of layer responses, plain and residual (He et al. 2015, figure 7).

    The response of a layer is the output of its 3x3 convolution and BatchNorm, before activation
    and addition (in pre-activation nets of the convolution), over all test examples, positions and
    channels.

    The paper found that residual nets respond less strongly than plain ones of the same depth,
    and deeper residual nets less than shallower ones: the residual functions are closer to zero
    than others, and with more layers each changes the signal less. It gives this as a figure.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        depths: layers of the nets that are trained, 6n+2.
        steps: training steps of each net, by the recipe of He et al. 2015.
        examples: how many test examples, drawn at random; by default all.
        weights: a checkpoint in torch's layout or a run's folder, to be taken instead of training.
        net: zoo function the weights are for.
        depth: its argument, for the CIFAR nets.
        statistics: what the images of weights in a file were normalised by; a run knows its own.
        learning_rate: peak rate of training.
        batch_size: examples a training step.
        seed: of training and of drawn examples.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    runs: dict[str, Experiment] = {}
    if weights is not None:
        subject = given(weights, net, {"depth": depth}, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, examples, seed, [subject], runs))
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    for layers in depths:
        residual = zoo.cifar_resnet(layers, data.info().num_classes)
        for kind, model in (("plain", zoo.plain(residual)), ("ResNet", residual)):
            runs[f"{kind}-{layers}"] = he2015(model, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, examples, seed, [], runs))


if __name__ == "__main__":
    launch(responses)
