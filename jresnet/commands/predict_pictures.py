"""`predict` of pictures: files in batches through a net, their results as a table and as drawings."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
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
    predict = trained.predict()
    names = [frame_name(path, 1) if is_film(path) else path for path in paths]
    table = Table(trained.task.columns(trained.classes), names)
    files = BATCH if any(map(is_film, paths)) else len(paths)
    pending: list[tuple[File, Case]] = []
    status = 0
    table.heading()

    def flush() -> None:
        batch = batched(
            [case.arrays for _, case in pending], rows_of(pending[0][1], files, trained.task)
        )
        rows = predict(batch)
        for place, (file, case) in enumerate(pending):
            of_case = {name: array[place] for name, array in rows.items()}
            prediction = trained.task.present(of_case, case, draw=results is not None)
            table.add(file.name, prediction.rows)
            if results is not None:
                results.add(file.number, file.name, prediction)
        pending.clear()

    for file in each(paths):
        try:
            case = dataclasses.replace(read_case(file, trained), identity=ids.image(file.name))
        except (DecodeError, ExampleError, OSError) as error:
            print(shown(f"skipped {file.name}: {error}"), file=sys.stderr)
            status = 1
            if results is not None:
                results.skip(file.name, str(error))
            continue
        if pending and shapes(case) != shapes(pending[0][1]):
            flush()
        pending.append((file, case))
        if len(pending) == rows_of(case, files, trained.task):
            flush()
    if pending:
        flush()
    if results is not None:
        results.write()
    return status


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
