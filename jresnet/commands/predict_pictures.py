"""`predict` of pictures: files in batches through a net, their results as a table and as drawings."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.commands.detectors import NO_IDS, Ids
from jresnet.commands.files import File, each, frame_name
from jresnet.commands.results import Results
from jresnet.commands.table import Table
from jresnet.commands.trained import Trained
from jresnet.data import images
from jresnet.data.broken import ExampleError
from jresnet.data.decoders import DecodeError
from jresnet.data.films import is_film
from jresnet.tasks.case import Case
from jresnet.tasks.upscale import Upscale
from jresnet.text import shown

BATCH = 32  # files at a time, fewer where an array of theirs is large:
VALUES = BATCH * 3 * 512 * 512


def predict_pictures(
    paths: Sequence[Path], trained: Trained, results: Results | None, ids: Ids = NO_IDS
) -> int:
    """Print a table of the results of every file that can be read; 1 if there is one that cannot.

    They are also written if there are `results` to add them to, under the `ids` of their set.
    """
    names = [frame_name(path, 1) if is_film(path) else path for path in paths]
    table = Table(trained.task.columns(trained.classes), names)
    skipped = Skipped(results)
    table.heading()
    for file, case, rows in in_batches(paths, trained, skipped):
        case = dataclasses.replace(case, identity=ids.image(file.name))
        prediction = trained.task.present(rows, case, draw=results is not None)
        table.add(file.name, prediction.rows)
        if results is not None:
            results.add(file.number, file.name, prediction)
    if results is not None:
        results.write()
    return 1 if skipped.count else 0


class Skipped:
    """Files that could not be read: each is named on stderr, and among the results if there are any."""

    def __init__(self, results: Results | None = None):
        self.results, self.count = results, 0

    def add(self, path: Path, error: Exception) -> None:
        """Name one file, and the reason."""
        print(shown(f"skipped {path}: {error}"), file=sys.stderr)
        self.count += 1
        if self.results is not None:
            self.results.skip(path, str(error))


def in_batches(
    paths: Sequence[Path], trained: Trained, skipped: Skipped
) -> Iterator[tuple[File, Case, dict[str, np.ndarray]]]:
    """Each file that can be read, prepared, and its rows of the results; computed in batches.

    Files whose arrays have one shape share a batch. Others go to `skipped`.
    """
    predict = trained.predict()
    files = BATCH if any(map(is_film, paths)) else len(paths)
    pending: list[tuple[File, Case]] = []

    def flush() -> Iterator[tuple[File, Case, dict[str, np.ndarray]]]:
        batch = batched(
            [case.arrays for _, case in pending], rows_of(pending[0][1], files, trained.task)
        )
        rows = predict(batch)
        for place, (file, case) in enumerate(pending):
            yield file, case, {name: array[place] for name, array in rows.items()}
        pending.clear()

    for file in each(paths):
        try:
            case = read_case(file, trained)
        except (DecodeError, ExampleError, OSError) as error:
            skipped.add(file.name, error)
            continue
        if pending and shapes(case) != shapes(pending[0][1]):
            yield from flush()
        pending.append((file, case))
        if len(pending) == rows_of(case, files, trained.task):
            yield from flush()
    if pending:
        yield from flush()


def read_case(file: File, trained: Trained) -> Case:
    """One file, prepared. Raises OSError, DecodeError and ExampleError."""
    content = file.read()
    arrays, place = trained.prepare(content)
    return Case(
        str(file.name), arrays, trained.classes, lambda: images.decode(content), place, content
    )


def rows_of(case: Case, files: int, task: object) -> int:
    """The rows of a batch of such cases out of so many files; the same for cases of one shape.

    A task that enlarges pictures needs more memory than they have: it tells how much.
    """
    largest = max(array.size for array in case.arrays.values())
    if isinstance(task, Upscale):
        largest = task.values(case.arrays["image"].shape)
    return min(BATCH, files, max(1, VALUES // largest))


def shapes(case: Case) -> dict[str, tuple[object, ...]]:
    """The shape and type of each of a case's arrays."""
    return {name: (*array.shape, array.dtype) for name, array in case.arrays.items()}


def batched(rows: Sequence[Mapping[str, np.ndarray]], size: int) -> dict[str, np.ndarray]:
    """Examples as a batch of `size`, whose last rows are zeros: one shape, one compilation."""
    batch = {}
    for name, first in rows[0].items():
        batch[name] = np.zeros((size, *first.shape), first.dtype)
        batch[name][: len(rows)] = [row[name] for row in rows]
    return batch
