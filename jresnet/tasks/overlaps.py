"""How much detections overlap with true objects: boxes, masks, keypoints, by COCO's rules.

Each is float64 `[detections, objects]`, from 0 to 1. For a crowd, which a detection need not cover,
the intersection is divided by the detection's area instead of the union's. As pycocotools'
`maskUtils.iou` and `COCOeval.computeOks`.
"""

from collections.abc import Sequence

import numpy as np

from jresnet.tasks.mask_parts import MaskPart

# Spreads of COCO's 17 keypoints of a person: nose, eyes, ears, shoulders, elbows, wrists, hips,
# knees, ankles (cocodataset.org, "Keypoint evaluation").
COCO_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
    0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
DEFAULT_SIGMA = 0.05  # for keypoints of which nobody measured how well people agree


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Areas float64 `[n]` of `[n, 4]` in pixels; 0 for swapped corners and where one is not finite."""
    boxes = _finite(boxes)
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), 1)


def _finite(boxes: np.ndarray) -> np.ndarray:
    """Boxes as float64, zeros for those that are not finite."""
    return np.where(np.isfinite(boxes).all(1, keepdims=True), boxes, 0).astype(np.float64)


def box_overlaps(detected: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU of boxes.

    Args:
        detected: `[detections, 4]`, x1 y1 x2 y2. One that is not finite overlaps with nothing.
        true: `[objects, 4]`.
        crowd: bool `[objects]`.
    """
    detected, true = _finite(detected), _finite(true)
    low = np.maximum(detected[:, None, :2], true[None, :, :2])
    high = np.minimum(detected[:, None, 2:], true[None, :, 2:])
    width, height = np.moveaxis(high - low, -1, 0)
    inner = np.where((width > 0) & (height > 0), width * height, 0)
    return _share(inner, box_areas(detected), box_areas(true), crowd)


def mask_overlaps(
    detected: Sequence[MaskPart],
    true: Sequence[MaskPart],
    crowd: np.ndarray,
    asked: np.ndarray,
) -> np.ndarray:
    """IoU of masks of one image.

    Args:
        detected: a mask for each detection.
        true: a mask for each object.
        crowd: bool `[objects]`.
        asked: bool `[detections, objects]`, the pairs to measure, as it takes a while; 0 elsewhere.
    """
    inner = np.zeros(asked.shape)
    for row, column in np.argwhere(asked).tolist():
        inner[row, column] = detected[row].intersection(true[column])
    return _share(inner, mask_areas(detected), mask_areas(true), crowd)


def mask_areas(masks: Sequence[MaskPart]) -> np.ndarray:
    """Pixels of each mask, float64 `[n]`."""
    return np.array([mask.area for mask in masks], np.float64)


def keypoint_overlaps(
    detected: np.ndarray,
    true: np.ndarray,
    boxes: np.ndarray,
    areas: np.ndarray,
    sigmas: Sequence[float],
) -> np.ndarray:
    """Object keypoint similarity, the mean over the object's visible keypoints.

    For an object without any, how far the points lie outside of its box enlarged threefold.

    Args:
        detected: `[detections, keypoints, 2 or more]`, x and y in pixels.
        true: `[objects, keypoints, 3]`, with the visibility, 0 for none.
        boxes: of the objects, `[objects, 4]`.
        areas: of the objects, `[objects]` in pixels.
        sigmas: the spread of each keypoint, `[keypoints]`, as a share of the root of the area.
    """
    points, true = detected[..., :2].astype(np.float64), true.astype(np.float64)
    boxes = boxes.astype(np.float64)
    visible = true[..., 2] > 0
    seen = np.asarray(visible.any(-1))
    sides = boxes[:, 2:] - boxes[:, :2]
    low, high = boxes[:, None, :2] - sides[:, None], boxes[:, None, 2:] + sides[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        places = points[:, None]  # [detections, 1, keypoints, 2]
        outside = np.maximum(low - places, 0) + np.maximum(places - high, 0)
        distances = np.where(seen[:, None, None], places - true[..., :2], outside)
        variances = np.square(2 * np.asarray(sigmas, np.float64))
        error = np.square(distances).sum(-1) / variances
        error = error / (areas.astype(np.float64)[:, None] + np.spacing(1)) / 2
        counted = np.where(seen[:, None], visible, True)
        similar = np.where(counted, np.exp(-error), 0).sum(-1) / np.maximum(counted.sum(-1), 1)
    return np.nan_to_num(similar, nan=0.0)


def _share(
    inner: np.ndarray, detected: np.ndarray, true: np.ndarray, crowd: np.ndarray
) -> np.ndarray:
    """Intersections as a share of unions, or of the detections where the object is a crowd."""
    union = np.where(crowd, detected[:, None], detected[:, None] + true[None] - inner)
    return np.where(inner > 0, inner / np.where(union > 0, union, 1), 0)
