"""The same analyses as straightforward loops in PyTorch; imported only if torch is installed.

They compute in float32, channels last, in evaluation mode, one point or lesion after the other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from jresnet.analysis.landscape import Params, kernels
from jresnet.analysis.lesion import Order
from jresnet.benchmark.analyses import Run
from jresnet.benchmark.numbers import numbers
from jresnet.benchmark.torch_nets import TorchBlock, torch_resnet
from jresnet.models.heads import Classifier
from jresnet.tasks.base import Batch, Variables
from jresnet.weights.convert import to_torch
from jresnet.weights.layouts import Path, layout_of

NAME = f"torch {torch.__version__.split('+')[0]}"


class Peer:
    """The net of `model` with its weights, and a batch, on the GPU if there is one.

    `model` has no projections; both nets then have the same layers in the same order.
    """

    def __init__(self, model: Classifier, variables: Variables, batch: Batch) -> None:
        torch.backends.cudnn.benchmark = True  # XLA chooses its kernels by trying too
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model, self.variables = model, variables
        self.net = torch_resnet(numbers(model, 2), 2).eval()
        self.net.load_state_dict(self.named(variables), strict=False)
        self.net.to(self.device, memory_format=torch.channels_last)
        images = torch.tensor(np.asarray(batch["image"])).movedim(-1, 1)
        self.images = images.to(self.device, memory_format=torch.channels_last)
        self.labels = torch.tensor(np.asarray(batch["label"]), device=self.device).long()

    def named(self, variables: Variables) -> dict[str, torch.Tensor]:
        """Our parameters or statistics under the names of the peer."""
        values, layout = to_torch(variables, self.model), layout_of(self.model)
        kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
        layers = [(name, at) for name, at in self.net.named_modules() if isinstance(at, kinds)]
        renamed = {}
        for path, (name, layer) in zip(paths(self.model), layers, strict=True):
            for leaf in layer.state_dict():
                theirs = f"{layout.owner(path)}.{leaf}"
                if theirs in values:
                    renamed[f"{name}.{leaf}"] = torch.tensor(values[theirs]).to(self.device)
        return renamed

    def sums(self) -> torch.Tensor:
        """Loss and errors, summed over the batch."""
        logits = self.net(self.images)
        loss = nn.functional.cross_entropy(logits, self.labels, reduction="sum")
        return torch.stack([loss, (logits.argmax(1) != self.labels).sum()])


def paths(model: Classifier) -> Iterator[Path]:
    """Layers with parameters in the order of their use."""
    yield from (("backbone", "stem", layer) for layer in ("conv", "norm"))
    for stage, depth in enumerate(model.backbone.depths, 1):
        for block in range(1, depth + 1):
            for layer in ("conv1", "norm1", "conv2", "norm2"):
                yield "backbone", f"stage{stage}", f"block{block}", layer
    yield ("head",)


def landscape(
    model: Classifier,
    variables: Variables,
    directions: Sequence[Params],
    points: np.ndarray,
    batch: Batch,
) -> Run:
    """Loss and error `[points, 2]` at points of a plane."""
    peer = Peer(model, variables, batch)
    start = {name: value.clone() for name, value in peer.net.named_parameters()}
    ways = [peer.named({"params": direction}) for direction in directions]

    @torch.no_grad()
    def run(count: int) -> np.ndarray:
        values = []
        for point in points.tolist():
            for name, value in peer.net.named_parameters():
                moves = [at * way[name] for at, way in zip(point, ways, strict=True)]
                value.copy_(start[name] + sum(moves))
            values.append(sum(peer.sums() for _ in range(count)))
        return torch.stack(values).cpu().numpy() / (count * len(peer.labels))

    return run


def lesions(model: Classifier, variables: Variables, orders: Sequence[Order], batch: Batch) -> Run:
    """Loss and error `[orders, 2]` of the net with blocks deleted."""
    peer = Peer(model, variables, batch)
    blocks = [layer for layer in peer.net if isinstance(layer, TorchBlock)]

    @torch.no_grad()
    def run(count: int) -> np.ndarray:
        values = []
        for order in orders:
            for block, step in zip(blocks, order, strict=True):
                block.deleted = not step.kept
            values.append(sum(peer.sums() for _ in range(count)))
        return torch.stack(values).cpu().numpy() / (count * len(peer.labels))

    return run


def product(model: Classifier, variables: Variables, vector: np.ndarray, batch: Batch) -> Run:
    """The Hessian of the mean loss with respect to the kernels times a vector `[dim]`.

    By reverse-mode differentiation of the gradient.
    """
    peer = Peer(model, variables, batch)
    _, whole = kernels(variables["params"])
    # The place in our vector of each entry of torch's kernels.
    entries = peer.named({"params": whole(jnp.arange(len(vector), dtype=jnp.float32))})
    moving = {name: value for name, value in peer.net.named_parameters() if value.ndim > 1}
    places = [entries[name].long().cpu().numpy() for name in moving]
    vectors = [torch.tensor(vector[at], device=peer.device) for at in places]
    weights: Any = tuple(moving.values())

    def run(count: int) -> np.ndarray:
        total = [torch.zeros_like(weight) for weight in weights]
        for _ in range(count):
            slope = torch.autograd.grad(peer.sums()[0], weights, create_graph=True)
            curved = torch.autograd.grad(slope, weights, vectors)
            total = [before + new for before, new in zip(total, curved, strict=True)]
        flat = np.zeros_like(vector)
        for at, value in zip(places, total, strict=True):
            flat[at] = value.cpu().numpy() / (count * len(peer.labels))
        return flat

    return run
