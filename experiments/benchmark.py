"""Speed of train steps and inference, compared with the installed peers in one run.

    python -m experiments.benchmark
    python -m experiments.benchmark --nets resnet50 cifar_resnet20 --repeats 9
    python -m experiments.benchmark --plan accelerator

Nets of He et al. 2015 (arXiv:1512.03385), Zagoruyko & Komodakis 2016, Xie et al. 2016 and Tran et
al. 2018. The peers are the same nets in Flax, written as its ImageNet example, and in PyTorch, if
it is installed (channels last; also with `torch.compile` if there is a GPU). Detection is timed
beside torchvision's own code, if that is installed.
"""

import functools
import os

from jresnet.benchmark import plan as plans
from jresnet.benchmark.beside import Beside
from jresnet.benchmark.cases import CASES, NETS, Also, Mode
from jresnet.benchmark.nets_report import conclude
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.run.arguments import DataDir, DatasetName
from jresnet.run.launch import launch


def benchmark(
    nets: tuple[str, ...] = NETS,
    modes: tuple[Mode, ...] = ("train", "infer"),
    peers: bool = True,
    also: tuple[Also, ...] = (),
    repeats: int = 5,
    seconds: float = 3.0,
    batch: int | None = None,
    plan: plans.Name | None = None,
    minutes: float = 9.0,
    dataset: DatasetName = "cifar10",
    data_dir: DataDir = None,
) -> Study:
    """Images a second of this package and of its peers, timed in turns within one run.

    Training is a whole step: forward, backward, SGD with momentum and weight decay, BatchNorm's
    statistics; images lie on the device, uint8 for jresnet and its Flax peer. For inference jresnet
    folds BatchNorm into the convolutions (`jresnet.weights.fold`); a further row is without
    folding. Nets compute in float32 on a CPU, and on an accelerator in bf16 with float32 parameters
    (torch: autocast). One device is timed. --smoke times two images a step, once, for the fewest
    steps.

    Beside torchvision: faster_rcnn_resnet18, images of 320 x 320 with the same weights in both and
    torchvision's numbers of proposals, norms frozen; nms, suppression of boxes at an IoU of 0.7;
    roi_align, boxes on one map of 80 x 80 x 256, with the map's gradient in training. Rates of the
    last two are of boxes. Beside PyTorch: msrresnet_x4, pictures of 48 x 48, and johnson, of 256 x
    256, with the same weights in both, trained on the mean absolute difference.

    Beside PyTorch too: conv, strided, dilated2, dilated4, dilated12, grouped and line, single
    convolutions of the shapes of ResNet-50, DeepLabv3, ResNeXt-50 and a net for heartbeats, and
    deeplab8 and deeplab16, DeepLabv3 on ResNet-50 by its output stride, images of 513 x 513. Each
    has a net for the values and one for either gradient: conv_forward, conv_input, conv_weight. So
    have the layers of ResNet-20 (cifar_stem, cifar16, cifar16to32, ...) and ResNet-50 (stem, conv28,
    strided28, pointwise28_512to128, ...). With JRESNET_ONEDNN=1 a further row is without oneDNN.

    people_1e5 and people_1e6 are a step of ArcFace's class matrix of so many people, 512 numbers each,
    behind a net of one layer: all classes, and a tenth of them in each step (Partial FC), beside
    PyTorch with all. The memory of the last is 10 GB.

    `plan` measures what an accelerator is wanted for: nets at three batch sizes, CIFAR-10 to 94 %
    (`experiments.fast_cifar10`), ResNet-1001, DeepLabs, convolutions, detection, pictures, faces,
    an agent, the analyses of `experiments.benchmark_analyses` with a landscape of 51 x 51 points,
    and the input of images, boxes, label maps and clips (`python -m jresnet input`). Each part has
    its own folder; plan.md has all tables in one. The same command goes on where the time ended. A
    part that fails, for want of memory say, has a line that tells why, and the others go on; so
    does the training where `dataset` is not there.

    Args:
        nets: some of resnet18, resnet50, cifar_resnet20, cifar_resnet110, wide_resnet50_2, resnext50_32x4d,
            r3d_18, r2plus1d_18, resnet152, cifar_resnet1001, unet_resnet18, which labels every pixel,
            wrn28_10, faster_rcnn_resnet18, nms, roi_align, msrresnet_x4, johnson, iresnet18,
            iresnet50, people_1e5, people_1e6, ppo_breakout, ppo_rooms, and those of single
            convolutions and DeepLabs.
        modes: train, infer or both.
        peers: time the peers too; torch only if it is installed.
        also: time the train step in other ways, too. forms: without each of the forms for CPUs
            (`jresnet.models.cpu`); scans: with scanned stages, and with either rematerialisation;
            feeds: with other batches in each step, from the host or from a set on the device.
        repeats: timings of each contestant.
        seconds: length of each timing.
        batch: images a step, or boxes; by default each net has its own.
        plan: all parts of a plan, in place of nets, modes, also and batch.
        minutes: no part of the plan begins after so many.
    """
    if plan:
        if (nets, modes, also, batch) != (NETS, ("train", "infer"), (), None):
            raise UsageError(f"plan={plan}: expected none of nets, modes, also and batch with it")
        return plans.study(plan, peers, repeats, seconds, minutes, dataset, data_dir)
    if (dataset, data_dir) != ("cifar10", None):
        raise UsageError(f"dataset={dataset}, data_dir={data_dir}: expected them with a plan alone")
    if strange := [name for name in nets if name not in CASES]:
        raise UsageError(f"nets={' '.join(strange)}: expected some of {', '.join(CASES)}")
    operations = [name for name in nets if isinstance(CASES[name], Beside)]
    if also and operations:
        raise UsageError(f"also={' '.join(also)}: expected none with {' '.join(operations)}")
    if unlike := [name for name in nets if not set(modes) & set(CASES[name].modes)]:
        name = unlike[0]
        raise UsageError(
            f"modes={' '.join(modes)}: expected {' '.join(CASES[name].modes)} of {name}"
        )
    timed = functools.partial(conclude, nets, modes, peers, also)
    return Study(
        {},
        functools.partial(timed, repeats, seconds, batch),
        shortened=functools.partial(timed, 1, 1e-6, 2),
    )


if __name__ == "__main__":
    # PyTorch takes its turns on the same device: jax must not reserve most of it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    launch(benchmark)
