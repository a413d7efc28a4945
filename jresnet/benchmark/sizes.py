"""The size of each application: lines, compiled programs, and the time to its first result.

    python -m jresnet.benchmark.sizes
    python -m jresnet.benchmark.sizes --data FOLDER

Lines are those that an application adds to the applications before it: blank lines, comments and
docstrings count. With the folder of the data sets (`experiments.shortcut_worth`) the shallow
residual net of each is trained for a step and evaluated, in a process of its own without a cache of
compiled programs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jresnet.benchmark.application_files import FILES, PARTS
from jresnet.errors import UsageError
from jresnet.report.text import format_markdown
from jresnet.runtime import terminal
from jresnet.studies.shortcut_worth.application import Application, Case, shortened
from jresnet.studies.shortcut_worth.applications import ALL
from jresnet.studies.shortcut_worth.trainings import NOWHERE

ROOT = Path(__file__).parents[2]
COMPILED = "/jax/core/compile/backend_compile_duration"
LONG = 0.05  # seconds of compilation; shorter programs are single operations
HEADERS = ("application", *PARTS, "lines", "programs", "CPU seconds", "times the first")


def counted(root: Path = ROOT) -> Iterator[tuple[str, dict[str, int]]]:
    """Each application with the lines that it adds, by part; files named before count for nothing.

    A file that an application names exactly is not one of those before it whose pattern it fits.
    Raises FileNotFoundError for a pattern without a file.
    """
    exact = {
        (root / pattern): name
        for name, parts in FILES.items()
        for patterns in parts.values()
        for pattern in patterns
        if "*" not in pattern
    }
    seen: set[Path] = set()
    for name, parts in FILES.items():
        lines: dict[str, int] = {part: 0 for part in PARTS}
        for part, patterns in parts.items():
            for pattern in patterns:
                paths = sorted(root.glob(pattern))
                if not paths:
                    raise FileNotFoundError(f"{pattern}: no file of application {name}")
                new = [path for path in paths if path not in seen and exact.get(path, name) == name]
                seen.update(new)
                lines[part] += sum(len(path.read_text().splitlines()) for path in new)
        yield name, lines


def first_result(application: Application, data: Path) -> dict[str, float]:
    """Programs that are compiled, and CPU seconds of this process, to the result of one step."""
    import jax

    from jresnet.experiment import Result, after
    from jresnet.runtime import environment
    from jresnet.runtime.mesh import make_mesh
    from jresnet.train.loop import fit

    programs: list[float] = []

    def listen(event: str, duration_secs: float, **kwargs: Any) -> None:
        del kwargs
        if event == COMPILED and duration_secs >= LONG:
            programs.append(duration_secs)

    environment.set_cpu_flag()
    jax.monitoring.register_event_duration_secs_listener(listen)
    case = Case(application.blocks[0], True, 0, application.steps, data)
    runs = dict(application.sources(case)) if application.sources else {}
    runs[application.name] = application.build(case)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, experiment in runs.items():
            together = experiment.plan.steps_per_dispatch
            once = shortened(experiment, steps=together, save_every=together, log_every=together)
            run, place = after(once, results), Path(folder) / label
            trained = fit(
                run.task, run.optimizer, run.data, run.plan, place, label, make_mesh(1, 1),
                run.start, constants=run.constants, sharding=run.sharding,
            )  # fmt: skip
            results[label] = Result(trained.metrics, trained.seconds, 0, place)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"programs": len(programs), "seconds": used.ru_utime + used.ru_stime}


def measured(name: str, data: Path) -> dict[str, float]:
    """`first_result` in a process of its own. Raises RuntimeError with its last line if it fails."""
    command = [sys.executable, "-m", "jresnet.benchmark.sizes", "--only", name, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines()
        raise RuntimeError(told[-1] if told else f"exit status {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(data: Path | None) -> tuple[list[tuple[object, ...]], dict[str, str]]:
    """A row for each application, with None for what is not measured; why by application.

    One that fails does not lose what the others took minutes for. Without `data` nothing is
    measured, and no reason told.
    """
    applications = {application.name: application for application in ALL}
    rows, reasons, first = [], {}, None
    for name, lines in counted():
        costs: tuple[object, ...] = (None, None, None)
        if data is not None:
            try:
                if (lacking := applications[name].lacking(data)) is not None:
                    raise UsageError(lacking)
                values = measured(name, data)
            except (UsageError, RuntimeError) as error:
                reasons[name] = str(error)
            else:
                first = first or values["seconds"]
                times = f"{values['seconds'] / first:.1f}"
                costs = (values["programs"], f"{values['seconds']:.0f}", times)
        rows.append((name, *lines.values(), sum(lines.values()), *costs))
    return rows, reasons


@terminal.program
def main(argv: Sequence[str] | None = None) -> int:
    """Print the table in Markdown, or with --only the costs of one application as JSON.

    Returns the exit status: 1 where an application was not measured, 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m jresnet.benchmark.sizes", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--only", choices=list(FILES), help="measure one application alone")
    flags = parser.parse_args(argv)
    if flags.only is None:
        rows, reasons = table(flags.data)
        print(format_markdown(HEADERS, rows))
        for name, reason in reasons.items():
            terminal.complain(UsageError(f"{name} was not measured: {reason}"))
        return 1 if reasons else 0
    application = next(one for one in ALL if one.name == flags.only)
    if (lacking := application.lacking(flags.data)) is not None:
        terminal.complain(UsageError(lacking))
        return 2
    print(json.dumps(first_result(application, flags.data or NOWHERE)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
