"""Masks without learning, to compare nets with: bright regions by Otsu's threshold."""

from typing import Any, TypeGuard

import numpy as np
from scipy import ndimage

from jresnet.data.pipeline import ImageData
from jresnet.data.with_boxes import FitWithBoxes
from jresnet.tasks.detection_collector import DetectionCollector
from jresnet.tasks.detection_records import Detections, images_of
from jresnet.tasks.mask_parts import MaskPart

SMALLEST = 4  # pixels of a region


def otsu(image: np.ndarray) -> int:
    """The grey value up to which pixels are dark, of uint8 `[H, W]` (Otsu 1979).

    It makes the variance between the dark and the bright as large as it can be.
    """
    counts = np.bincount(image.reshape(-1), minlength=256).astype(np.float64)
    values = np.arange(256)
    dark = np.cumsum(counts)
    bright = counts.sum() - dark
    sums = np.cumsum(counts * values)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums / dark - (sums[-1] - sums) / bright
    between = np.nan_to_num(dark * bright * apart**2)
    return int(between.argmax())


def regions(image: np.ndarray) -> Detections:
    """The connected bright regions of uint8 `[H, W]` as detections of class 0, the brightest first."""
    labelled: Any = ndimage.label(image > otsu(image))
    labels = labelled[0]
    parts, boxes, scores = [], [], []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        inside = labels[rows, columns] == number
        if inside.sum() < SMALLEST:
            continue
        parts.append(MaskPart(rows.start, columns.start, inside, int(inside.sum())))
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        scores.append(float(image[rows, columns][inside].mean()) / 255)
    order = np.argsort(-np.array(scores), kind="stable").astype(int)
    detections = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.zeros(len(boxes), np.int32),
        parts,
    )
    return detections.keep(order)


def applies(data: Any) -> TypeGuard[ImageData]:
    """Whether bright regions can stand beside nets: one class with masks, images at their own size."""
    transform = data.eval_transform if isinstance(data, ImageData) else None
    if not isinstance(transform, FitWithBoxes) or transform.runs is None:
        return False
    shape = data.info().fixed_shape
    return (
        data.info().num_classes == 1 and shape is not None and transform.size in (None, shape[:2])
    )


def measured(
    data: ImageData, collector: DetectionCollector, split: str = "test"
) -> dict[str, float]:
    """The scores of bright regions in a split whose images are evaluated at their own size."""
    for batch in data.examples(split, (0, 1)):
        real = np.flatnonzero(np.asarray(batch["valid"]) > 0)
        images = np.asarray(batch["image"])[real]
        nothing = np.zeros((len(real), 0))
        truth = {name: np.asarray(batch[name])[real] for name in ("crowd", "area", "original")}
        truth |= {"runs": np.asarray(batch["runs"])[real]}
        truth |= {"true_boxes": np.asarray(batch["boxes"])[real]}
        truth |= {"true_class": np.asarray(batch["class"])[real]}
        empty = {"boxes": np.zeros((len(real), 0, 4)), "scores": nothing, "class": nothing}
        for image, (objects, _) in zip(images, images_of({**truth, **empty}), strict=True):
            grey = image.mean(-1).round().astype(np.uint8)
            collector.add_image(objects, regions(grey))
    return collector.result()
