"""What predict, convert and export share: a net with the weights of a file, and where to write."""

import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jresnet.commands.arguments import Net
from jresnet.errors import UsageError
from jresnet.models.heads import Classifier
from jresnet.weights import files
from jresnet.weights.convert import WeightsError, from_torch
from jresnet.weights.layouts import Layout, recognise


class Loaded(NamedTuple):
    """A net, its variables, the layout of the file they came from, and its input channels."""

    model: Classifier
    variables: dict[str, Any]
    layout: Layout
    channels: int


def load_net(net: Net, arguments: dict[str, Any], weights: Path) -> Loaded:
    """The net with the weights of a file, which must fit it exactly.

    `num_classes` is read off the file's head if it is None. Raises UsageError for arguments the
    zoo function refuses, a file that is no checkpoint, or one of another net.
    """
    state = files.load(weights)
    try:
        layout = recognise(name.removeprefix("module.") for name in state)
        given = {key: value for key, value in arguments.items() if value is not None}
        classes = head_classes(state, layout)
        if classes and given.setdefault("num_classes", classes) != classes:
            raise UsageError(
                f"num_classes {given['num_classes']}: the head of {str(weights)!r} has {classes}"
            )
        model = net.build(**given)
        variables = from_torch(state, model, layout)
    except UsageError:
        raise
    except WeightsError as error:
        # A checkpoint of another net differs in hundreds of names; the first tell which it is.
        reason = textwrap.shorten(str(error), 600, placeholder=" ...")
        raise UsageError(f"weights {str(weights)!r} and net {net.name}: {reason}") from error
    except ValueError as error:
        raise UsageError(f"weights {str(weights)!r} and net {net.name}: {error}") from error
    stem = variables["params"]["backbone"]["stem"]
    kernel = stem["conv" if "conv" in stem else "conv1"]["kernel"]
    return Loaded(model, variables, layout, kernel.shape[-2])


def head_classes(state: dict[str, np.ndarray], layout: Layout) -> int | None:
    """The number of rows of a state dict's head; None if there is none."""
    name = layout.torch_name(("head", "kernel"))
    found = next((state[key] for key in (name, f"module.{name}") if key in state), None)
    return found.shape[0] if found is not None and found.ndim else None


def check_new(field: str, path: Path, endings: tuple[str, ...]) -> None:
    """Raise UsageError unless `path` can be written: a known ending, a folder, nothing there yet."""
    if path.suffix not in endings:
        raise UsageError(f"{field} {str(path)!r}: the name must end in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise UsageError(f"{field} {str(path)!r}: there is no folder {str(path.parent)!r}")
    if path.exists():
        raise UsageError(f"{field} {str(path)!r} exists already: take another name")
