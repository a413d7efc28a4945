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
from jresnet.models.headed import Headed, is_scanned, unrolled
from jresnet.models.heads import Classifier
from jresnet.models.published import abstract_variables, cards
from jresnet.models.scan import stack
from jresnet.weights import files
from jresnet.weights.conventions import as_published
from jresnet.weights.convert import WeightsError, from_torch
from jresnet.weights.layout import Layout
from jresnet.weights.layouts import known_for, layout_of, recognise
from jresnet.weights.maps import AUXILIARY
from jresnet.weights.pushed import is_pushed, recorded_variables
from jresnet.weights.recorded import TRAINING, Recorded, read_recorded, trainings
from jresnet.weights.remote import spelled
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
    """A net with weights.

    - model: the net, of any head.
    - variables: its own, stacked if its stages are scanned.
    - layout: the names that the weights came in, or would be written in.
    - channels: of its input.
    - recorded: how the run whose weights these are treated its images; None for a file.
    - weights: the file, the name on a hub or the run's folder.
    """

    model: Headed
    variables: dict[str, Any]
    layout: Layout
    channels: int
    recorded: Recorded | None = None
    weights: Path | None = None

    @property
    def classifier(self) -> Classifier:
        """The net, for what needs classes. Raises UsageError for any other."""
        return classifier(self.model)


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
    return Net(recorded.name, recorded.model, recorded.image)


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

    `num_classes`, where the net has one, is read off the checkpoint if it is None. A file of a
    classifier's backbone alone is refused, unless `new_head` says that the head will be replaced: a
    fresh one is in its place. A run gives what it evaluated: the newest whole checkpoint, the
    moving average where one was kept. Raises UsageError for arguments the zoo function refuses,
    what is no checkpoint, or one of another net.
    """
    set_arguments = {key: value for key, value in arguments.items() if value is not None}
    try:
        if weights.is_dir():
            loaded = _load_run(net, set_arguments, weights)
        else:
            loaded = _load_file(net, set_arguments, weights, new_head)
    except UsageError:
        raise
    except WeightsError as error:
        # A checkpoint of another net differs in hundreds of names; the first tell which it is.
        reason = textwrap.shorten(str(error), 600, placeholder=" ...")
        raise UsageError(f"weights {spelled(weights)!r} and net {net.name}: {reason}") from error
    except (ValueError, CheckpointError) as error:
        raise UsageError(f"weights {spelled(weights)!r} and net {net.name}: {error}") from error
    return loaded


def _load_file(net: Net, arguments: dict[str, Any], weights: Path, new_head: bool) -> Loaded:
    contents = files.load(weights)
    # Which layouts it can be in depends on the kind of net, not on the number of its classes.
    usual = net.build(**arguments)
    layouts = known_for(usual)
    state = unwrapped(contents, layouts)
    layout = recognise(state, layouts)
    classes = _rows(state, layout.class_entry)
    headless = classes is None and layout.class_entry is not None
    if headless and not new_head and isinstance(usual, Classifier):
        raise WeightsError(
            f"the checkpoint ({layout.name} names) has no head, {layout.class_entry}; "
            "experiments.finetune trains one"
        )
    if _chooses_classes(net):
        _settle_classes(arguments, classes, weights)
    if "auxiliary" in inspect.signature(net.build).parameters:
        # torchvision writes a net that was built with aux_loss=False without that head.
        arguments.setdefault("auxiliary", any(name.startswith(AUXILIARY) for name in state))
    model = as_published(net.build(**arguments), layout)
    variables = from_torch(state, model, layout, new_head=headless and new_head, image=net.image)
    return Loaded(model, variables, layout, _channels(variables, net), weights=weights)


def _load_run(net: Net, arguments: dict[str, Any], folder: Path) -> Loaded:
    pushed = is_pushed(folder)
    if not pushed and not (folder / "checkpoints").is_dir():
        raise _no_record(folder)
    recorded = read_recorded(folder)
    variables = (
        recorded_variables(recorded)
        if pushed and recorded is not None
        else read_variables(folder / "checkpoints")
    )
    if _chooses_classes(net):
        head = variables["params"].get("head", {})
        classes = len(head["bias"]) if isinstance(head, Mapping) and "bias" in head else None
        _settle_classes(arguments, classes, folder)
    model: Headed = net.build(**arguments)
    channels = _channels(variables, net)
    image = (*net.image[:-1], channels)
    expected, stored = shapes(abstract_variables(unrolled(model), image)), shapes(variables)
    wrong = [name for name in expected | stored if expected.get(name) != stored.get(name)]
    if wrong:
        described = (
            f"{name} {stored.get(name)} where the net has {expected.get(name)}"
            for name in sorted(wrong)
        )
        raise WeightsError(f"the run trained another net: {', '.join(described)}")
    layout = layout_of(model, variables)
    if is_scanned(model):
        variables = jax.tree.map(np.asarray, stack(variables))
    names = recorded.parts.get("classes") if recorded else None
    if names is not None and isinstance(model, Classifier) and len(names) != model.num_classes:
        raise UsageError(
            f"{str(folder / TRAINING)!r}: {len(names)} classes, the net has {model.num_classes}"
        )
    return Loaded(model, variables, layout, channels, recorded, folder)


def classifier(net: Headed) -> Classifier:
    """The net itself, where it is a classifier. Raises UsageError for any other."""
    if not isinstance(net, Classifier):
        raise UsageError(f"net={type(net).__name__}: expected a Classifier")
    return net


def shapes(tree: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of each leaf by its `a/b/c` path."""
    return {
        "/".join(entry.key for entry in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(tree))
    }


def _rows(state: Mapping[str, np.ndarray], entry: str | None) -> int | None:
    """How many rows an entry of a state dict has; None if it is not there."""
    value = None if entry is None else state.get(entry)
    return None if value is None or not value.ndim else value.shape[0]


def _chooses_classes(net: Net) -> bool:
    return "num_classes" in inspect.signature(net.build).parameters


def _settle_classes(arguments: dict[str, Any], classes: int | None, weights: Path) -> None:
    if classes and arguments.setdefault("num_classes", classes) != classes:
        raise UsageError(
            f"num_classes {arguments['num_classes']}: the head of {spelled(weights)!r} has {classes}"
        )


def _channels(variables: Mapping[str, Any], net: Net) -> int:
    """Channels of the first convolution's input; where there is no stem, those of `net.image`."""
    stem = variables["params"].get("backbone", {}).get("stem", {})
    first = stem.get("conv", stem.get("conv1"))
    return net.image[-1] if first is None else first["kernel"].shape[-2]
