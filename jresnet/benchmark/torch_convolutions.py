"""Convolutions and DeepLabv3 in PyTorch; imported only where torchvision is installed."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]
from torchvision.models import resnet50  # pyright: ignore[reportMissingImports]
from torchvision.models._utils import (  # pyright: ignore[reportMissingImports]
    IntermediateLayerGetter,
)
from torchvision.models.segmentation.deeplabv3 import (  # pyright: ignore[reportMissingImports]
    DeepLabHead,
    DeepLabV3,
)

from jresnet.benchmark.timing import Contestant
from jresnet.benchmark.torch_nets import device_name, kinds, memory_held, repeated

NAME = next(iter(kinds()))[0]
CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d}


def convolution(
    kind: Any, wanted: str, x: np.ndarray, kernel: np.ndarray, shares: np.ndarray
) -> Contestant:
    """The convolution `kind` in channels last, or one of its gradients."""
    held = memory_held()
    return repeated(convolution_step(kind, wanted, x, kernel, shares), held)


def convolution_step(
    kind: Any, wanted: str, x: np.ndarray, kernel: np.ndarray, shares: np.ndarray
) -> Callable[[], Any]:
    """A step of the same: returns the values, or a tuple of the gradient.

    Args:
        kind: a `jresnet.benchmark.convolutions.Convolution`.
        wanted: forward, or the gradient for the input or the weight.
        x: `[batch, *spatial, channels]`.
        kernel: `[*spatial, in / groups, out]`.
        shares: factors of the results in the sum whose gradient it is.
    """
    images, factors = (placed(first(array)) for array in (x, shares))
    weight = placed(np.moveaxis(kernel, (-1, -2), (0, 1)))
    apply = CONVOLUTIONS[kind.rank]

    def forward() -> torch.Tensor:
        numbers = (kind.stride, kind.padding, kind.dilation, kind.groups)
        return apply(images, weight, None, *numbers)

    leaves = {"input": [images], "weight": [weight]}.get(wanted, [])
    return step(forward, leaves, factors)


def deeplab(
    state: Mapping[str, np.ndarray],
    output_stride: int,
    wanted: str,
    images: np.ndarray,
    shares: np.ndarray,
) -> Contestant:
    """torchvision's DeepLabv3 on ResNet-50 in evaluation, or one of its gradients.

    Args:
        state: the weights in torchvision's names.
        output_stride: 8, as torchvision has it, or 16.
        wanted: forward, or the gradient for the images or the weights.
        images: `[batch, side, side, 3]`.
        shares: factors of the logits in the sum whose gradient it is.
    """
    held = memory_held()
    coarse = output_stride == 16
    body = resnet50(weights=None, replace_stride_with_dilation=[False, not coarse, True])
    rates = [6, 12, 18] if coarse else [12, 24, 36]
    classes = shares.shape[-1]
    backbone = IntermediateLayerGetter(body, {"layer4": "out"})
    net: Any = DeepLabV3(backbone, DeepLabHead(2048, classes, rates))
    net.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    net = net.to(device_name(), memory_format=torch.channels_last).eval()
    pictures, factors = (placed(first(array)) for array in (images, shares))
    leaves = {"input": [pictures], "weight": list(net.parameters())}.get(wanted, [])
    return repeated(step(lambda: net(pictures)["out"], leaves, factors), held)


def step(
    forward: Callable[[], torch.Tensor], leaves: list[torch.Tensor], factors: torch.Tensor
) -> Callable[[], object]:
    """The values of `forward`, or with `leaves` the gradients for these; bf16 on a GPU."""
    for leaf in leaves:
        leaf.requires_grad_(True)
    device = device_name()
    torch.backends.cudnn.benchmark = True  # XLA chooses its kernels by trying too

    def run() -> object:
        with (
            torch.set_grad_enabled(bool(leaves)),
            torch.autocast(device, torch.bfloat16, enabled=device == "cuda"),
        ):
            values = forward()
            return torch.autograd.grad((values * factors).sum(), leaves) if leaves else values

    return run


def first(array: np.ndarray) -> np.ndarray:
    """`[batch, *spatial, channels]` to `[batch, channels, *spatial]`."""
    return np.moveaxis(array, -1, 1)


def placed(array: np.ndarray) -> torch.Tensor:
    """The array on the device that is timed, in channels last where it has two spatial axes."""
    tensor = torch.tensor(np.ascontiguousarray(array), device=device_name())
    return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
