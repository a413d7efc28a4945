"""Kills a run, starts it again by the same command, and compares the end.

    python -m tests.violence --kills 50                  # at random moments
    python -m tests.violence --kills 20 --signal TERM
    python -m tests.violence --at-calls                  # at every call that changes its folder
    python -m tests.violence --at-calls --every 20 --how torn
    python -m tests.violence --break-checkpoint          # each file of the newest, in every way

Each run is killed `--kills-per-run` times and then left to finish; its final parameters, optimizer
state, average, BatchNorm statistics, metrics.jsonl and results must be those of an undisturbed
run, to the bit. Where a kill fell is read from what the run had left on disk.

`--at-calls` takes one call of a small run after the other: the run is killed before it (`kill`) or
in the middle of a write (`torn`), or the disk is full from that call on (`full`), which the run must
say in one line. `--every 20 --first 3` takes the calls 3, 23, 43, ...
"""

import argparse
import collections
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.breaking import break_checkpoints
from tests.ends import assert_same_end
from tests.injected import FULL, KILL, TORN, at_calls
from tests.quick import QUICK

ROOT = Path(__file__).parents[1]
EVERY = 20
COMMAND = ("tests.killable", "--steps", "120", "--every", str(EVERY), "--test-size", "400")
# Where to kill, and up to how many seconds after the moment has begun.
MOMENTS = {"compilation": 2.0, "step": 0.3, "evaluation": 0.15, "save": 0.1}
HOW = {"kill": KILL, "torn": TORN, "full": FULL}  # what happens at a call
GRACE = 30.0  # seconds from SIGTERM to the exit, as Kubernetes and TPU maintenance give


def start(folder: Path, command: tuple[str, ...] = COMMAND) -> subprocess.Popen[str]:
    """The run, in its own process; compiled quickly, and each time anew."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    return subprocess.Popen(
        [sys.executable, "-m", *command, "--workdir", str(folder)],
        cwd=ROOT,
        env={
            **environment,
            "JAX_PLATFORMS": "cpu",
            "JAX_ENABLE_COMPILATION_CACHE": "0",
            "XLA_FLAGS": QUICK,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, command: tuple[str, ...] = COMMAND) -> str:
    """Run to the end; what it printed."""
    process = start(folder, command)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return out


@dataclasses.dataclass
class Observer:
    """Where a run that was just started stands, from its files."""

    folder: Path

    def __post_init__(self) -> None:
        self.before = self.sizes()

    def sizes(self) -> dict[Path, int]:
        """Event files and timing logs: the first are made before, the second after compilation."""
        return {path: path.stat().st_size for path in self.folder.glob("*/*") if path.is_file()}

    def moment(self) -> str:
        """`start` is everything up to the compilation of the train step."""
        trainings = [path for path in self.folder.glob("*/") if not (path / "result.json").exists()]
        begun = [
            path
            for path in trainings
            if any(event not in self.before for event in path.glob("events.*"))
        ]
        if not begun:
            return "start"
        timing = begun[0] / "timing.jsonl"
        fresh = timing.read_text()[self.before.get(timing, 0) :] if timing.exists() else ""
        lines = [json.loads(line) for line in fresh.splitlines(keepends=True) if line[-1:] == "\n"]
        if not lines:
            return "compilation"
        if list((begun[0] / "checkpoints").glob("*tmp*")):
            return "save"
        # Logged right before the evaluation, and again some steps after it.
        return "evaluation" if lines[-1].get("step", 1) % EVERY == 0 else "step"


def wound(
    folder: Path,
    wanted: str,
    rng: np.random.Generator,
    how: signal.Signals,
    command: tuple[str, ...],
) -> tuple[str, float]:
    """Start the run, hit it at a random moment of the `wanted` kind, return where it was hit.

    And the seconds it took to end. `finished` if it came to its end before.
    """
    observer = Observer(folder)
    process = start(folder, command)
    # Somewhere in what is left, and not always at the first such moment.
    patience = 0.0 if wanted == "compilation" else float(rng.uniform(0, 2))
    while process.poll() is None:
        moment = observer.moment()
        patience -= 0.003 * (moment not in ("start", "compilation"))
        if moment == wanted and patience <= 0:
            break
        time.sleep(0.003)
    time.sleep(float(rng.uniform(0, MOMENTS[wanted])))
    if process.poll() is not None:
        _, error = process.communicate()
        assert process.returncode == 0, error
        return "finished", 0.0
    moment, begun = observer.moment(), time.monotonic()
    process.send_signal(how)
    _, error = process.communicate(timeout=600)
    if how == signal.SIGTERM:
        assert process.returncode == 0, error
    return moment, time.monotonic() - begun


def torment(
    folder: Path,
    kills: int,
    per_run: int,
    seed: int,
    how: signal.Signals = signal.SIGKILL,
    command: tuple[str, ...] = COMMAND,
) -> tuple[collections.Counter[str], int, float]:
    """`kills` kills over as many runs as that takes, each compared with the undisturbed one.

    Returns how many kills fell where, the number of runs, and the longest time to exit in
    seconds. Raises AssertionError, naming the seed, for a run that ends differently.
    """
    rng = np.random.default_rng(seed)
    finish(folder / "undisturbed", command)
    where: collections.Counter[str] = collections.Counter()
    runs, slowest, moments = 0, 0.0, list(rng.permutation(list(MOMENTS)))
    while where.total() < kills:
        run = folder / f"run{runs}"
        for _ in range(min(per_run, kills - where.total())):
            wanted = moments[where.total() % len(moments)]
            moment, seconds = wound(run, wanted, rng, how, command)
            if moment == "finished":
                break
            where[moment] += 1
            slowest = max(slowest, seconds)
            print(f"seed {seed} run {runs} kill {where.total()}: in {moment}", flush=True)
        finish(run, command)
        assert_same_end(folder / "undisturbed", run)
        print(f"seed {seed} run {runs}: bit-equal to the undisturbed run", flush=True)
        runs += 1
    return where, runs, slowest


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kills-per-run", type=int, default=5)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--at-calls", action="store_true")
    parser.add_argument("--how", choices=HOW, default="kill")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--break-checkpoint", action="store_true")
    options = parser.parse_args()
    if options.at_calls or options.break_checkpoint:
        with tempfile.TemporaryDirectory() as folder:
            if options.at_calls:
                counts, wrong = at_calls(
                    Path(folder), HOW[options.how], options.every, options.first
                )
            else:
                counts, wrong = break_checkpoints(Path(folder))
        for kind, count in counts.most_common():
            print(f"{count:4d} {kind}")
        print(f"{counts.total()} in all, {len(wrong)} not as they should be, the others bit-equal")
        sys.exit(bool(wrong))
    how = signal.Signals[f"SIG{options.signal}"]
    with tempfile.TemporaryDirectory() as folder:
        where, runs, slowest = torment(
            Path(folder), options.kills, options.kills_per_run, options.seed, how
        )
    for moment, count in where.most_common():
        print(f"{count:4d} in {moment}")
    print(f"{where.total()} times SIG{options.signal}, {runs} runs, all bit-equal to undisturbed")
    if how == signal.SIGTERM:
        assert slowest < GRACE, f"{slowest:.1f} s from SIGTERM to the exit"
        print(f"at most {slowest:.1f} s from SIGTERM to the exit, always with status 0")


if __name__ == "__main__":
    main()
