"""Degradation and its cure: deeper plain nets train worse, deeper residual nets train better.

    python -m experiments.degradation
    python -m experiments.degradation --dataset cifar10 --depths 20 32 44 56 110 --steps 64000 --seeds 5

He et al. 2015 (arXiv:1512.03385, section 4.2 and figure 6). The second line is the paper's own
experiment. Its residual nets reach 8.75, 7.51, 7.17, 6.97 and 6.43 % (6.61 +- 0.16 on average)
test error; for its plain nets it has curves only.
"""

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate
from jresnet.run.launch import launch
from jresnet.studies.degradation.report import conclude


def degradation(
    dataset: DatasetName = "digits",
    depths: tuple[int, ...] = (20, 56),
    steps: int = 240,
    seeds: int = 1,
    learning_rate: LearningRate = 0.1,
    weight_decay: float = 1e-4,
    batch_size: BatchSize = 128,
    augment: bool | None = None,
    data_dir: DataDir = None,
) -> Study:
    """Plain against residual nets of several depths, one recipe for all (He et al. 2015, 4.2).

    SGD with momentum 0.9, He initialisation, BatchNorm, parameter-free shortcuts (option A). The
    rate is 0.01 for a short warm-up (400 steps, or an eighth of a short run), then the learning
    rate, divided by 10 at 1/2 and 3/4 of the steps: 32k and 48k of the paper's 64k. Images are
    normalised by channel where the paper subtracts the per-pixel mean. Trains on the whole
    training split, as most reproductions do; the paper held 5k images out.

    Args:
        depths: layers of each net, 6n+2.
        steps: training steps of each net.
        seeds: repetitions, each with its own initialisation and order of examples.
        weight_decay: weight decay on every parameter.
        augment: random crops and flips; by default for all data but the digits.
    """
    runs = {}
    for kind in ("plain", "ResNet"):
        for layers in depths:
            for seed in range(seeds):
                data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
                net = zoo.cifar_resnet(layers, data.info().num_classes)
                model = zoo.plain(net) if kind == "plain" else net
                runs[f"{kind}-{layers}-seed{seed}"] = he2015(
                    model, data, steps, seed, learning_rate, weight_decay, augment
                )
    return Study(runs, conclude)


if __name__ == "__main__":
    launch(degradation)
