"""How fast: train steps and inference beside the peers that are installed, in one run.

    python -m experiments.benchmark
    python -m experiments.benchmark --nets resnet50 cifar_resnet20 --repeats 9

Nets of He et al. 2015 (arXiv:1512.03385), Zagoruyko & Komodakis 2016, Xie et al. 2016 and Tran et
al. 2018. The peers are the same nets as one writes them in Flax (in the manner of its ImageNet
example) and in PyTorch (channels last, `torch.compile` too where there is a GPU), if it is there.
"""

import functools

from jresnet.benchmark.cases import CASES, NETS, Also, Mode
from jresnet.benchmark.nets_report import conclude
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.run.launch import launch


def benchmark(
    nets: tuple[str, ...] = NETS,
    modes: tuple[Mode, ...] = ("train", "infer"),
    peers: bool = True,
    also: tuple[Also, ...] = (),
    repeats: int = 5,
    seconds: float = 3.0,
    batch: int | None = None,
) -> Study:
    """Images a second of this package and of its peers, timed in turns within one run.

    Training is a whole step: forward, backward, SGD with momentum and weight decay, BatchNorm's
    statistics; images lie on the device, uint8 for jresnet and its Flax peer. Inference has
    BatchNorm folded into the convolutions for jresnet (`jresnet.weights.fold`) and, in a row of its
    own, not. float32 on a CPU; on an accelerator bf16 with float32 parameters, for torch autocast.
    One device is timed; with --smoke two images a step, once, for as few steps as can be.

    Args:
        nets: which of resnet50, cifar_resnet20, cifar_resnet110, wide_resnet50_2, resnext50_32x4d,
            r3d_18, resnet152 and cifar_resnet1001.
        modes: train, infer or both.
        peers: time them too; torch only where it is installed.
        also: time the train step otherwise, too. forms: without each of the forms for CPUs
            (`jresnet.models.cpu`); scans: with scanned stages, and either rematerialisation; feeds:
            with other batches in each step, that come from the host or of a set on the device.
        repeats: how often each is timed.
        seconds: for how long each time.
        batch: images a step; by default of each net its own.
    """
    if strange := [name for name in nets if name not in CASES]:
        raise UsageError(f"nets={' '.join(strange)}: expected some of {', '.join(CASES)}")
    timed = functools.partial(conclude, nets, modes, peers, also)
    return Study(
        {},
        functools.partial(timed, repeats, seconds, batch),
        shortened=functools.partial(timed, 1, 1e-6, 2),
    )


if __name__ == "__main__":
    launch(benchmark)
