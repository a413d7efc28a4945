"""The log of a run while it trains: metrics.jsonl, sinks such as TensorBoard, the progress bar.

`metrics.jsonl` holds only what the arithmetic decides, so that a killed and resumed run leaves
the same bytes as an undisturbed one; times go to `timing.jsonl`, and the names of broken image
files to `broken.txt`.
"""

import contextlib
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from tqdm import tqdm

from jresnet.runtime.memory import peak_memory
from jresnet.storage import replacing
from jresnet.tasks.base import Metrics, Task, summarize, unit
from jresnet.text import shown
from jresnet.train.board import Board

METRICS, TIMING = "metrics.jsonl", "timing.jsonl"

Batch = TypeVar("Batch")


class NonFiniteLossError(ArithmeticError):
    """The loss became infinite or NaN. One line, naming the step."""


class Sink(Protocol):
    """A place where metrics go beside metrics.jsonl; one call comes after the other."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of several curves, by name."""
        ...

    def images(self, name: str, images: np.ndarray, step: int) -> None:
        """Pictures, uint8 `[n, H, W, 3]`."""
        ...

    def flush(self) -> None:
        """Bring out what was taken in. Raises OSError."""
        ...

    def close(self, error: BaseException | None = None) -> None:
        """The end of this sitting, with what ended it before the training's end."""
        ...


class OpensSink(Protocol):
    """A sink for a training in `folder`; the steps from `purge` on are done again."""

    def __call__(self, folder: Path, purge: int) -> Sink: ...


def write_broken(folder: Path, process: int, lines: Sequence[str]) -> None:
    """Add what is wrong with broken image files to those of earlier sittings; without any, no file.

    Every process meets others: the first writes broken.txt, the next broken-1.txt, and so on.
    """
    path = folder / (f"broken-{process}.txt" if process else "broken.txt")
    known = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    earlier = set(known)
    if new := [line for line in map(shown, lines) if line not in earlier]:
        # Whole or not at all: the names of earlier sittings must not get lost.
        with replacing(path) as file:
            file.write("".join(f"{line}\n" for line in [*known, *new]).encode())


def unusable(folder: Path, position: dict[str, Any]) -> str | None:
    """Say why a run cannot go on from `position` with the log in `folder`; None if it can."""
    path, size = folder / METRICS, position["bytes"]
    log = path.read_bytes()[:size] if path.exists() else b""
    if len(log) < size:
        wrong = f"holds {len(log):,} of the {size:,} bytes written"
    elif zlib.crc32(log) != position.get("crc32", zlib.crc32(log)):  # older versions kept none
        wrong = "is not what was written"
    else:
        return None
    return f"{path} {wrong} up to step {position['step']}: put it back, or take another --workdir"


def end_at_a_line(path: Path) -> None:
    """Drop the line that a killed run left unfinished: the next one would be lost with it."""
    if path.exists() and not (lines := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, lines.rfind(b"\n") + 1)


class RunLog:
    """Adds training metrics over windows of `every` steps and writes their means.

    `position` is all that a checkpoint needs to continue the log to the byte. With `folder` None
    nothing is written: of several processes one keeps the log. `task` says what a row is, and makes
    numbers of metrics that are arrays.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        steps: int,
        every: int,
        position: dict[str, Any] | None,
        task: Task | None = None,
        sinks: Sequence[OpensSink] = (Board,),
    ):
        position = position or {"bytes": 0, "step": 0, "window": {}, "seconds": 0.0}
        self.steps, self.every, self.task = steps, every, task
        self.rate = f"{unit(task)}s"
        self.step: int = position["step"]
        self.window: dict[str, list[Any]] = position["window"]
        self.begun = time.perf_counter() - position["seconds"]
        metrics = timing = Path(os.devnull)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            metrics, timing = folder / METRICS, folder / TIMING
            end_at_a_line(timing)
        with contextlib.ExitStack() as opened:
            # What was logged after the checkpoint is done again.
            self.file = opened.enter_context(metrics.open("ab"))
            if folder is not None:
                self.file.truncate(position["bytes"])
            self.crc = zlib.crc32(metrics.read_bytes())
            self.timing = opened.enter_context(timing.open("a"))
            self.sinks: list[Sink] = []
            if folder is not None:
                for sink in sinks:
                    self.sinks.append(sink(folder, self.step + 1))
                    opened.callback(self.sinks[-1].close)
            opened.pop_all()  # all are open, and `close` closes them
        # disable=None: no bar where stderr is no terminal.
        self.bar = tqdm(
            total=steps,
            initial=self.step,
            desc=shown(name),
            unit="step",
            disable=folder is None or None,
        )
        self.images = 0
        self.waited = 0.0
        self.start_clock()

    def seconds(self) -> float:
        """Wall time spent in this run, over all its sittings up to the last checkpoint."""
        return time.perf_counter() - self.begun

    def position(self) -> dict[str, Any]:
        """JSON-able; everything before it is on disk."""
        size = os.fstat(self.file.fileno()).st_size
        if size:
            os.fsync(self.file.fileno())  # a checkpoint may not outlive its log
        for sink in self.sinks:
            sink.flush()
        return {
            "bytes": size,
            "crc32": self.crc,
            "step": self.step,
            "window": self.window,
            "seconds": self.seconds(),
        }

    def train(self, step: int, metrics: Metrics) -> None:
        """Take in the metrics of the step that made `step` steps complete.

        Raises NonFiniteLossError.
        """
        loss = float(metrics["loss"][0])
        if not np.isfinite(loss):
            raise NonFiniteLossError(f"the loss is {loss} at step {step} of {self.steps}")
        for key, (total, count) in metrics.items():
            before = self.window.get(key, [0.0, 0.0])
            pair = zip(before, (total, count), strict=True)
            # As lists of numbers, which a checkpoint keeps.
            self.window[key] = [
                (np.asarray(old, np.float64) + np.asarray(new, np.float64)).tolist()
                for old, new in pair
            ]
        self.images += int(metrics["examples"][0])
        self.step = step
        if step % self.every == 0 or step == self.steps:
            totals: Any = {key: tuple(map(np.asarray, pair)) for key, pair in self.window.items()}
            values = summarize(self.task, totals)
            self.window = {}
            self.write(step, "train", values)
            self._time(values["loss"])

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """One record of metrics.jsonl and the same numbers for the sinks."""
        line = json.dumps({"step": step, "split": split, **values}).encode() + b"\n"
        self.crc = zlib.crc32(line, self.crc)
        self.file.write(line)
        self.file.flush()
        self._send({f"{split}/{key}": value for key, value in values.items()}, step)

    def pictures(self, step: int, images: np.ndarray | None, name: str) -> None:
        """Pictures for the sinks, uint8 `[n, H, W, 1 or 3]`; None: there are none."""
        if images is not None:
            colour = np.broadcast_to(images, (*images.shape[:-1], 3))
            for sink in self.sinks:
                sink.images(name, colour, step)
        self.start_clock()

    def say(self, line: str | None) -> None:
        """Print a line above the bar."""
        if line:
            self.bar.write(line, file=sys.stderr)

    def note(self, lines: Sequence[str]) -> None:
        """Keep lines that were said, such as that a checkpoint was set aside, in timing.jsonl."""
        for line in lines:
            self._note({"step": self.step, "note": line})

    def take(self, batches: Iterator[Batch], pending: Metrics | None) -> Batch:
        """The next batch. The time it takes is waiting if the device, at `pending`, ran dry meanwhile."""
        begun = time.perf_counter()
        batch = next(batches)
        if pending is not None and cast(Any, pending["loss"][0]).is_ready():
            self.waited += time.perf_counter() - begun
        return batch

    def compiled(self, seconds: float) -> None:
        """Report the time that compilation took."""
        self._note({"step": self.step, "steps": self.steps, "compile_seconds": round(seconds, 3)})
        self.bar.set_postfix_str(f"compiled in {seconds:.1f} s")
        self.start_clock()

    def start_clock(self) -> None:
        """Leave what went before, compilation or an evaluation, out of the next images/s."""
        self.mark = (time.perf_counter(), self.images, self.waited)

    def close(self, error: BaseException | None = None) -> None:
        """Close the files and the bar, each whatever becomes of the others.

        `error` is what ended this sitting before the training's end.
        """
        with contextlib.ExitStack() as stack:
            for part in (self.timing, self.file, self.bar):
                stack.callback(part.close)
            for sink in self.sinks:
                stack.callback(sink.close, error)

    def _time(self, loss: float) -> None:
        now = time.perf_counter()
        then, images, waited = self.mark
        self.mark = (now, self.images, self.waited)
        speed = {
            f"{self.rate}_per_second": round((self.images - images) / (now - then), 1),
            "waiting": round((self.waited - waited) / (now - then), 3),
        }
        (kind, peak), *_ = peak_memory().items()
        speed[f"{kind}_peak_gib"] = round(peak / 2**30, 3)
        self._note({"step": self.step, **speed})
        self._send({f"time/{key}": value for key, value in speed.items()}, self.step)
        rate = (
            f"{speed[f'{self.rate}_per_second']:.0f} {self.rate}/s, "
            f"{speed['waiting']:.0%} waiting for input"
        )
        self.bar.set_postfix_str(f"loss {loss:.3f}, {rate}")

    def _send(self, values: Mapping[str, float], step: int) -> None:
        for sink in self.sinks:
            sink.scalars(values, step)

    def _note(self, values: dict[str, Any]) -> None:
        self.timing.write(json.dumps(values) + "\n")
        self.timing.flush()
