"""Nets whose output is a picture in PyTorch; imported only where it is installed.

Layers are named as in the checkpoints of BasicSR and of pytorch/examples.
"""

from collections.abc import Mapping

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from jresnet.benchmark.timing import Contestant, Mode
from jresnet.benchmark.torch_nets import device_name, kinds, memory_held, repeated

NAME = next(iter(kinds()))[0]


class Branch(nn.Module):
    """Two convolutions with ReLU between them, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(torch.relu(self.conv1(x)))


class MSRResNet(nn.Module):
    """x4, 16 blocks of 64 channels, the bilinearly enlarged picture added."""

    def __init__(self, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, width, 3, 1, 1)
        self.body = nn.Sequential(*(Branch(width) for _ in range(blocks)))
        self.upconv1 = nn.Conv2d(width, 4 * width, 3, 1, 1)
        self.upconv2 = nn.Conv2d(width, 4 * width, 3, 1, 1)
        self.conv_hr = nn.Conv2d(width, width, 3, 1, 1)
        self.conv_last = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        act = nn.functional.leaky_relu
        y = self.body(act(self.conv_first(x), 0.1))
        for conv in (self.upconv1, self.upconv2):
            y = act(nn.functional.pixel_shuffle(conv(y), 2), 0.1)
        y = self.conv_last(act(self.conv_hr(y), 0.1))
        return y + nn.functional.interpolate(x, scale_factor=4, mode="bilinear")


class Mirrored(nn.Module):
    """A convolution with mirrored borders."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2d(self.reflection_pad(x))


class Residual(nn.Module):
    """Two convolutions with instance norms, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Mirrored(width, width, 3), Mirrored(width, width, 3)
        self.in1, self.in2 = (nn.InstanceNorm2d(width, affine=True) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.in2(self.conv2(torch.relu(self.in1(self.conv1(x)))))


class Johnson(nn.Module):
    """fast_neural_style's net, on pixels from 0 to 255; here in and out in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128)
        down = zip(widths[:-1], widths[1:], (9, 3, 3), (1, 2, 2), strict=True)
        for number, (inputs, outputs, kernel, stride) in enumerate(down, 1):
            setattr(self, f"conv{number}", Mirrored(inputs, outputs, kernel, stride))
            setattr(self, f"in{number}", nn.InstanceNorm2d(outputs, affine=True))
        for number in range(1, 6):
            setattr(self, f"res{number}", Residual(128))
        for number, (inputs, outputs) in enumerate(((128, 64), (64, 32)), 1):
            setattr(self, f"deconv{number}", Mirrored(inputs, outputs, 3))
            setattr(self, f"in{number + 3}", nn.InstanceNorm2d(outputs, affine=True))
        self.deconv3 = Mirrored(32, 3, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = 255 * x
        for number in range(1, 4):
            y = torch.relu(getattr(self, f"in{number}")(getattr(self, f"conv{number}")(y)))
        for number in range(1, 6):
            y = getattr(self, f"res{number}")(y)
        for number in (1, 2):
            y = getattr(self, f"deconv{number}")(nn.functional.interpolate(y, scale_factor=2))
            y = torch.relu(getattr(self, f"in{number + 3}")(y))
        return self.deconv3(y) / 255


NETS = {net.__name__: net for net in (MSRResNet, Johnson)}


def loaded(name: str, state: Mapping[str, np.ndarray]) -> nn.Module:
    """A net by its class, with weights in the checkpoint's names."""
    net = NETS[name]()
    net.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    return net


def picture_net(
    name: str,
    state: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    mode: Mode,
    rate: float,
) -> Contestant:
    """A step of SGD with momentum on the mean absolute difference, or the results.

    Args:
        name: the class of the net.
        state: its weights.
        arrays: `image` and `truth`, float32 `[batch, H, W, 3]`.
        mode: train or infer.
        rate: the learning rate.
    """
    device, held = device_name(), memory_held()
    net = loaded(name, state).to(device, memory_format=torch.channels_last).train(mode == "train")
    images, truth = (
        torch.tensor(arrays[key], device=device).permute(0, 3, 1, 2) for key in ("image", "truth")
    )
    optimizer = torch.optim.SGD(net.parameters(), rate, 0.9, weight_decay=1e-4)

    def forward() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return net(images)

    def train_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        (forward().float() - truth).abs().mean().backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            forward()

    return repeated(train_step if mode == "train" else infer, held)
