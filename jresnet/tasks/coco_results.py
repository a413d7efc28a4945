"""Detections in COCO's format of results (cocodataset.org, "Results format")."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jresnet.tasks.detection_records import Detections

Encoder = Callable[[np.ndarray], str]  # mask, bool [H, W], to COCO's compressed run lengths


def coco_results(
    image_id: int | str,
    detections: Detections,
    size: tuple[int, int],
    categories: Sequence[int] | None = None,
    encode: Encoder | None = None,
) -> list[dict[str, Any]]:
    """Entries of a results file, one a detection, ready for JSON.

    Those whose box or score is not finite are left out. Keypoints are told by the index of their
    pixel, as COCO has them, whose middle is half a pixel farther; all count as visible.

    Args:
        image_id: the image's number in the file of its truth, or a name.
        detections: in pixels of the image.
        size: height and width of the image.
        categories: the id of each class in the file of the truth; by default from 1 on.
        encode: makes the compressed string of a mask. None: masks are left out.

    Returns:
        `image_id`, `category_id`, `bbox` (x, y, width, height), `score`, maybe `segmentation` and
        `keypoints`.
    """
    entries = []
    finite = np.isfinite(detections.boxes).all(1) & np.isfinite(detections.scores)
    for row in np.flatnonzero(finite).tolist():
        number = int(detections.classes[row])
        x1, y1, x2, y2 = detections.boxes[row].astype(float).tolist()
        entry: dict[str, Any] = {
            "image_id": image_id,
            "category_id": number + 1 if categories is None else int(categories[number]),
            "bbox": [round(side, 3) for side in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(float(detections.scores[row]), 6),
        }
        if detections.masks is not None and encode is not None:
            mask = detections.masks[row].whole(*size)
            entry["segmentation"] = {"size": list(size), "counts": encode(mask)}
        if detections.keypoints is not None:
            places = detections.keypoints[row, :, :2].astype(float) - 0.5
            entry["keypoints"] = [
                value for x, y in places.tolist() for value in (round(x, 3), round(y, 3), 1)
            ]
        entries.append(entry)
    return entries
