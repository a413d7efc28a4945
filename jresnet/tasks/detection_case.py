"""Detections of one picture for people and for programs: table, record, drawings."""

from collections.abc import Mapping, Sequence

import numpy as np

from jresnet.data import runs
from jresnet.tasks.case import Case, Picture, Prediction
from jresnet.tasks.coco_results import coco_results
from jresnet.tasks.detection_confusion import NOTHING, Confusion, matches
from jresnet.tasks.detection_pictures import detections_drawn, truth_compared
from jresnet.tasks.detection_records import Detections, Objects
from jresnet.tasks.mask_parts import pasted
from jresnet.tasks.objects import HIT

COCO = "coco"  # the file that holds the detections of all pictures


def detections_in(case: Case, results: Mapping[str, np.ndarray], least: float) -> Detections:
    """Detections of at least the score `least`, in pixels of the case's picture.

    `results` are those of `objects.detected`, in pixels of the prepared picture.
    """
    told = (results["class"] >= 0) & (results["scores"] >= least)
    real = np.flatnonzero(told & np.isfinite(results["boxes"]).all(-1))
    real = real[np.argsort(-results["scores"][real], kind="stable")]
    boxes = case.to_original(results["boxes"][real].reshape(-1, 2, 2)).reshape(-1, 4)
    height, width = case.picture().shape[:2]
    masks = points = None
    if "masks" in results:
        pairs = zip(results["masks"][real], boxes, strict=True)
        masks = [pasted(mask, box, height, width) for mask, box in pairs]
    if "keypoints" in results:
        points = case.to_original(results["keypoints"][real][..., :2])  # the third is a logit
    return Detections(boxes, results["scores"][real], results["class"][real], masks, points)


def truth_in(case: Case) -> Objects:
    """The true objects in the prepared picture."""
    arrays = case.arrays
    rows = np.flatnonzero(arrays["class"] >= 0)
    height, width = case.picture().shape[:2]
    masks = None
    if "masks" in arrays:
        pairs = zip(arrays["masks"][rows], arrays["frames"][rows], strict=True)
        masks = [pasted(mask, frame, height, width) for mask, frame in pairs]
    points = arrays["keypoints"][rows] if "keypoints" in arrays else None
    crowd = arrays["crowd"][rows].astype(bool)
    return Objects(
        arrays["boxes"][rows], arrays["class"][rows], crowd, arrays["area"][rows], masks, points
    )


def present(
    case: Case,
    results: Mapping[str, np.ndarray],
    certain: float,
    draw: bool,
    categories: Sequence[int] = (),
) -> Prediction:
    """A row a class with the number of its sure detections; a record of all detections.

    `categories` are the ids of the classes in COCO's format; by default from 1 on.
    """
    every = detections_in(case, results, 0.0)
    sure = every.keep(every.scores >= certain)
    numbers, counts = np.unique(sure.classes, return_counts=True)
    rows = [
        (case.class_name(number), str(count), f"{sure.scores[sure.classes == number].max():.3f}")
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    ] or [("nothing", "0", "")]
    picture = case.picture()
    size = picture.shape[0], picture.shape[1]
    identity = case.name if case.identity is None else case.identity
    entries = coco_results(
        identity, every, size, categories or None, lambda mask: runs.to_string(runs.encode(mask))
    )
    names = [case.class_name(number) for number in every.classes.tolist()]
    record = [{"class": name, **entry} for name, entry in zip(names, entries, strict=True)]
    if not draw:
        return Prediction(rows, {"detections": record})
    drawing = detections_drawn(picture, every, case.classes, certain)
    return Prediction(rows, {"detections": record}, drawing, joined={COCO: entries})


def show(case: Case, results: Mapping[str, np.ndarray], certain: float) -> Picture:
    """Truth and sure detections in one picture: hits, false positives and missed objects.

    Detections in crowds are neither.
    """
    truth, sure = truth_in(case), detections_in(case, results, certain)
    rule = Confusion(certain, HIT)
    pixels = truth_compared(case.picture(), truth, sure, case.classes, rule)
    partners = matches(truth, sure, HIT)
    real, false = int((~truth.crowd).sum()), int((partners == NOTHING).sum())
    hits = int((~truth.crowd[partners[partners != NOTHING]]).sum())
    objects = "1 object" if real == 1 else f"{real} objects"
    return Picture(pixels, f"{objects}, {hits} hit, {false} false")
