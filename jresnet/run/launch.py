"""`launch`: an experiment function from the command line, the only place that knows both it and the trainer."""

import contextlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import absl.logging
import jax
from jax.sharding import Mesh

from jresnet.data.sources.stand_in import no_data_needed
from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Result, Study, after, smoke
from jresnet.report.run import write_run_report
from jresnet.report.text import metrics_line
from jresnet.run import folder as run_folder
from jresnet.run import ranges, readiness
from jresnet.run.command_line import RunOptions, defaults, module_name, parse
from jresnet.run.fingerprint import fingerprint, settle
from jresnet.run.sinks import check_sinks, open_sinks
from jresnet.run.training import train
from jresnet.run.workdir import Workdir, local_arguments, opened
from jresnet.runtime import distributed, signals, terminal
from jresnet.runtime import environment as runtime
from jresnet.runtime.mesh import make_mesh
from jresnet.runtime.stop import at_once, stoppable
from jresnet.storage import named, write_json
from jresnet.text import shown
from jresnet.train.log import NonFiniteLossError
from jresnet.train.loop import Interrupted
from jresnet.weights.storage_errors import hush

PICTURES = 18  # examples drawn at the end of a training that is no part of a study
BUILDING = "stopped before anything began"
CONCLUDING = "stopped while concluding; trainings that are done are not done again"

Function = Callable[..., Experiment | Study]


@terminal.program
def launch(function: Function, argv: Sequence[str] | None = None) -> None:
    """Run an experiment function from the command line.

    Its arguments are the flags, its docstring is the help. Exits with status 2 for what the user
    got wrong and 1 for what went wrong on the way, each with one line on stderr.
    """
    with signals.installed(argv):
        _launch(function, argv)


def _launch(function: Function, argv: Sequence[str] | None) -> None:
    # Orbax says the same from each of its threads before the error reaches `complain`.
    absl.logging.set_verbosity(absl.logging.FATAL)
    hush()
    status, options = 0, RunOptions()
    try:
        arguments, options = parse(function, argv)
        line = run(function, arguments, options)
    except UsageError as error:
        terminal.complain(error)
        distributed.leave(2)
    except (NonFiniteLossError, OSError) as error:
        if isinstance(error, BrokenPipeError) and terminal.reader_gone():
            distributed.leave(terminal.READER_GONE)
        terminal.complain(error)
        distributed.leave(1)
    except Interrupted as stop:
        line, status = f"{stop}; the same command goes on from there", options.interrupted_status
    except Exception:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        distributed.leave(1)
    signals.over(status)
    if line and distributed.is_first():
        print(shown(line), flush=True)
    if status:
        sys.exit(status)


def run(function: Function, arguments: Mapping[str, Any], options: RunOptions) -> str:
    """Build the experiment, train what is not trained yet, and return the closing line.

    Of several processes the first writes and prints; the others return an empty line. Raises
    UsageError before anything is written if the arguments make no experiment.
    """
    ranges.check(arguments, defaults(function), function.__name__)
    ranges.check_fields(options)
    ranges.check_fields(options.processes)
    check_sinks(options.log_to, options.workdir)
    runtime.check_file_limit()
    runtime.set_cpu_flag()
    runtime.keep_compiled()
    distributed.init_distributed(
        options.processes, lambda: readiness.identity(function, arguments, options)
    )
    runtime.require_platform(options.platform)
    small = no_data_needed() if options.smoke else contextlib.nullcontext()
    with stoppable(), small:
        return _run(function, arguments, options)


def _run(function: Function, arguments: Mapping[str, Any], options: RunOptions) -> str:
    with at_once(Interrupted(BUILDING)):
        local = distributed.attempt(lambda: local_arguments(arguments))
        built = distributed.attempt(lambda: _built(function, local, options.smoke))
    mesh = make_mesh(options.devices, options.model_parallel)
    name = module_name(function)
    arguments = {**arguments, "smoke": True} if options.smoke else arguments
    usual = {**defaults(function), "smoke": False}
    path = options.workdir or Path("runs") / run_folder.default_name(name, arguments, usual)
    runs = built.runs if isinstance(built, Study) else {"": built}
    with opened(path) as workdir:
        folder = workdir.folder
        readiness.check_together(function, runs, folder, mesh)
        provenance = _claimed(workdir, name, arguments)
        with contextlib.ExitStack() as stack:
            held = run_folder.hold(folder) if distributed.is_first() else contextlib.nullcontext()
            distributed.attempt(lambda: stack.enter_context(held))
            stack.enter_context(named(folder))
            line = _trained_and_concluded(function, built, workdir, provenance, mesh, options)
            distributed.sync("the run is concluded")
    return workdir.named(line)


def _claimed(workdir: Workdir, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Make the folder this run's; the record with which it was begun."""
    circumstances = {
        "versions": runtime.versions(),
        "hardware": runtime.hardware(),
        "commit": runtime.git_commit(Path(__file__).parent) or "unknown",
    }
    first, folder = distributed.is_first(), workdir.folder
    distributed.attempt(
        lambda: run_folder.claim(folder, name, arguments, circumstances) if first else None
    )
    workdir.claimed()
    return distributed.attempt(lambda: run_folder.read_shared(folder))


def _built(function: Function, arguments: Mapping[str, Any], small: bool) -> Experiment | Study:
    try:
        built = function(**arguments)
    except ValueError as error:  # a depth that no net has, a schedule that does not fit, ...
        raise error if isinstance(error, UsageError) else UsageError(str(error)) from error
    return smoke(built) if small else built


def _trained_and_concluded(
    function: Function,
    built: Experiment | Study,
    workdir: Workdir,
    provenance: Mapping[str, object],
    mesh: Mesh,
    options: RunOptions,
) -> str:
    """The closing line, of the first process."""
    first, folder = distributed.is_first(), workdir.folder

    def trained(experiment: Experiment, folder: Path, label: str) -> Result:
        new = fingerprint(function, experiment) if first else {}
        distributed.attempt(lambda: settle(folder, label, new) if first else None)
        usual = PICTURES if isinstance(built, Experiment) else built.pictures
        drawn = usual.get(label, 0) if isinstance(usual, Mapping) else usual
        pictures = drawn if options.pictures is None else options.pictures
        sinks = open_sinks(options.log_to, label, provenance)
        watched = (options.patience, options.profile, pictures)
        result = train(experiment, folder, label, mesh, *watched, workdir.saved, sinks)
        if workdir.saved is not None:
            distributed.attempt(workdir.saved)
        return result

    if isinstance(built, Experiment):
        result = trained(built, folder, folder.name)
        doc = inspect.getdoc(function) or ""
        return conclude(folder.name, doc, result, provenance) if first else ""
    results = {}
    for label, experiment in built.runs.items():
        if callable(experiment.start) or callable(experiment.constants):
            workdir.share()
        experiment = distributed.attempt(lambda one=experiment: after(one, results))
        results[label] = trained(experiment, folder / label, label)
        if first:
            print(shown(outcome(label, results[label])), flush=True)
            if options.pictures and not results[label].diverged:
                conclude(label, inspect.getdoc(function) or "", results[label], provenance)
    if not first:
        return ""
    with at_once(Interrupted(CONCLUDING)):
        line = str(built.conclude(folder, results, provenance))
    write_json(folder / run_folder.CONCLUSION, {"line": line})
    return line


def conclude(label: str, doc: str, result: Result, provenance: Mapping[str, object]) -> str:
    """The report of a single training and its closing line."""
    page = write_run_report(
        result.folder, label, doc, result.metrics, result.parameters, provenance
    )
    return f"{outcome(label, result)}; see {page}"


def outcome(label: str, result: Result) -> str:
    """The result of a training in one line."""
    if result.diverged:
        return f"{label}: {result.diverged} ({result.seconds:.0f} s)"
    return f"{label}: {metrics_line(result.metrics)} ({result.seconds:.0f} s)"
