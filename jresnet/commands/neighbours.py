"""Pictures whose features are alike: as a table, and drawn side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from jresnet.commands.files import read
from jresnet.commands.table import Table
from jresnet.commands.trained import Trained
from jresnet.report.colours import BLUE, rgb
from jresnet.report.drawing import as_rgb, enlarged, labelled
from jresnet.storage import replacing
from jresnet.tasks.case import Column
from jresnet.text import shown

SIDE = 160  # pixels of a drawn picture, at least
FRAME = 6  # pixels around the picture whose neighbours follow


def nearest(
    features: np.ndarray, queries: Sequence[int], count: int
) -> list[list[tuple[int, float]]]:
    """(row, cosine) of the rows that point most like each query's, itself left out.

    Args:
        features: `[n, c]`; a row of zeros has a cosine of 0 with all.
        queries: rows of which neighbours are wanted.
        count: neighbours of each, fewer if there are not so many rows.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.where(lengths > 0, lengths, 1)
    results = []
    for query in queries:
        cosines = directions @ directions[query]
        order = [row for row in np.argsort(-cosines, kind="stable") if row != query]
        results.append([(int(row), float(cosines[row])) for row in order[:count]])
    return results


def spread(total: int, count: int) -> list[int]:
    """Up to `count` different numbers below `total`, at equal distances, from 0."""
    return [number * total // min(count, total) for number in range(min(count, total))]


def draw_neighbours(
    path: Path,
    files: Sequence[Path],
    features: np.ndarray,
    trained: Trained,
    pictures: int,
    count: int,
) -> None:
    """Print and draw the nearest neighbours of some files, spread evenly over all.

    Args:
        path: PNG to write.
        files: one a row of `features`; they are read again.
        features: `[n, c]`.
        trained: prepares the files.
        pictures: how many files are asked for.
        count: neighbours of each.
    """
    queries = spread(len(files), pictures)
    neighbours = nearest(features, queries, count)
    table = Table(
        (Column("nearest", tuple(map(str, files))), Column("cosine", ("-0.000",), right=True)),
        [files[query] for query in queries],
    )
    table.heading()
    drawn, labels = [], []
    for query, rows in zip(queries, neighbours, strict=True):
        table.add(files[query], [(str(files[row]), f"{cosine:.3f}") for row, cosine in rows])
        drawn.append(framed(_pixels(files[query], trained)))
        labels.append(files[query].name)
        for row, cosine in rows:
            drawn.append(_pixels(files[row], trained))
            labels.append(f"{cosine:.3f}")  # the table has the names, for which there is no room
    canvas = labelled(drawn, labels, columns=1 + len(neighbours[0]))
    with replacing(path) as file:
        Image.fromarray(canvas).save(file, "PNG")
    print(f"{shown(path)}: {len(queries)} pictures, each followed by its nearest")


def framed(picture: np.ndarray) -> np.ndarray:
    """A picture with a coloured frame inside its borders."""
    result = picture.copy()
    for edge in (np.s_[:FRAME], np.s_[-FRAME:], np.s_[:, :FRAME], np.s_[:, -FRAME:]):
        result[edge] = rgb(BLUE)
    return result


def _pixels(path: Path, trained: Trained) -> np.ndarray:
    """A picture as the net sees it, large enough to be looked at."""
    arrays, _ = trained.prepare(read(path))
    return enlarged(as_rgb(arrays["image"]), SIDE)
