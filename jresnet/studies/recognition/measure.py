"""Cosines of a trained net's test pairs, and whether a training is stuck."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.curves import read_metrics
from jresnet.tasks.face_collector import placed, split_ranks
from jresnet.tasks.face_guard import signs_of, warning
from jresnet.tasks.verification import Pairs, cumulative_matches, similarities

PIXELS = 1 << 28
OUTPUTS = "outputs-test.npz"


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Vectors of test pictures, `[rows, n]`, whom they show and their positions in the split."""

    vectors: np.ndarray
    label: np.ndarray
    index: np.ndarray

    def scored(self, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
        """Cosines of pairs, and which of the pairs these are: those whose pictures could be read."""
        there = np.isin(pairs.left, self.index) & np.isin(pairs.right, self.index)
        rows, _ = placed(pairs.kept(there), self.index)
        return similarities(self.vectors, rows), np.flatnonzero(there)

    def curve(self, gallery: int) -> np.ndarray:
        """The CMC, `[people]`, with so many pictures a person in the gallery."""
        ranks = split_ranks(self.vectors, self.label, self.index, gallery)
        return cumulative_matches(ranks, len(np.unique(self.label)))


def read_vectors(folder: Path) -> Vectors:
    """The embeddings that a training left in its folder."""
    with np.load(folder / OUTPUTS) as file:
        return Vectors(file["embedding"], file["label"], file["index"])


def pixels_of(experiment: Experiment) -> Vectors | None:
    """Pixels of each test picture less their mean, whose cosines are what a net must beat.

    None for a set too large to hold.
    """
    data = experiment.data
    values = math.prod(data.example_batch["image"].shape[1:])
    if data.size("test") * values > PIXELS:
        return None
    parts: dict[str, list[np.ndarray]] = {"image": [], "label": [], "index": []}
    for batch in data.examples("test", (0, 1)):
        valid = batch["valid"] > 0
        for name, rows in parts.items():
            rows.append(batch[name][valid])
    images, label, index = (np.concatenate(rows) for rows in parts.values())
    flat = images.reshape(len(images), -1).astype(np.float32)
    return Vectors(flat - flat.mean(1, keepdims=True), label, index)


def confusing(scores: np.ndarray, same: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the nearest pairs of two people, and of the farthest pairs of one, most so first."""
    order = np.argsort(scores, kind="stable")
    different, alike = order[~same[order]], order[same[order]]
    return different[::-1][:count], alike[:count]


def stuck(result: Result) -> str | None:
    """The guard's line for a finished training; None if nothing is wrong, or nothing was measured."""
    records = [line for line in read_metrics(result.folder) if line["split"] == "train"]
    signs = signs_of(records, result.metrics.get("test", {}))
    return None if signs is None else warning(signs)


def told(results: Sequence[Result]) -> list[str]:
    """The guard's lines for trainings, each with the training's name."""
    lines = ((result.folder.name, stuck(result)) for result in results)
    return [f"{name}: {line}" for name, line in lines if line]
