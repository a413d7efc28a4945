"""Shattered gradients: white noise in plain nets, brown noise in residual ones.

    python -m experiments.shattered_gradients
    python -m experiments.shattered_gradients --dataset cifar10 --depth 110 --steps 64000

Balduzzi et al. 2017 (arXiv:1702.08591, sections 2 and 3, figures 1 and 2), on fully connected
nets of scalars at initialisation; the same on trained nets for images. The second line trains
nets of the depth that the paper's argument is about.
"""

import functools

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate, Seed
from jresnet.run.launch import launch
from jresnet.studies.shattered_gradients.measure import LAGS, measure
from jresnet.studies.shattered_gradients.report import conclude


def shattered_gradients(
    dataset: DatasetName = "digits",
    layers: tuple[int, ...] = (2, 10, 24, 50),
    width: int = 200,
    points: int = 256,
    draws: int = 8,
    depth: int = 20,
    steps: int = 60,
    lines: int = 8,
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """Autocorrelation of the input gradient: plain, residual, residual with BatchNorm.

    At initialisation, as in the paper: nets of rectifiers from scalars to scalars, on a grid of
    inputs from -2 to 2; the autocorrelation of df/dx over the grid, averaged over draws, beside
    that of white and of brown noise. Then a plain and a residual net for images are trained by the
    recipe of He et al. 2015, and the cosine between gradients of the largest logit by the image is
    taken between points of the straight lines from test image to test image, in evaluation.

    Args:
        layers: depths of the nets of scalars.
        width: rectifiers a layer.
        points: inputs on the grid, and on every line between images.
        draws: nets of each kind.
        depth: layers of the nets for images, 6n+2.
        steps: training steps of the nets for images.
        lines: pairs of test images.
    """
    if points <= LAGS or min(layers) < 2:
        raise ValueError(f"points {points}, layers {layers}: take over {LAGS} and 2 or more each")
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    net = zoo.cifar_resnet(depth, data.info().num_classes, bottleneck=False)
    runs = {
        f"plain-{depth}": he2015(zoo.plain(net), data, steps, seed, learning_rate),
        f"ResNet-{depth}": he2015(net, data, steps, seed, learning_rate),
    }
    measured = functools.partial(measure, layers, width, points, draws, lines, seed)
    return Study(runs, functools.partial(conclude, measured, runs))


if __name__ == "__main__":
    launch(shattered_gradients)
