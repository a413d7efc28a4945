"""`push`: a finished run as a folder or a repository of a model hub that others load."""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from tyro.conf import Positional

from jresnet.commands.model_card import Card
from jresnet.commands.outfile import check_empty
from jresnet.commands.trained import load_task, other_run
from jresnet.commands.twins import pretrained_config, timm_name, timm_prepares
from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.models.published import count_net
from jresnet.run.folder import RESULT, read_config, read_result
from jresnet.run.ranges import check_fields
from jresnet.runtime import environment as runtime
from jresnet.storage import replacing, write_json
from jresnet.text import shown
from jresnet.weights import files, hub
from jresnet.weights.convert import to_torch
from jresnet.weights.nets import Loaded, find_net, load_net
from jresnet.weights.pushed import (
    CARD,
    WEIGHTS,
    is_pushed,
    pushed_layout,
    record_for_others,
)
from jresnet.weights.recorded import CONFIG, ENTRY, Recorded, read_recorded


@dataclasses.dataclass(kw_only=True)
class Push:
    run: Positional[Path]
    """Folder of a finished training: a run, or one of a study's."""
    dest: Positional[str]
    """A new or empty folder; or hf://OWNER/NAME, a repository that is new or has no weights."""
    private: bool = False
    """Make the repository a private one, which only its owner sees."""
    replace: bool = False
    """Put new files in the place of those that `push` wrote before; on a hub by a new commit."""


def push(argv: Sequence[str]) -> int:
    """A finished run as safetensors, config.json and a model card, in a folder or on a model hub.

    `push runs/cifar10 shared/cifar10`
    `push runs/cifar10 hf://OWNER/NAME --private`

    The weights are those that the run evaluated, under the names of the torch code base that has
    the net (timm's and torchvision's for theirs), else under our own. config.json rebuilds the
    net, and is timm's where timm has it. The card has the run's results, command, data, hardware
    and versions. `predict DEST pictures/` and all that takes a run's folder work on DEST.

    A hub is reached by huggingface_hub (`pip install 'jresnet[hub]'`), as whom its own login says.
    """
    flags = tyro.cli(Push, args=list(argv), prog="python -m jresnet push")
    check_fields(flags)
    remote = hub.repository(flags.dest)
    if remote is None and "://" in flags.dest:
        raise UsageError(f"dest={flags.dest}: expected a folder of this machine or hf://OWNER/NAME")
    if remote is None:
        check_folder(Path(flags.dest), flags.replace)
    elif flags.dest.count("@"):
        raise UsageError(f"dest={flags.dest}: expected hf://OWNER/NAME, without a revision")
    recorded, result, config = finished(flags.run)
    if remote is not None:
        hub.check_free(remote, flags.dest, replace=flags.replace)
    runtime.prepare()
    loaded = load(flags.run, recorded)
    dest = Path(flags.dest)
    near = None if remote is not None else dest if dest.is_dir() else dest.parent
    with tempfile.TemporaryDirectory(dir=near) as temporary:
        folder = Path(temporary)
        written = write(folder, flags.dest, loaded, recorded, result, config)
        if remote is not None:
            hub.upload(folder, remote, flags.dest, private=flags.private)
        else:
            dest.mkdir(exist_ok=True)
            for file in folder.iterdir():
                file.replace(dest / file.name)
    print(f"{shown(flags.dest)}: {written}")
    return 0


def check_folder(folder: Path, replace: bool) -> None:
    """Raise UsageError unless `push` may write there: new, empty, or with `replace` its own."""
    pushed = folder.is_dir() and is_pushed(folder)
    if pushed and not replace:
        raise UsageError(
            f"dest={folder}: expected a new or empty folder; --replace puts new files in the place "
            "of those that push wrote there"
        )
    if not pushed:
        check_empty("dest", folder)


def finished(folder: Path) -> tuple[Recorded, dict[str, Any], dict[str, Any]]:
    """A training's record, its result, and the configuration of its run.

    Raises UsageError for a folder without them, and for a training that diverged.
    """
    if not folder.is_dir():
        raise UsageError(f"run={folder}: expected a run's folder")
    find_net(str(folder))  # which tells of a study and of runs without a record
    recorded = read_recorded(folder)
    if recorded is None or not (folder / "checkpoints").is_dir():
        raise UsageError(f"run={folder}: expected a run with checkpoints")
    if not (folder / RESULT).exists():
        raise UsageError(f"run={folder}: expected a finished run, {RESULT} is not there yet")
    result = read_result(folder / RESULT)
    if "diverged" in result:
        raise UsageError(f"run={folder}: expected a net that learned ({result['diverged']})")
    for above in (folder, *folder.resolve().parents):
        if (above / CONFIG).is_file():
            return recorded, result, read_config(above / CONFIG)
    raise UsageError(f"run={folder}: expected a run with {CONFIG}, in it or above it")


def load(folder: Path, recorded: Recorded) -> Loaded:
    """The net with the weights that the run evaluated.

    Raises UsageError for a task that keeps more than one net.
    """
    if other_run([str(folder)]) is not None:
        load_task(recorded)  # which tells of constants and of code of the run's own
    return load_net(find_net(str(folder)), {}, folder)


def write(
    folder: Path,
    where: str,
    loaded: Loaded,
    recorded: Recorded,
    result: dict[str, Any],
    config: dict[str, Any],
) -> str:
    """Write the three files into `folder`; a line that tells of them. Raises OSError."""
    model, image = loaded.model, recorded.image
    layout = pushed_layout(model, image)
    folder.mkdir(exist_ok=True)
    files.save(to_torch(loaded.variables, model, layout), folder / WEIGHTS)
    name = Path(where.removeprefix("hf://")).name
    architecture = timm_name(model) if timm_prepares(recorded) else None
    record = {"name": name, **record_for_others(recorded)}
    entries = pretrained_config(architecture, model, recorded) if architecture else {}
    write_json(folder / CONFIG, {**entries, ENTRY: record})
    card = Card(
        name=name,
        where=where,
        task=task_name(recorded),
        parameters=count_net(model, image).parameters,
        layout=layout.name,
        image=image,
        normalisation=normalisation(recorded),
        classes=tuple(recorded.parts.get("classes") or ()),
        result=result,
        config=config,
        digest=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        architecture=architecture,
    )
    with replacing(folder / CARD) as file:
        file.write(card.text().encode())
    timm = f", timm's {architecture}" if architecture else ""
    return f"{WEIGHTS} with {layout.name} names{timm}, {CONFIG} and {CARD}"


def task_name(recorded: Recorded) -> str:
    """The class of the task: `Classify`."""
    task = recorded.parts.get("task")
    return str(task["new"]).rpartition(":")[2] if isinstance(task, dict) and "new" in task else "?"


def normalisation(recorded: Recorded) -> str:
    """How pixels become the net's input, in a sentence."""
    normalize = recorded.normalize()
    if isinstance(normalize, Normalize):
        return f"Pixels are normalised as (pixels / 255 - {normalize.mean}) / {normalize.std}."
    return f"Pixels are normalised by `{json.dumps(type(normalize).__name__)}`."
