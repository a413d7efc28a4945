"""Average precision of boxes, masks and keypoints over a split, gathered image by image."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from jresnet.tasks import average_precision as ap
from jresnet.tasks.detection_confusion import AT_HALF, Confusion, confusion_matrix, confusions
from jresnet.tasks.detection_records import Detections, Objects, images_of
from jresnet.tasks.froc import Froc, FrocCurve, Outcome, froc_curve, froc_scores, outcome
from jresnet.tasks.overlaps import (
    DEFAULT_SIGMA,
    box_areas,
    box_overlaps,
    keypoint_overlaps,
    mask_areas,
    mask_overlaps,
)

BOX, MASK, KEYPOINT = "", "mask/", "keypoint/"  # what the names of results begin with


@dataclasses.dataclass(frozen=True)
class DetectionScores:
    """The scores of a detector.

    - `boxes`: limits, ranges and thresholds for boxes and masks.
    - `keypoints`: those for keypoints; `average_precision.MANY_KEYPOINTS` for images with more
      than 20 objects.
    - `sigmas`: the spread of each keypoint, or of all, as a share of the root of the object's area;
      `overlaps.COCO_SIGMAS` for COCO's persons.
    - `confusion`: the detections that are compared in `DetectionCollector.confusion`.
    - `froc`: the rules of sensitivity at false positives an image, for lesions. None: not measured.
    """

    boxes: ap.Rules = ap.RULES
    keypoints: ap.Rules = ap.KEYPOINT_RULES
    sigmas: tuple[float, ...] | float = DEFAULT_SIGMA
    confusion: Confusion = AT_HALF
    froc: Froc | None = None

    def sigmas_of(self, count: int) -> tuple[float, ...]:
        """A number for each of so many keypoints. Raises ValueError for another number of them."""
        if not isinstance(self.sigmas, tuple):
            return (self.sigmas,) * count
        if len(self.sigmas) != count:
            raise ValueError(f"sigmas={self.sigmas}: expected {count} numbers, one a keypoint")
        return self.sigmas


class DetectionCollector:
    """Scores of the images of a split; an image leaves behind which detections hit, and no masks.

    `add` takes arrays `[batch, ...]`, in pixels of the originals, padded with class -1:

    - truth: `true_boxes` float32 `[b, limit, 4]`, `true_class` int32, `crowd` bool, `area` float32
      `[b, limit]`, `original` int32 `[b, 2]`, height and width; maybe `runs` uint32
      `[b, limit, R]`, COCO's run lengths, and `true_keypoints` `[b, limit, K, 3]`;
    - detections: `boxes` float32 `[b, count, 4]`, `scores` float32 and `class` int32
      `[b, count]`; maybe `masks` `[b, count, M, M]`, probabilities in the box, float or uint8 of
      which 255 is 1, and `keypoints` `[b, count, K, 2 or 3]`.

    `result` has for boxes `ap`, `ap50`, `ap75`, `ap/small`, `ar/100` and more
    (`average_precision.summary`), and of each class that occurs in the truth `class_ap/NAME` and
    `ap50/NAME`; the same under `mask/` and `keypoint/` where there are some. An object without a
    visible keypoint counts for nothing there. With `DetectionScores.froc` there are `froc`,
    `froc_low`, `froc_high` and `froc/1` and more, of all classes together (`froc.froc_scores`).
    """

    def __init__(self, scores: DetectionScores, classes: Sequence[str] = ()) -> None:
        self.scores = scores
        self.classes = classes
        self.kinds: dict[str, ap.Accumulation] = {BOX: ap.Accumulation(scores.boxes)}
        self.outcomes: list[Outcome] = []
        self.confused: Counter[tuple[int, int]] = Counter()

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Match the detections of a batch. Raises ValueError for a name that is missing."""
        for objects, detections in images_of(outputs):
            self.add_image(objects, detections)

    def add_image(self, objects: Objects, detections: Detections) -> None:
        """Match the detections of an image: masks and keypoints where both have them."""
        for kind, field in ((BOX, "boxes"), (MASK, "masks"), (KEYPOINT, "keypoints")):
            if any(getattr(one, field) is None for one in (objects, detections)):
                continue
            rules = self.scores.keypoints if kind == KEYPOINT else self.scores.boxes
            self.kinds.setdefault(kind, ap.Accumulation(rules))
            self.kinds[kind].add(self._matched(kind, objects, detections))
        self.confused += confusions(objects, detections, self.scores.confusion)
        if self.scores.froc is not None:
            self.outcomes.append(outcome(objects, detections, self.scores.froc))

    def _matched(self, kind: str, objects: Objects, detections: Detections) -> ap.Matched:
        rules = self.kinds[kind].rules
        detections = detections.keep(detections.ranks() < rules.limits[-1])
        ignored = objects.crowd
        if kind == MASK:
            assert objects.masks is not None
            assert detections.masks is not None
            same = detections.classes[:, None] == objects.classes
            overlaps = mask_overlaps(detections.masks, objects.masks, objects.crowd, same)
            areas = mask_areas(detections.masks)
        elif kind == KEYPOINT:
            assert objects.keypoints is not None
            assert detections.keypoints is not None
            points = detections.keypoints[..., :2]
            sigmas = self.scores.sigmas_of(points.shape[1])
            overlaps = keypoint_overlaps(
                points, objects.keypoints, objects.boxes, objects.areas, sigmas
            )
            areas = np.prod(points.max(1) - points.min(1), -1, dtype=np.float64)
            ignored = ignored | ~(objects.keypoints[..., 2] > 0).any(-1)
        else:
            overlaps = box_overlaps(detections.boxes, objects.boxes, objects.crowd)
            areas = box_areas(detections.boxes)
        return ap.match(objects, detections, overlaps, areas, ignored, rules)

    def precision(self, kind: str = BOX) -> dict[str, np.ndarray]:
        """Precision at the recalls 0, 0.01 ... 1 and an overlap of 0.5, by class: float64 `[101]`.

        `report.detection.precision_recall` draws it.
        """
        accumulation = self.kinds[kind]
        curves, at = accumulation.curves(), ap.place_of(accumulation.rules, 0.5)
        return {
            self.name(number): curves.precision[at, :, place, 0]
            for place, number in enumerate(curves.classes)
        }

    def confusion(self) -> np.ndarray:
        """Counts by true class (row) and detected one, the last of both nothing: int64 `[n, n]`.

        `report.pictures.confusion_matrices` draws it, with a name for nothing after the classes'.
        """
        highest = max((max(pair) for pair in self.confused), default=-1)
        return confusion_matrix(self.confused, max(len(self.classes), highest + 1))

    def froc(self) -> FrocCurve:
        """Sensitivity against false positives an image, for `report.detection.froc_figure`.

        Raises ValueError if it is not measured.
        """
        if self.scores.froc is None:
            raise ValueError("froc=None: expected the rules of a hit")
        return froc_curve(self.outcomes, self.scores.froc)

    def result(self) -> dict[str, float]:
        """The scores by name."""
        results = {}
        for kind, accumulation in self.kinds.items():
            curves, rules = accumulation.curves(), accumulation.rules
            scores = ap.summary(curves, rules)
            of_classes = ap.by_class(curves, rules)
            scores |= {f"ap50/{self.name(n)}": half for n, (_, half) in of_classes.items()}
            scores |= {f"class_ap/{self.name(n)}": mean for n, (mean, _) in of_classes.items()}
            results |= {f"{kind}{name}": value for name, value in scores.items()}
        if self.scores.froc is not None:
            results |= froc_scores(self.froc())
        return results

    def name(self, number: int) -> str:
        """The name of a class, or its number if it has none."""
        return self.classes[number] if number < len(self.classes) else str(number)
