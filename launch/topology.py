"""One experiment on 1 device, 8 fake devices, 2 and 4 processes: the losses side by side.

    python launch/topology.py -- python -m experiments.degradation --depths 8 --steps 40

Prints a Markdown table for each training of the run, at some of its logged steps. On CPU; the
batch size must divide by 8.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Name, processes, devices of each.
TOPOLOGIES = (("1 device", 1, 1), ("8 devices", 1, 8), ("2 processes", 2, 1), ("4 processes", 4, 1))


def run(command: list[str], folder: Path, processes: int, devices: int) -> None:
    """The command in as many processes, its run in `folder`. Raises CalledProcessError."""
    here = Path(__file__).parent / "local.py"
    options = [str(processes), "--devices", str(devices), "--"]
    subprocess.run(
        [sys.executable, str(here), *options, *command, "--workdir", str(folder)],
        check=True,
        stdout=sys.stderr,
    )


def losses(training: Path) -> dict[tuple[int, str], float]:
    """Loss by step and split."""
    records = map(json.loads, (training / "metrics.jsonl").read_text().splitlines())
    return {(record["step"], record["split"]): record["loss"] for record in records}


def chosen(keys: list[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    """About `count` training records, evenly spaced, and every last one of another split."""
    train = [key for key in keys if key[1] == "train"]
    picked = {train[round(i * (len(train) - 1) / max(1, count - 1))] for i in range(count)}
    last = {split: (step, split) for step, split in keys if split != "train" or step == keys[-1][0]}
    return [key for key in keys if key in picked or key in last.values()]


def table(name: str, columns: dict[str, dict[tuple[int, str], float]], count: int) -> str:
    """Markdown; the last column is the largest difference from the first topology."""
    first = next(iter(columns.values()))
    lines = [
        f"{name}\n",
        f"| step | split | {' | '.join(columns)} | largest difference |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for step, split in chosen(list(first), count):
        row = [column[step, split] for column in columns.values()]
        apart = max(abs(value - row[0]) for value in row)
        cells = " | ".join(f"{value:.6f}" for value in row)
        lines.append(f"| {step} | {split} | {cells} | {apart:.1e} |")
    return "\n".join(lines)


def main() -> None:
    """Run on every topology and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6, help="training steps to show (6)")
    parser.add_argument("command", nargs="+", help="-- and the command")
    options = parser.parse_args()
    command: list[str] = options.command
    if "--workdir" in command:
        parser.error("expected after -- a command without --workdir")
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder) / name.replace(" ", "-") for name, _, _ in TOPOLOGIES}
        for name, processes, devices in TOPOLOGIES:
            run(command, runs[name], processes, devices)
        first = runs[TOPOLOGIES[0][0]]
        for log in sorted(first.rglob("metrics.jsonl")):
            training = log.parent.relative_to(first)
            columns = {name: losses(path / training) for name, path in runs.items()}
            title = str(training) if training.parts else command[-1]
            print(f"\n{table(title, columns, options.rows)}", flush=True)


if __name__ == "__main__":
    main()
