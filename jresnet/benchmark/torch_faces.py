"""IResNets in PyTorch; imported only where it is installed. Layers are named as by insightface."""

from collections.abc import Mapping

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from jresnet.benchmark.timing import Contestant, Mode
from jresnet.benchmark.torch_identities import arcface_step
from jresnet.benchmark.torch_nets import device_name, kinds, memory_held, repeated

NAME = next(iter(kinds()))[0]
WIDTHS = (64, 128, 256, 512)
EPSILON = 1e-5


class Block(nn.Module):
    """BN-conv-BN-PReLU-conv-BN, added to the input or to its projection."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs, EPSILON)
        self.conv1 = nn.Conv2d(inputs, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, EPSILON)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width, EPSILON)
        self.downsample = None
        if stride > 1:
            projection = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(width, EPSILON))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """`[batch, 3, 112, 112]` to embeddings `[batch, 512]`."""

    def __init__(self, depths: tuple[int, ...], side: int = 112, features: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1, self.prelu = nn.BatchNorm2d(WIDTHS[0], EPSILON), nn.PReLU(WIDTHS[0])
        inputs = WIDTHS[0]
        for number, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True), 1):
            blocks = [Block(inputs, width, 2), *(Block(width, width, 1) for _ in range(depth - 1))]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = width
        self.bn2 = nn.BatchNorm2d(inputs, EPSILON)
        self.fc = nn.Linear(inputs * (side // 16) ** 2, features)
        self.features = nn.BatchNorm1d(features, EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return self.features(self.fc(torch.flatten(self.bn2(x), 1)))


def face_net(
    depths: tuple[int, ...],
    state: Mapping[str, np.ndarray],
    images: np.ndarray,
    label: np.ndarray,
    mode: Mode,
    people: int,
    rate: float,
) -> Contestant:
    """A step with ArcFace over all people, or embeddings.

    Args:
        depths: blocks of each stage.
        state: weights by insightface's names.
        images: float32 `[batch, H, W, 3]` in [-1, 1].
        label: int `[batch]`.
        mode: train or infer.
        people: rows of the class matrix.
        rate: the learning rate.
    """
    device, held = device_name(), memory_held()
    net = IResNet(depths, images.shape[1])
    net.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    net = net.to(device, memory_format=torch.channels_last).train(mode == "train")
    pixels = torch.tensor(images, device=device).permute(0, 3, 1, 2)

    def infer() -> None:
        with (
            torch.inference_mode(),
            torch.autocast(device, torch.bfloat16, enabled=device == "cuda"),
        ):
            net(pixels)

    if mode == "infer":
        return repeated(infer, held)
    step = arcface_step(net, pixels, label, people, net.fc.out_features, rate)
    return repeated(step, held)
