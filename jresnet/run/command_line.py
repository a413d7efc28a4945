"""The command line of an experiment: its function's arguments, and the options of every run."""

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jresnet.description import real_name
from jresnet.run.ranges import check_words
from jresnet.runtime.distributed import Processes

Function = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of every run."""

    workdir: Path | None = None
    """Folder of the run, on this machine or as gs://BUCKET/RUN or s3://BUCKET/RUN; by default runs/
    and the experiment's name with the arguments given."""
    log_to: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where metrics go beside metrics.jsonl: events for TensorBoard, Weights & Biases, MLflow."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Insist on this platform; by default the best one at hand."""
    devices: int | None = None
    """Use this many devices; by default all."""
    model_parallel: int = 1
    """Devices over which an array that the experiment shards over `model` is spread, such as a
    head's class matrix; the batch is spread over the others."""
    smoke: bool = False
    """Two steps on synthetic data, to see that everything works."""
    patience: float = 1200.0
    """Seconds without progress after which a run that hangs writes its stacks and exits; ten
    times as long for compilation. 0: wait for ever."""
    profile: bool = False
    """Trace a few steps of each training that begins or goes on, on every process, into
    profile/ of its folder, for TensorBoard and https://ui.perfetto.dev."""
    pictures: int | None = None
    """Examples of the last split evaluated that are drawn at the end of each training, where its
    task shows results: the worst, median and best, truth beside prediction. By default 18; in
    studies as many as their pages show, mostly none. 0: none."""
    interrupted_status: int = 0
    """Exit status of a run that SIGTERM stopped and that saved; for schedulers to whom 0 means
    done, as Kubernetes and Slurm, take 75."""
    processes: Annotated[Processes, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Processes
    )


def parse(
    function: Function, argv: Sequence[str] | None = None
) -> tuple[dict[str, Any], RunOptions]:
    """The function's arguments and the run's options from the command line, by tyro.

    Raises UsageError for an empty word. A flag that is not known exits with status 2.
    """
    argv = sys.argv[1:] if argv is None else argv
    check_words(argv)
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[Any] = [
        (name, hints[name], _field(default)) for name, default in defaults(function).items()
    ]
    flat = Annotated[RunOptions, tyro.conf.arg(name="")]
    fields.append(("run_options", flat, dataclasses.field(default=RunOptions())))
    flags = dataclasses.make_dataclass(function.__name__, fields, frozen=True, kw_only=True)
    doc = inspect.getdoc(function) or ""
    flags.__doc__ = doc
    parsed = tyro.cli(
        flags,
        args=argv,
        prog=f"python -m {module_name(function)}",
        description=doc.split("\nArgs:")[0],
    )
    values = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed)}
    return values, values.pop("run_options")


def _field(default: Any) -> Any:
    """The field of an argument, which must be given where it has no default."""
    if default is inspect.Parameter.empty:
        return dataclasses.field()
    return dataclasses.field(default=default)


def module_name(function: Function) -> str:
    """`experiments.cifar10`, also when it runs as `__main__`; the file's name for a script."""
    return real_name(function.__module__)


def defaults(function: Function) -> dict[str, Any]:
    """The function's arguments as they are where the user gives none.

    `inspect.Parameter.empty` stands for one that the user must give.
    """
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}
