"""Random boxes with the cases that break detectors, and plain loops that say what is right."""

import numpy as np


def hard_boxes(rng, *shape):
    """Boxes float32 `[*shape, 4]` on a coarse grid, so that ties, copies and no area occur."""
    low = rng.integers(0, 12, (*shape, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 9, (*shape, 2))], -1).astype(np.float32)
    boxes[rng.random(shape) < 0.2] += np.float32(0.37)
    swapped = rng.random(shape) < 0.05
    boxes[swapped] = boxes[swapped][:, [2, 3, 0, 1]]
    boxes[rng.random(shape) < 0.03] = np.nan
    boxes[rng.random(shape) < 0.03] = 0
    return boxes


def area(box):
    return max(float(box[2]) - float(box[0]), 0) * max(float(box[3]) - float(box[1]), 0)


def iou(a, b):
    """IoU of two boxes; 0 where either has no area or is no number."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or not area(a) or not area(b):
        return 0.0
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = area([*low, *high])
    return inner / (area(a) + area(b) - inner)


def greedy(boxes, scores, threshold, valid, classes):
    """Rows that stay, by falling score."""
    rows = [i for i in range(len(scores)) if valid[i] and scores[i] > -np.inf]
    stay = []
    for i in sorted(rows, key=lambda i: -scores[i]):
        if all(
            classes[i] != classes[j] or iou(boxes[i], boxes[j]) <= threshold + 1e-7 for j in stay
        ):
            stay.append(i)
    return stay
