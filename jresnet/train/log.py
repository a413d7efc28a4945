"""What a run writes while it trains: metrics.jsonl, TensorBoard events, the progress bar.

`metrics.jsonl` holds only what the arithmetic decides, so that a killed and resumed run leaves
the same bytes as an undisturbed one; times go to `timing.jsonl`, and the names of broken image
files to `broken.txt`.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import numpy as np
from tensorboardX import SummaryWriter
from tqdm import tqdm

from jresnet.tasks.base import Metrics
from jresnet.text import shown
from jresnet.train.memory import peak_memory
from jresnet.train.mesh import fetch

log = logging.getLogger(__name__)

Batch = TypeVar("Batch")


class NonFiniteLossError(ArithmeticError):
    """The loss became infinite or NaN. One line, naming the step."""


def means(metrics: Metrics) -> dict[str, float]:
    """sum / count of each metric; `examples` is a plain sum and left out."""
    return {
        key: float(total) / float(count)
        for key, (total, count) in metrics.items()
        if key != "examples"
    }


def write_broken(folder: Path, process: int, lines: Sequence[str]) -> None:
    """Add what is wrong with broken image files to those of earlier sittings; without any, no file.

    Every process meets others: the first writes broken.txt, the next broken-1.txt, and so on.
    """
    path = folder / (f"broken-{process}.txt" if process else "broken.txt")
    known = path.read_text().splitlines() if path.exists() else []
    if new := [line for line in map(shown, lines) if line not in known]:
        path.write_text("".join(f"{line}\n" for line in [*known, *new]))


def truncate(path: Path, size: int) -> None:
    """Cut a log to what it was at a checkpoint: the rest is done again."""
    with path.open("ab") as file:
        found = file.tell()
        if found < size:  # truncate() would fill it up with zeros
            log.warning("%s has %d bytes of the %d before the checkpoint", path, found, size)
        file.truncate(min(size, found))


class RunLog:
    """Adds training metrics over windows of `every` steps and writes their means.

    `position` is all that a checkpoint needs to continue the log to the byte. With `folder` None
    nothing is written: of several processes one keeps the log.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        steps: int,
        every: int,
        position: dict[str, Any] | None,
    ):
        position = position or {"bytes": 0, "step": 0, "window": {}, "seconds": 0.0}
        self.steps, self.every = steps, every
        self.step: int = position["step"]
        self.window: dict[str, list[float]] = position["window"]
        self.begun = time.perf_counter() - position["seconds"]
        silent = folder is None
        folder = Path(os.devnull) if folder is None else folder
        if not silent:
            folder.mkdir(parents=True, exist_ok=True)
            truncate(folder / "metrics.jsonl", position["bytes"])
        self.file = (folder if silent else folder / "metrics.jsonl").open("a")
        self.timing = (folder if silent else folder / "timing.jsonl").open("a")
        self.board = SummaryWriter(str(folder), purge_step=self.step + 1, write_to_disk=not silent)
        # disable=None: no bar where stderr is no terminal.
        self.bar = tqdm(
            total=steps, initial=self.step, desc=shown(name), unit="step", disable=silent or None
        )
        self.images = 0
        self.waited = 0.0
        self.start_clock()

    def seconds(self) -> float:
        """Wall time spent in this run, over all its sittings up to the last checkpoint."""
        return time.perf_counter() - self.begun

    def position(self) -> dict[str, Any]:
        """JSON-able; valid once everything before it is flushed to disk."""
        self.file.flush()
        size = os.fstat(self.file.fileno()).st_size
        if size:
            os.fsync(self.file.fileno())  # a checkpoint may not outlive its log
        return {
            "bytes": size,
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
            sums = self.window.setdefault(key, [0.0, 0.0])
            sums[0] += float(total)
            sums[1] += float(count)
        self.images += int(metrics["examples"][0])
        self.step = step
        if step % self.every == 0 or step == self.steps:
            values = means({key: (sums[0], sums[1]) for key, sums in self.window.items()})  # type: ignore[misc]
            self.window = {}
            self.write(step, "train", values)
            self._time(values["loss"])

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """One record of metrics.jsonl and the same numbers for TensorBoard."""
        self.file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        for key, value in values.items():
            self.board.add_scalar(f"{split}/{key}", value, step)

    def pictures(self, step: int, images: np.ndarray | None) -> None:
        """What the net is given in the step after `step`, for TensorBoard: uint8 `[n, H, W, 1 or 3]`."""
        if images is not None:
            colour = np.broadcast_to(images, (*images.shape[:-1], 3))
            self.board.add_images("train/images", colour, step, dataformats="NHWC")
        self.start_clock()

    def say(self, line: str | None) -> None:
        """Print a line above the bar."""
        if line:
            self.bar.write(line, file=sys.stderr)

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

    def close(self) -> None:
        """Close the files and the bar."""
        self.bar.close()
        self.file.close()
        self.timing.close()
        self.board.close()

    def _time(self, loss: float) -> None:
        now = time.perf_counter()
        then, images, waited = self.mark
        self.mark = (now, self.images, self.waited)
        speed = {
            "images_per_second": round((self.images - images) / (now - then), 1),
            "waiting": round((self.waited - waited) / (now - then), 3),
        }
        (of, peak), *_ = peak_memory().items()
        speed[f"{of}_peak_gib"] = round(peak / 2**30, 3)
        self._note({"step": self.step, **speed})
        for key, value in speed.items():
            self.board.add_scalar(f"time/{key}", value, self.step)
        rate = (
            f"{speed['images_per_second']:.0f} images/s, {speed['waiting']:.0%} waiting for input"
        )
        self.bar.set_postfix_str(f"loss {loss:.3f}, {rate}")

    def _note(self, values: dict[str, Any]) -> None:
        self.timing.write(json.dumps(values) + "\n")
        self.timing.flush()


class Pending:
    """Metrics of steps that are dispatched; the host takes them over when a window of the log ends.

    Until then nothing is moved: the host waits for the step before the one just dispatched, which
    keeps it from running ahead with batches that fill the memory.
    """

    def __init__(self, log: RunLog):
        self.log = log
        self.steps: list[tuple[int, Metrics]] = []

    @property
    def newest(self) -> Metrics | None:
        """Of the step that was dispatched last, if it was not taken over."""
        return self.steps[-1][1] if self.steps else None

    def add(self, step: int, metrics: Metrics) -> None:
        """Of the step that makes `step` complete. Raises NonFiniteLossError of those before it."""
        self.log.bar.update(step - self.log.bar.n)
        jax.block_until_ready(self.newest)
        if self.steps and self.steps[-1][0] % self.log.every == 0:
            self.fetch()
        self.steps.append((step, metrics))

    def fetch(self) -> None:
        """Take all over, those that are still being computed too. Raises NonFiniteLossError."""
        steps, self.steps = self.steps, []
        for (step, _), metrics in zip(steps, fetch([m for _, m in steps]), strict=True):
            self.log.train(step, metrics)
