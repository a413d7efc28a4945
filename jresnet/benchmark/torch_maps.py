"""The peer of a U-Net in PyTorch; imported only where torch is installed."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from jresnet.benchmark.numbers import Layer, Numbers
from jresnet.benchmark.torch_nets import RANKS, TorchBlock, convolved


class TorchUNet(nn.Module):
    """Images `[batch, channels, *spatial]` to logits `[batch, classes, *spatial]`.

    Each level of the decoder doubles the sides, joins the encoder's map of that size if there is
    one, and has two convolutions. Sides must be divisible by the encoder's stride.

    Args:
        plain: the encoder's layers, and the number of classes.
        decoder: channels of the levels, the coarsest first.
        rank: number of spatial axes.
        channels: of the images.
    """

    def __init__(
        self, plain: Numbers, decoder: tuple[int, ...], rank: int, channels: int = 3
    ) -> None:
        super().__init__()
        conv, _, pool, _ = RANKS[rank]
        stem: list[nn.Module] = []
        width = channels
        for layer in plain.stem:
            stem += [*convolved(width, layer, rank), nn.ReLU(inplace=True)]
            width = layer.features
        self.stem = nn.Sequential(*stem)
        stages, joined = [[pool(3, 2, 1)]] if plain.pool else [[]], [width]
        for block in plain.blocks:
            if any(stride > 1 for stride in block.strides):
                joined.append(width)
                stages.append([])
            stages[-1].append(TorchBlock(block, width, rank))
            width = block.branch[-1].features
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        levels = []
        skips = [*joined[::-1], *[0] * (len(decoder) - len(joined))]
        for features, skip in zip(decoder, skips, strict=True):
            layers: list[nn.Module] = []
            for inputs in (width + skip, features):
                one = Layer(features, (3,) * rank, (1,) * rank)
                layers += [*convolved(inputs, one, rank), nn.ReLU(inplace=True)]
            levels.append(nn.Sequential(*layers))
            width = features
        self.levels = nn.ModuleList(levels)
        self.enlarge = nn.Upsample(scale_factor=2)
        self.classes = conv(width, plain.num_classes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        features = [x]
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        x = features.pop()
        for level in self.levels:
            x = self.enlarge(x)
            x = level(torch.cat([x, features.pop()], 1) if features else x)
        return self.classes(x)
