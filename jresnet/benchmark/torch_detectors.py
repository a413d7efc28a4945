"""The peers in torchvision: detector, suppression, RoIAlign; imported only where it is installed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torchvision  # pyright: ignore[reportMissingImports]
from torchvision.models.detection import FasterRCNN  # pyright: ignore[reportMissingImports]
from torchvision.models.detection.backbone_utils import (  # pyright: ignore[reportMissingImports]
    resnet_fpn_backbone,
)

from jresnet.benchmark.timing import Contestant, Mode
from jresnet.benchmark.torch_nets import device_name, memory_held, repeated

NAME = f"torchvision {torchvision.__version__.split('+')[0]}"


def detector(
    state: Mapping[str, np.ndarray], batch: Mapping[str, np.ndarray], mode: Mode, rate: float
) -> Contestant:
    """Faster R-CNN on ResNet-18 with weights in torchvision's names, in channels last.

    A step is one of SGD with momentum at `rate`, or the detections of the images. Images are
    floats in [0, 1] to begin with; `batch` is that of jresnet, with classes from 0.
    """
    device, held = device_name(), memory_held()
    side = batch["image"].shape[1]
    body = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
    classes = len(state["roi_heads.box_predictor.cls_score.weight"])
    net = FasterRCNN(body, classes, min_size=side, max_size=side)
    net.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    net = net.to(device, memory_format=torch.channels_last).train(mode == "train")
    images = torch.tensor(batch["image"], device=device).permute(0, 3, 1, 2) / 255
    pictures = list(images)
    targets = [
        {
            "boxes": torch.tensor(boxes, device=device),
            "labels": torch.tensor(kinds, device=device).long() + 1,
        }
        for boxes, kinds in zip(batch["boxes"], batch["class"], strict=True)
    ]
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, rate, 0.9, weight_decay=1e-4)

    def forward(*arguments: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return net(*arguments)

    def train_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(forward(pictures, targets).values())).sum().backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            forward(pictures)

    return repeated(train_step if mode == "train" else infer, held)


def suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> Contestant:
    """`torchvision.ops.nms` of boxes `[count, 4]`."""
    device, held = device_name(), memory_held()
    arrays = [torch.tensor(array, device=device) for array in (boxes, scores)]
    return repeated(lambda: torchvision.ops.nms(*arrays, threshold), held)


def alignment(
    feature: np.ndarray,
    boxes: np.ndarray,
    shares: np.ndarray,
    stride: int,
    sampling: int,
    mode: Mode,
) -> Contestant:
    """`torchvision.ops.roi_align`, in training with the gradient of a weighted sum of its bins.

    Args:
        feature: `[rows, columns, channels]`.
        boxes: `[count, 4]` in pixels of the image.
        shares: the weights of the sum, `[count, bins, bins, channels]`.
        stride: of the map in pixels.
        sampling: samples along a side of a bin.
        mode: train or infer.
    """
    device, held = device_name(), memory_held()
    train = mode == "train"
    bins = shares.shape[1]
    maps = torch.tensor(feature.transpose(2, 0, 1)[None].copy(), device=device, requires_grad=train)
    regions = [torch.tensor(boxes, device=device)]
    factors = torch.tensor(shares.transpose(0, 3, 1, 2).copy(), device=device)

    def pool() -> torch.Tensor:
        return torchvision.ops.roi_align(maps, regions, bins, 1 / stride, sampling)

    def train_step() -> None:
        maps.grad = None
        (pool() * factors).sum().backward()

    return repeated(train_step if train else pool, held)
