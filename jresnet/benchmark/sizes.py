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
from jresnet.studies.shortcut_worth.application import Application, Case, shortened
from jresnet.studies.shortcut_worth.applications import ALL

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
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(data: Path | None) -> list[tuple[object, ...]]:
    """A row for each application; None for what is not measured."""
    applications = {application.name: application for application in ALL}
    rows, first = [], None
    for name, lines in counted():
        costs: tuple[object, ...] = (None, None, None)
        if data is not None and applications[name].lacking(data) is None:
            values = measured(name, data)
            first = first or values["seconds"]
            times = f"{values['seconds'] / first:.1f}"
            costs = (values["programs"], f"{values['seconds']:.0f}", times)
        rows.append((name, *lines.values(), sum(lines.values()), *costs))
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table in Markdown, or with --only the costs of one application as JSON."""
    parser = argparse.ArgumentParser(prog="python -m jresnet.benchmark.sizes", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--only", choices=list(FILES), help="measure one application alone")
    flags = parser.parse_args(argv)
    if flags.only is None:
        print(format_markdown(HEADERS, table(flags.data)))
        return
    if flags.data is None:
        raise UsageError("data=None: expected the folder of the data sets, with only")
    application = next(one for one in ALL if one.name == flags.only)
    print(json.dumps(first_result(application, flags.data)))


if __name__ == "__main__":
    main()
