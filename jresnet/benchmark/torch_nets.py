"""The peer in PyTorch, channels last; imported only where torch is installed."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from jresnet.benchmark.numbers import BlockNumbers, Layer, Numbers
from jresnet.benchmark.timing import Contestant

RANKS = {
    2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, torch.channels_last),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, torch.channels_last_3d),
}


class TorchBlock(nn.Module):
    """A post-activation block; when it is `deleted`, only its shortcut is left."""

    deleted = False

    def __init__(self, block: BlockNumbers, width: int, rank: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = width
        for number, layer in enumerate(block.branch, 1):
            layers += convolved(inner, layer, rank)
            inner = layer.features
            if number < len(block.branch):
                layers.append(nn.ReLU(inplace=True))
        self.branch = nn.Sequential(*layers)
        projection = block.projection
        self.projection = projection and nn.Sequential(*convolved(width, projection, rank))
        self.block, self.added = block, inner - width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = None if self.deleted else self.branch(x)
        if self.projection is not None:
            x = self.projection(x)
        elif self.block.pads:
            x = x[(slice(None), slice(None), *(slice(None, None, s) for s in self.block.strides))]
            side = self.added // 2
            x = nn.functional.pad(x, (0, 0) * (x.ndim - 2) + (side, self.added - side))
        return torch.relu(x if y is None else x + y)


def convolved(inputs: int, layer: Layer, rank: int) -> list[nn.Module]:
    """A convolution and its norm."""
    conv, norm, *_ = RANKS[rank]
    padding = tuple(k // 2 for k in layer.kernel)
    kernel: Any = layer.kernel
    strides: Any = layer.strides
    return [
        conv(inputs, layer.features, kernel, strides, padding, groups=layer.groups, bias=False),
        norm(layer.features),
    ]


def torch_resnet(plain: Numbers, rank: int, channels: int = 3) -> nn.Module:
    """Images `[batch, channels, *spatial]` to logits."""
    layers: list[nn.Module] = []
    width = channels
    for layer in plain.stem:
        layers += [*convolved(width, layer, rank), nn.ReLU(inplace=True)]
        width = layer.features
    if plain.pool:
        layers.append(RANKS[rank][2](3, 2, 1))
    for block in plain.blocks:
        layers.append(TorchBlock(block, width, rank))
        width = block.branch[-1].features
    pool = nn.AdaptiveAvgPool2d(1) if rank == 2 else nn.AdaptiveAvgPool3d(1)
    return nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(width, plain.num_classes))


def contestant(
    plain: Numbers,
    image: tuple[int, ...],
    batch: int,
    train: bool,
    compiled: bool,
    build: Callable[[Numbers, int, int], nn.Module] = torch_resnet,
) -> Contestant:
    """The net in training (SGD with momentum) or in evaluation.

    It computes in float32 on a CPU, with bf16 autocast on a GPU.

    Args:
        plain: the net's layers.
        image: `[*spatial, channels]`.
        batch: images a step.
        train: training or evaluation.
        compiled: whether by `torch.compile`.
        build: from layers, rank and channels to a net whose logits are `[batch, classes]`, or
            `[batch, classes, *spatial]` for a class a pixel.
    """
    device = device_name()
    *spatial, channels = image
    rank = len(spatial)
    layout: Any = RANKS[rank][3]
    torch.backends.cudnn.benchmark = True  # XLA chooses its kernels by trying too
    held = memory_held()
    net = build(plain, rank, channels).to(device, memory_format=layout).train(train)
    images = torch.randn(batch, channels, *spatial, device=device).to(memory_format=layout)
    places = () if build is torch_resnet else tuple(spatial)
    labels = torch.randint(plain.num_classes, (batch, *places), device=device)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4)

    def forward() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return run(images)

    def train_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(forward().float(), labels).backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            forward()

    run: Callable[..., Any] = torch.compile(net) if compiled else net
    return repeated(train_step if train else infer, held)


def device_name() -> str:
    """The device that PyTorch is timed on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def memory_held() -> int:
    """Bytes that PyTorch holds on a GPU; 0 without one."""
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def repeated(step: Callable[[], object], held: int) -> Contestant:
    """A step as a contestant; `held` bytes of the GPU's memory were there before."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()

    def steps(count: int) -> None:
        for _ in itertools.repeat(None, count):
            step()
        if on_gpu:
            torch.cuda.synchronize()

    begun = time.perf_counter()
    try:
        steps(1)
    except RuntimeError:  # its memory ended: `able` meets that again, and tells
        return Contestant(steps, 0.0, None)
    seconds = time.perf_counter() - begun
    steps(1)
    peak = torch.cuda.max_memory_allocated() - held if on_gpu else None
    return Contestant(steps, seconds, peak)


def kinds() -> Iterator[tuple[str, bool]]:
    """Names, and whether by `torch.compile`: eager everywhere, compiled if there is a GPU."""
    yield f"torch {torch.__version__.split('+')[0]}", False
    if torch.cuda.is_available():
        yield "torch.compile", True
