"""Cases of the benchmark that one peer has as well: who computes them, and whether it is there."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jresnet.benchmark.timing import MODES, Contestant, Mode

Contestants = Iterator[tuple[str, Contestant]]
# The library of each module of a peer's side.
LIBRARIES = {
    "torch_detectors": "torchvision",
    "torch_convolutions": "torchvision",
    "torch_pictures": "PyTorch",
    "torch_identities": "PyTorch",
    "torch_faces": "PyTorch",
    "plain_agents": "Flax",
}


class Beside(NamedTuple):
    """Something that a peer has as well, and how much of it a step computes.

    - contestants: from the mode, the amount, the module of the peer's side or None, and the
      compute dtype to contestants by name, jresnet first.
    - peer: name of that module in this package.
    - cpu_batch, batch: the amount on a CPU and on an accelerator.
    - unit: the thing that it is an amount of.
    - modes: those that it has.
    - traffic: as of other cases; not counted.
    """

    contestants: Callable[[Mode, int, Any, Any], Contestants]
    peer: str
    cpu_batch: int
    batch: int
    unit: str = "images"
    modes: tuple[Mode, ...] = MODES
    traffic: float | None = None


def peer_module(name: str) -> Any:
    """The module of a peer's side; None where its library is missing or fits no PyTorch."""
    try:
        return importlib.import_module(f"jresnet.benchmark.{name}")
    except (ImportError, RuntimeError):  # built for another PyTorch, its operators are not there
        return None
