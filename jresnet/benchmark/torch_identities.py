"""ArcFace over a class matrix in PyTorch; imported only where it is installed."""

from collections.abc import Callable, Mapping

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from jresnet.benchmark.timing import Contestant
from jresnet.benchmark.torch_nets import device_name, kinds, memory_held, repeated

NAME = next(iter(kinds()))[0]
SCALE, MARGIN = 64.0, 0.5


def class_matrix(
    batch: Mapping[str, np.ndarray], classes: int, features: int, rate: float
) -> Contestant:
    """A step of one layer in the place of a net."""
    device, held = device_name(), memory_held()
    images = torch.tensor(batch["image"].reshape(len(batch["image"]), -1), device=device)
    layer = torch.nn.Linear(images.shape[1], features).to(device)
    step = arcface_step(layer, images.float() / 255, batch["label"], classes, features, rate)
    return repeated(step, held)


def arcface_step(
    net: torch.nn.Module,
    images: torch.Tensor,
    label: np.ndarray,
    classes: int,
    features: int,
    rate: float,
) -> Callable[[], None]:
    """A step over all classes: cosines, the margin for the true class, SGD with momentum."""
    device = images.device
    labels = torch.from_numpy(label.astype(np.int64)).to(device)
    matrix = torch.nn.Parameter(0.01 * torch.randn(classes, features, device=device))
    optimizer = torch.optim.SGD(
        [*net.parameters(), matrix], lr=rate, momentum=0.9, weight_decay=1e-4
    )
    rows = torch.arange(len(labels), device=device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            embeddings = net(images)
        embeddings = embeddings.float()
        cosines = functional.linear(functional.normalize(embeddings), functional.normalize(matrix))
        true = cosines[rows, labels].clamp(-1 + 1e-7, 1 - 1e-7)
        moved = torch.cos(torch.arccos(true) + MARGIN)
        logits = SCALE * cosines.index_put((rows, labels), moved)
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(logits, labels).backward()
        optimizer.step()

    return step
