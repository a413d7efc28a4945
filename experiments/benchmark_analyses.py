"""Speed of analyses of nets, compared with straightforward loops in PyTorch on the same device.

    python -m experiments.benchmark_analyses
    python -m experiments.benchmark_analyses --analyses lesions --batch 100 --seconds 30

A loss landscape of ResNet-20 (Li et al. 2018, arXiv:1712.09913), every block of ResNet-110 deleted
alone (Veit et al. 2016, arXiv:1605.06431), and Hessian-vector products of ResNet-20.
"""

import functools
from collections.abc import Callable
from typing import Any, get_args

from jresnet.benchmark import work
from jresnet.benchmark.analyses_report import conclude
from jresnet.benchmark.work import Analysis
from jresnet.errors import UsageError
from jresnet.experiment import Conclude, Study
from jresnet.run.launch import launch

ANALYSES: tuple[Analysis, ...] = get_args(Analysis)


def benchmark_analyses(
    analyses: tuple[Analysis, ...] = ANALYSES,
    peers: bool = True,
    points: int = 25,
    images: int = 2000,
    products: int = 50,
    depth: int = 20,
    lesion_depth: int = 110,
    batch: int = 250,
    repeats: int = 3,
    seconds: float = 10.0,
) -> Study:
    """Images a second of this package's analyses and of torch loops, timed in turns within one run.

    The nets are those of He et al. 2015 for CIFAR-10 with fresh parameters, and the images are
    noise, since only speed is measured. Both contestants have the same weights, and the table has
    the difference of their results. A whole analysis takes more than ten minutes on a small CPU, so
    steps of it are timed on one batch of images: four points of the landscape, all lesions, or one
    product. The time of the whole follows from the rate. Nets compute in float32 (TF32 if a GPU's
    libraries use it by default). One device is timed. --smoke times two images a step and nets of 8
    layers, once.

    Args:
        analyses: some of landscape, lesions and products.
        peers: time loops in PyTorch too, if it is installed.
        points: points along each axis of the landscape's plane.
        images: images of the whole work.
        products: Hessian-vector products of the whole work.
        depth: layers of the net of landscape and products, 6n+2.
        lesion_depth: layers of the net whose blocks are deleted, 6n+2.
        batch: images a batch.
        repeats: timings of each contestant.
        seconds: approximate length of each timing, at least one step.
    """
    for name, value in (("depth", depth), ("lesion_depth", lesion_depth)):
        if value < 8 or value % 6 != 2:
            raise UsageError(f"{name}={value}: expected 6n+2, such as 20 or 110")

    def timed(depth: int, lesion_depth: int, batch: int, repeats: int, seconds: float) -> Conclude:
        works = {
            "landscape": functools.partial(work.landscape, depth, points, batch),
            "lesions": functools.partial(work.lesions, lesion_depth, batch),
            "products": functools.partial(work.products, depth, products, batch),
        }
        chosen: dict[Analysis, Callable[[Any], work.Work]] = {a: works[a] for a in analyses}
        return functools.partial(conclude, chosen, peers, images, batch, repeats, seconds)

    full = timed(depth, lesion_depth, batch, repeats, seconds)
    return Study({}, full, shortened=timed(8, 8, 2, 1, 1e-6))


if __name__ == "__main__":
    launch(benchmark_analyses)
