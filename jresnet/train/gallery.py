"""Evaluation examples drawn, truth beside prediction: a few while training, the telling ones at its end."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from jresnet.report import gallery as report
from jresnet.report.drawing import padded
from jresnet.runtime import mesh as meshes
from jresnet.tasks.base import CONSTANTS, Batch, Scores, Shows, Task, Variables
from jresnet.tasks.case import Case, Picture
from jresnet.train.data import Data, HostBatch

WATCHED = 8  # examples that TensorBoard shows of each evaluation


@runtime_checkable
class Picking(Protocol):
    """Data that gives examples by number, without reading those before them."""

    def pick(self, split: str, positions: Sequence[int]) -> Iterator[tuple[int, HostBatch]]:
        """(position, batch of that one row), as `Data.examples` gives it, broken ones left out."""
        ...


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The pictures of one training.

    Nothing is drawn for a task that does not show (`tasks.base.Shows`), and if `count` is 0. Every
    process computes, each method is called by all of them; the one with a `folder` writes.
    """

    task: Task
    data: Data
    mesh: Mesh
    folder: Path | None
    count: int
    constants: Any = None

    @functools.cached_property
    def shows(self) -> Shows | None:
        """The task, if there is something to draw."""
        return self.task if self.count > 0 and isinstance(self.task, Shows) else None

    def watched(self, variables: Variables, split: str) -> np.ndarray | None:
        """The first examples of a split drawn, uint8 `[n, H, W, 3]`, the same ones every time.

        None if there is nothing to draw.
        """
        if self.shows is None:
            return None
        positions = range(min(WATCHED, self.count, self.data.size(split)))
        drawn = self._drawn(variables, split, positions)
        pixels = [picture.pixels for *_, picture in drawn]
        return padded(pixels) if pixels else None

    def write(self, variables: Variables, split: str, between: Callable[[], None]) -> None:
        """Draw the worst, median and best examples into the folder, a third of `count` each.

        Without scores (`tasks.base.Scores`) the first `count`. Calls `between` after every batch.
        """
        if self.shows is None:
            return
        scores = self._scores(variables, split, between)
        if scores is None:
            size = min(self.count, self.data.size(split))
            groups = {"first": list(range(size))}
        else:
            groups = chosen(scores, self.count)
        group_of = {at: name for name, positions in groups.items() for at in positions}
        drawn = list(self._drawn(variables, split, list(group_of), between))
        if self.folder is None:
            return
        entries = [
            report.Entry(
                group_of[position], position, case.name,
                None if scores is None else scores[position],
                picture.pixels, picture.caption, picture.colour,
            )
            for position, case, picture in drawn
        ]  # fmt: skip
        report.write(self.folder, split, entries, self.shows.legend(self._classes))

    def _scores(
        self, variables: Variables, split: str, between: Callable[[], None]
    ) -> dict[int, float] | None:
        """The score of each example that could be read, by its number."""
        task = self.task
        if not isinstance(task, Scores):
            return None

        def scored(variables: Variables, batch: Batch) -> dict[str, jax.Array]:
            score = task.scores(variables, batch)
            return {"score": score, "index": batch["index"], "valid": batch["valid"]}

        step = jax.jit(scored, out_shardings=meshes.replicated(self.mesh))
        scores: dict[int, float] = {}
        for batch in self.data.examples(split, meshes.host(self.mesh)):
            rows = meshes.fetch(
                step(self._with_constants(variables), meshes.put_batch(batch, self.mesh))
            )
            real = rows["valid"] > 0
            scores |= zip(rows["index"][real].tolist(), rows["score"][real].tolist(), strict=True)
            between()
        return scores

    def _drawn(
        self,
        variables: Variables,
        split: str,
        positions: Sequence[int],
        between: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[int, Case, Picture]]:
        """The examples at these places of a split, drawn one by one."""
        assert self.shows is not None
        for position, batch in rows_at(self.data, split, positions):
            # The same row in every process, so that none has to send it to another.
            row = meshes.put_replicated(batch, self.mesh)
            results = meshes.fetch(self._predict(self._with_constants(variables), row))
            between()
            case = Case(
                describe(self.data, split, position),
                {name: array[0] for name, array in batch.items()},
                self._classes,
            )
            one = {name: array[0] for name, array in results.items()}
            yield position, case, self.shows.show(one, case)

    def _with_constants(self, variables: Variables) -> Variables:
        return variables if self.constants is None else {**variables, CONSTANTS: self.constants}

    @functools.cached_property
    def _predict(self) -> Callable[[Variables, Batch], dict[str, jax.Array]]:
        assert self.shows is not None
        replicated = meshes.replicated(self.mesh)
        # It runs for a few rows: XLA:CPU would take longer to optimise it.
        cpu = jax.default_backend() == "cpu"
        options: Any = {"xla_backend_optimization_level": 0} if cpu else None
        return jax.jit(self.shows.predict, out_shardings=replicated, compiler_options=options)

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        info: Any = getattr(self.data, "info", None)
        return () if info is None else tuple(info().class_names)


def chosen(scores: Mapping[int, float], count: int) -> dict[str, list[int]]:
    """Numbers of the worst, median and best examples, a third of `count` each, none twice.

    Equal scores go by the example's number; NaN is the worst. With fewer than three examples all
    are among the worst.
    """
    order = sorted(scores, key=lambda at: (not np.isnan(scores[at]), scores[at], at))
    each = min(max(1, count // 3), len(order) // 3)
    if each == 0:
        return {"worst": order}
    middle = (len(order) - each) // 2
    return {
        "worst": order[:each],
        "median": order[middle : middle + each],
        "best": order[: -each - 1 : -1],
    }


def rows_at(data: Data, split: str, positions: Sequence[int]) -> Iterator[tuple[int, HostBatch]]:
    """(position, batch of that one row) for each position in a split, in that order.

    Broken examples are left out.
    """
    if isinstance(data, Picking):
        yield from data.pick(split, positions)
        return
    rows, missing = {}, set(positions)
    with contextlib.closing(data.examples(split, (0, 1))) as batches:
        while missing and (batch := next(batches, None)) is not None:
            for place, number in enumerate(batch["index"].tolist()):
                if number in missing:
                    missing.remove(number)
                    rows[number] = {name: x[place : place + 1] for name, x in batch.items()}
    for position in positions:
        if rows[position]["valid"][0] > 0:
            yield position, rows[position]


def describe(data: Data, split: str, position: int) -> str:
    """An example's file, where the data knows it, or its number in the split."""
    source: Any = getattr(data, "source", None)
    if source is None:
        return f"{split} {position}"
    return source(split).describe(position)
