"""The nets of `experiments.benchmark`, and the contestants that compute them."""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.benchmark import agents, convolutions, detectors, faces, identities, pictures
from jresnet.benchmark.beside import LIBRARIES, Beside, peer_module
from jresnet.benchmark.flax_nets import FlaxResNet
from jresnet.benchmark.jax_nets import fed, inference, synthetic, training
from jresnet.benchmark.numbers import numbers
from jresnet.benchmark.timing import MODES, OURS, Contestant, Mode
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.errors import UsageError
from jresnet.models import cpu, zoo
from jresnet.models.heads import Classifier
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.unet import CHANNELS
from jresnet.tasks.base import Batch
from jresnet.weights.fold import fold

Also = Literal["forms", "scans", "feeds"]


class Case(NamedTuple):
    """A net, the shape of its images, and the batch on a CPU and on an accelerator.

    `traffic` is the number of bytes that a training image moves through an accelerator's memory, at
    2 bytes a value, with elementwise work fused and BatchNorm's statistics in separate passes; None
    where it was not counted. ResNet-50 has 11.11 M outputs of convolutions, 10.51 M inputs of
    convolutions after the stem, and 5.52 M outputs of blocks: 61 M values forward and 118 M
    backward. `peers` says whether the peers can build the net. `decoder` has the channels of a
    U-Net's decoder, the coarsest level first, over the backbone; its peer is PyTorch's alone.
    `unit` and `modes` are as of `Beside`.
    """

    net: Callable[..., Classifier | Segmenter]
    image: tuple[int, ...]
    cpu_batch: int
    batch: int
    traffic: float | None = None
    peers: bool = True
    decoder: tuple[int, ...] = ()
    unit: str = "images"
    modes: tuple[Mode, ...] = MODES


CASES: dict[str, Case | Beside] = {
    "resnet50": Case(zoo.resnet50, (224, 224, 3), 16, 256, 358e6),
    "cifar_resnet20": Case(functools.partial(zoo.cifar_resnet, 20), (32, 32, 3), 128, 1024),
    "cifar_resnet110": Case(functools.partial(zoo.cifar_resnet, 110), (32, 32, 3), 128, 1024),
    "wide_resnet50_2": Case(zoo.wide_resnet50_2, (224, 224, 3), 8, 128),
    "resnext50_32x4d": Case(zoo.resnext50_32x4d, (224, 224, 3), 8, 128),
    "r3d_18": Case(zoo.r3d_18, (16, 112, 112, 3), 2, 32),
}
NETS = tuple(CASES)
# Deep nets, to measure the effect of scanned stages on compilation.
CASES |= {
    "resnet152": Case(zoo.resnet152, (224, 224, 3), 4, 128),
    "cifar_resnet1001": Case(
        functools.partial(zoo.cifar_resnet, 1001, preactivation=True),
        (32, 32, 3),
        8,
        128,
        peers=False,
    ),
}
# Nets that only the plan for accelerators times by default.
CASES |= {
    "resnet18": Case(zoo.resnet18, (224, 224, 3), 16, 256),
    "wrn28_10": Case(functools.partial(zoo.wrn, 28, 10), (32, 32, 3), 16, 512, peers=False),
}
# Clips through convolutions over space and over time in turn, which the peers' nets do not have.
CASES |= {"r2plus1d_18": Case(zoo.r2plus1d_18, (16, 112, 112, 3), 2, 32, peers=False)}
# A net that labels every pixel, of as many classes as PASCAL VOC has.
CASES |= {
    "unet_resnet18": Case(
        functools.partial(zoo.unet_resnet18, 21), (224, 224, 3), 4, 64, decoder=CHANNELS
    ),
}
# Detectors, and two of their operations by themselves.
CASES |= detectors.CASES
# Nets whose output is a picture.
CASES |= pictures.CASES
# Single convolutions, and DeepLabs, with either gradient by itself.
CASES |= convolutions.CASES
# Agents that play and learn.
CASES |= agents.CASES
# The class matrix of face recognition, and a net of faces.
CASES |= identities.CASES | faces.CASES
STAGES: dict[str, dict[str, Any]] = {
    "unrolled": {"scan": False},
    "scan": {"scan": True},
    "scan, remat activations": {"scan": True, "remat": "activations"},
    "scan, remat blocks": {"scan": True, "remat": "blocks"},
}


def contestants(
    case: Case | Beside,
    mode: Mode,
    size: int,
    peers: bool,
    also: tuple[Also, ...],
    accelerated: bool,
) -> Iterator[tuple[str, Contestant]]:
    """Contestants by name: jresnet first, then the peers that are installed.

    Args:
        case: the net, or what one peer has as well.
        mode: train or infer.
        size: images a step, or boxes.
        peers: whether peers take part.
        also: other ways of the train step of a net that take part.
        accelerated: whether to compute in bfloat16.
    """
    dtype = jnp.bfloat16 if accelerated else jnp.float32
    if isinstance(case, Beside):
        yield from case.contestants(mode, size, peer_module(case.peer) if peers else None, dtype)
        return
    net = case.net(dtype=dtype)
    batch = synthetic(case.image, size, net.num_classes, maps=bool(case.decoder))
    plain = numbers(net, len(case.image) - 1) if peers and case.peers else None
    models: dict[str, nn.Module] = {OURS: net}
    if plain and not case.decoder:
        models["flax"] = FlaxResNet(plain, dtype)
    for name, model in models.items():
        if mode == "train":
            yield name, training(model, batch)
            if name == OURS and cpu.takes("onednn"):
                with cpu.without("onednn"):
                    yield f"{OURS}, without onednn", training(model, batch)
            continue
        first = jnp.zeros((1, *case.image))
        variables = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), first)
        if name == OURS:
            yield name, inference(*fold(net, variables), batch)
            name = f"{OURS}, unfolded"
        yield name, inference(model, variables, batch)
    if mode == "train":
        for kind in also:
            for name, contestant in OTHERWISE[kind](case, net, size, batch):
                yield f"{OURS}, {name}", contestant
    if plain and (torch := torch_nets()):
        built = {"build": torch_unet(case.decoder)} if case.decoder else {}
        for name, through_compiler in torch.kinds():
            yield (
                name,
                torch.contestant(
                    plain, case.image, size, mode == "train", through_compiler, **built
                ),
            )


def by_forms(
    case: Case, net: Classifier | Segmenter, size: int, batch: Batch
) -> Iterator[tuple[str, Contestant]]:
    """Training without each of the forms for CPUs (`jresnet.models.cpu`), and without any.

    The row without oneDNN is one of `contestants`.
    """
    del case, size
    for form in cpu.FORMS[: cpu.FORMS.index("onednn")]:
        with cpu.without(form):
            yield f"without {form}", training(net, batch)
    with cpu.without():
        yield "plain forms", training(net, batch)


def by_scans(
    case: Case, net: Classifier | Segmenter, size: int, batch: Batch
) -> Iterator[tuple[str, Contestant]]:
    """Training with stages unrolled, scanned and rematerialised, but not as the net has them."""
    del size
    for name, how in STAGES.items():
        if how != {"scan": net.backbone.scan}:
            yield name, training(case.net(dtype=net.backbone.dtype, **how), batch)


def by_feeds(
    case: Case, net: Classifier | Segmenter, size: int, batch: Batch
) -> Iterator[tuple[str, Contestant]]:
    """Training with other batches in each step, of a set of 2,048 images or more.

    They come from the host, or from a set that lies on the device.
    """
    del batch
    if case.decoder:
        raise UsageError("also=feeds: expected nets of classes, these batches have no label maps")
    many = Synthetic(cast(Any, case.image), net.num_classes, max(2048, 4 * size), size)
    for on_device, name in ((False, "from the host"), (True, "set on the device")):
        data = ImageData(many, size, eval_batch_size=size, on_device=on_device)
        yield name, fed(net, data)


OTHERWISE = {"forms": by_forms, "scans": by_scans, "feeds": by_feeds}


def torch_nets() -> Any:
    """The module of PyTorch's nets, None without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return None
    return importlib.import_module("jresnet.benchmark.torch_nets")


def torch_unet(decoder: tuple[int, ...]) -> Callable[..., Any]:
    """From an encoder's layers, rank and channels to PyTorch's U-Net; for where PyTorch is."""
    maps = importlib.import_module("jresnet.benchmark.torch_maps")
    return lambda plain, rank, channels: maps.TorchUNet(plain, decoder, rank, channels)


def left_out(nets: Sequence[str]) -> str:
    """A sentence on each library whose rows are left out because it is not installed."""
    chosen = [CASES[name] for name in nets]
    missing = ""
    if any(isinstance(case, Case) for case in chosen) and torch_nets() is None:
        missing += " PyTorch is not installed: no rows of it."
    for peer, library in LIBRARIES.items():
        wanted = any(isinstance(case, Beside) and case.peer == peer for case in chosen)
        if wanted and peer_module(peer) is None and library not in missing:
            missing += f" {library} cannot be imported: no rows of it."
    return missing
