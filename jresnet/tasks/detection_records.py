"""One image's true objects and detections, on the host."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jresnet.tasks.mask_parts import MaskPart, from_runs, pasted

TRUTH = ("true_boxes", "true_class", "crowd", "area", "original")
DETECTED = ("boxes", "scores", "class")


@dataclasses.dataclass(frozen=True)
class Objects:
    """The true objects of an image, in pixels of the original.

    - `boxes`: float32 `[n, 4]`, x1 y1 x2 y2.
    - `classes`: int32 `[n]`, from 0.
    - `crowd`: bool `[n]`.
    - `areas`: float32 `[n]`.
    - `masks`: one an object, if there are masks.
    - `keypoints`: float32 `[n, K, 3]`, x, y and visibility, if there are any.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    masks: Sequence[MaskPart] | None = None
    keypoints: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Detections:
    """Detected objects of an image by falling score, equal ones as they came.

    - `boxes`: float32 `[n, 4]`, x1 y1 x2 y2 in pixels of the original.
    - `scores`: float32 `[n]`.
    - `classes`: int32 `[n]`, from 0.
    - `masks`: one a detection, if the net has masks.
    - `keypoints`: float32 `[n, K, 2 or 3]`, if the net has keypoints.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: Sequence[MaskPart] | None = None
    keypoints: np.ndarray | None = None

    def ranks(self) -> np.ndarray:
        """Each detection's place among those of its class, int `[n]`: 0 for the highest score."""
        order = np.argsort(self.classes, kind="stable")
        _, first, counts = np.unique(self.classes[order], return_index=True, return_counts=True)
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order)) - np.repeat(first, counts)
        return ranks

    def keep(self, rows: np.ndarray) -> "Detections":
        """Those of the rows, bool or int."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Detections(
            self.boxes[rows],
            self.scores[rows],
            self.classes[rows],
            None if self.masks is None else [self.masks[row] for row in rows.tolist()],
            None if self.keypoints is None else self.keypoints[rows],
        )


def images_of(outputs: Mapping[str, np.ndarray]) -> Iterator[tuple[Objects, Detections]]:
    """The images of a batch of a detector's outputs, without padding, whose class is below 0.

    Args:
        outputs: `true_boxes`, `true_class`, `crowd`, `area`, `original`; `boxes`, `scores`,
            `class`; where there are masks `runs` and `masks`, where there are keypoints
            `true_keypoints` and `keypoints`. See `DetectionCollector`.

    Raises ValueError for a name that is missing.
    """
    if missing := [name for name in (*TRUTH, *DETECTED) if name not in outputs]:
        raise ValueError(f"outputs: expected {', '.join(missing)} too, got {', '.join(outputs)}")
    for number in range(len(outputs["scores"])):
        row = {name: array[number] for name, array in outputs.items()}
        if "runs" not in row:  # nothing to compare them with, and pasting takes a while
            row.pop("masks", None)
        yield objects_of(row), detections_of(row)


def objects_of(row: Mapping[str, np.ndarray]) -> Objects:
    """The true objects of one image, from its outputs or its example, without padding."""
    real = np.flatnonzero(row["true_class"] >= 0)
    masks, keypoints = None, None
    if "runs" in row:
        height, width = row["original"].tolist()
        masks = [from_runs(row["runs"][number], height, width) for number in real.tolist()]
    if "true_keypoints" in row:
        keypoints = row["true_keypoints"][real]
    return Objects(
        row["true_boxes"][real],
        row["true_class"][real],
        row["crowd"][real].astype(bool),
        row["area"][real],
        masks,
        keypoints,
    )


def detections_of(row: Mapping[str, np.ndarray]) -> Detections:
    """The detections of one image, from its outputs, without padding, by falling score.

    Args:
        row: `boxes`, `scores`, `class`; maybe `keypoints`, and `masks`, which need `original`.
    """
    real = np.flatnonzero(row["class"] >= 0)
    real = real[np.argsort(-row["scores"][real], kind="stable")]
    masks = None
    if "masks" in row:
        height, width = row["original"].tolist()
        masks = [pasted(row["masks"][n], row["boxes"][n], height, width) for n in real.tolist()]
    return Detections(
        row["boxes"][real],
        row["scores"][real],
        row["class"][real],
        masks,
        row["keypoints"][real] if "keypoints" in row else None,
    )
