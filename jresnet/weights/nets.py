"""Nets of the zoo by name, with the weights of a checkpoint file or of a run's folder."""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jresnet.data.sources.files import shorten
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.published import abstract_variables, cards
from jresnet.models.scan import stack
from jresnet.weights import files
from jresnet.weights.convert import WeightsError, from_torch
from jresnet.weights.layouts import Layout, layout_of, recognise
from jresnet.weights.recorded import TRAINING, Recorded, read_recorded, trainings
from jresnet.weights.run import CheckpointError, read_variables
from jresnet.weights.wrappers import unwrapped


class Net(NamedTuple):
    """A zoo function, and the image of its published card: `[*spatial, channels]`.

    Or the net of a run, which is built without arguments, and the image it was trained on.
    """

    name: str
    build: Callable[..., Any]
    image: tuple[int, ...]


class Loaded(NamedTuple):
    """A net, its variables, the layout of names they came in or would go out in, input channels.

    `recorded` is what the run whose weights these are says of its predictions; None for a file.
    """

    model: Classifier
    variables: dict[str, Any]
    layout: Layout
    channels: int
    recorded: Recorded | None = None


def zoo_functions() -> dict[str, Callable[..., Any]]:
    """Public functions of the zoo that build a published net, by name."""
    return {
        name: value
        for name, value in vars(zoo).items()
        if inspect.isfunction(value) and cards(value)
    }


def find_net(name: str | None) -> Net:
    """The net called `name` in the zoo, or that of the run in the folder `name`.

    Raises UsageError, with all names, if there is none.
    """
    functions = zoo_functions()
    if name in functions:
        return Net(name, functions[name], cards(functions[name])[-1].image)
    if name and Path(name).is_dir():
        return run_net(Path(name))
    wrong = "missing" if name is None else repr(name)
    raise UsageError(f"net {wrong}: take one of {', '.join(functions)}, or a run's folder")


def net_of(
    weights: Path | None, name: str, arguments: Mapping[str, Any]
) -> tuple[Net, dict[str, Any]]:
    """The net that `weights` are for, and what it is to be built with.

    A run knows its own. For a file, a run of a version that kept no record, and without weights,
    it is the net called `name` with `arguments`. Raises UsageError, for arguments that it lacks too.
    """
    if weights is not None and weights.is_dir() and read_recorded(weights) is not None:
        return run_net(weights), {}
    net = find_net(name)
    for key, value in arguments.items():
        if value is not None and key not in inspect.signature(net.build).parameters:
            raise UsageError(f"{key}={value}: expected none, the net {name} has no {key} to choose")
    return net, dict(arguments)


def run_net(folder: Path) -> Net:
    """The net that a run trained, out of the run's own record.

    Raises UsageError for a folder without one, or with the record of something else.
    """
    recorded = read_recorded(folder)
    if recorded is None:
        raise _no_record(folder)
    return Net(folder.name, recorded.model, recorded.image)


def _no_record(folder: Path) -> UsageError:
    if names := trainings(folder):
        return UsageError(f"run {str(folder)!r} is a study: take one of {shorten(names)} in it")
    if (folder / "checkpoints").is_dir():
        return UsageError(
            f"run {str(folder)!r} keeps no {TRAINING}, an older version made it: name its net, "
            f"with --weights {folder}"
        )
    return UsageError(f"run {str(folder)!r}: expected a run's folder, with {TRAINING} in it")


def load_net(
    net: Net, arguments: Mapping[str, Any], weights: Path, *, new_head: bool = False
) -> Loaded:
    """The net with the weights of a file in torch's layout, or of a run's folder, to the letter.

    `num_classes` is read off the head if it is None. A file without a head is refused, unless
    `new_head` says that the head will be replaced: a fresh one is in its place. A run gives what it
    evaluated: the newest whole checkpoint, the moving average where one was kept. Raises UsageError
    for arguments the zoo function refuses, what is no checkpoint, or one of another net.
    """
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        if weights.is_dir():
            loaded = _load_run(net, given, weights)
        else:
            loaded = _load_file(net, given, weights, new_head)
    except UsageError:
        raise
    except WeightsError as error:
        # A checkpoint of another net differs in hundreds of names; the first tell which it is.
        reason = textwrap.shorten(str(error), 600, placeholder=" ...")
        raise UsageError(f"weights {str(weights)!r} and net {net.name}: {reason}") from error
    except (ValueError, CheckpointError) as error:
        raise UsageError(f"weights {str(weights)!r} and net {net.name}: {error}") from error
    return loaded


def _load_file(net: Net, given: dict[str, Any], weights: Path, new_head: bool) -> Loaded:
    state = unwrapped(files.load(weights))
    layout = recognise(state)
    classes = head_classes(state, layout)
    if classes is None and not new_head:
        raise WeightsError(
            f"the checkpoint ({layout.name} names) has no head, {layout.head}.weight; "
            "experiments.finetune trains one"
        )
    _settle_classes(given, classes, weights)
    model = net.build(**given)
    variables = from_torch(state, model, layout, new_head=classes is None)
    return Loaded(model, variables, layout, _channels(variables))


def _load_run(net: Net, given: dict[str, Any], folder: Path) -> Loaded:
    if not (folder / "checkpoints").is_dir():
        raise _no_record(folder)
    recorded = read_recorded(folder)
    variables = read_variables(folder / "checkpoints")
    params = variables["params"]
    if "head" not in params or "backbone" not in params:
        raise WeightsError("the run trained no classifier")
    if "num_classes" in inspect.signature(net.build).parameters:
        _settle_classes(given, len(params["head"]["bias"]), folder)
    model: Classifier = net.build(**given)
    channels = _channels(variables)
    image = (*(64,) * (len(net.image) - 1), channels)
    unrolled = model.clone(backbone=model.backbone.clone(scan=False))
    wanted, found = shapes(abstract_variables(unrolled, image)), shapes(variables)
    wrong = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    if wrong:
        described = (f"{n} {found.get(n)} where the net has {wanted.get(n)}" for n in sorted(wrong))
        raise WeightsError(f"the run trained another net: {', '.join(described)}")
    if model.backbone.scan:
        variables = jax.tree.map(np.asarray, stack(variables))
    names = recorded.parts.get("classes") if recorded else None
    if names is not None and len(names) != model.num_classes:
        raise UsageError(
            f"{str(folder / TRAINING)!r}: {len(names)} classes, the net has {model.num_classes}"
        )
    return Loaded(model, variables, layout_of(model), channels, recorded)


def shapes(tree: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of each leaf by its `a/b/c` path."""
    return {
        "/".join(entry.key for entry in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(tree))
    }


def head_classes(state: Mapping[str, np.ndarray], layout: Layout) -> int | None:
    """The number of rows of a state dict's head; None if there is none."""
    kernel = state.get(layout.torch_name(("head", "kernel")))
    return None if kernel is None or not kernel.ndim else kernel.shape[0]


def _settle_classes(given: dict[str, Any], classes: int | None, weights: Path) -> None:
    if classes and given.setdefault("num_classes", classes) != classes:
        raise UsageError(
            f"num_classes {given['num_classes']}: the head of {str(weights)!r} has {classes}"
        )


def _channels(variables: Mapping[str, Any]) -> int:
    stem = variables["params"]["backbone"]["stem"]
    return stem["conv" if "conv" in stem else "conv1"]["kernel"].shape[-2]
