"""A residual net, and a deeper one, that compute the same as a plain net.

    python -m experiments.expressiveness
    python -m experiments.expressiveness --dataset cifar10 --depth 20 --deeper 56 --steps 64000

He et al. 2015 (arXiv:1512.03385, sections 1 and 3.1): the constructed solution that shows that
degradation is a failure of optimisation and not of expressiveness. The second line takes the
depths at which the paper saw it.
"""

import functools

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate, Seed
from jresnet.run.launch import launch
from jresnet.studies.expressiveness.report import conclude


def expressiveness(
    dataset: DatasetName = "digits",
    depth: int = 20,
    deeper: int = 56,
    steps: int = 120,
    examples: int | None = None,
    learning_rate: LearningRate = 0.1,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Study:
    """From a trained plain net to the residual net, and the deeper one, of the same function.

    Trains a plain net and a residual one. The plain net's BatchNorm is folded into its
    convolutions, which makes it a net without norms. Its residual twin has the branches
    F(x) = H(x) - x, built from the same weights and kernels that copy x; the deeper twin has more
    blocks, with F = 0. All three give the same logits up to rounding (compared in float32 and
    float64) over the test split. The report compares the size of these F with the branches of the
    trained residual net. He et al. 2015 (section 3.1) expect the latter to be small: functions
    closer to the identity than to zero.

    Args:
        depth: layers of the nets, 6n+2.
        deeper: layers of the deeper twin, 6n+2.
        steps: training steps of each net, by the recipe of He et al. 2015.
        examples: images of the test split; by default all.
    """
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    classes = data.info().num_classes
    depths = zoo.cifar_resnet(deeper, classes, bottleneck=False).backbone.depths
    residual = zoo.cifar_resnet(depth, classes, bottleneck=False)
    if deeper < depth or depth < 14:
        raise ValueError(f"depth {depth}, deeper {deeper}: take 14 or more, and no less for deeper")
    runs = {
        f"plain-{depth}": he2015(zoo.plain(residual), data, steps, seed, learning_rate),
        f"ResNet-{depth}": he2015(residual, data, steps, seed, learning_rate),
    }
    return Study(runs, functools.partial(conclude, depths, examples, seed, runs))


if __name__ == "__main__":
    launch(expressiveness)
