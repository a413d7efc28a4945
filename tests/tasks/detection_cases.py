"""Random truth and detections of images, as a detector's outputs and as pycocotools reads them."""

import contextlib
import io
from typing import Any

import numpy as np


def boxes_in(rng, count, height, width):
    """Boxes float32 `[count, 4]` on a grid of a quarter pixel, of all sizes, some without area."""
    size = np.array([width, height] * 2)
    scale = rng.choice([0.1, 0.3, 1.0], (count, 1))
    low = rng.random((count, 2)) * size[:2]
    high = low + rng.random((count, 2)) * scale * size[:2]
    boxes = np.minimum(np.round(4 * np.concatenate([low, high], 1)) / 4, size).astype(np.float32)
    return boxes


def random_outputs(rng, images=4, limit=6, count=12, classes=3, keypoints=0):
    """A batch of a detector's outputs.

    Many detections are moved truths, scores have ties, images are empty now and then, the last
    class is seldom in the truth.
    """
    height, width = 200, 240
    truth = {
        "true_boxes": np.zeros((images, limit, 4), np.float32),
        "true_class": np.full((images, limit), -1, np.int32),
        "crowd": np.zeros((images, limit), bool),
        "area": np.zeros((images, limit), np.float32),
        "original": np.full((images, 2), (height, width), np.int32),
    }
    detected = {
        "boxes": np.zeros((images, count, 4), np.float32),
        "scores": np.zeros((images, count), np.float32),
        "class": np.full((images, count), -1, np.int32),
    }
    if keypoints:
        truth["true_keypoints"] = np.zeros((images, limit, keypoints, 3), np.float32)
        detected["keypoints"] = np.zeros((images, count, keypoints, 2), np.float32)
    for number in range(images):
        objects = rng.choice([0, rng.integers(1, limit + 1)], p=[0.15, 0.85])
        true = boxes_in(rng, objects, height, width)
        labels = rng.integers(0, max(1, classes - 1 + (rng.random() < 0.3)), objects)
        truth["true_boxes"][number, :objects] = true
        truth["true_class"][number, :objects] = labels
        truth["crowd"][number, :objects] = rng.random(objects) < 0.15
        sides = true[:, 2:] - true[:, :2]
        truth["area"][number, :objects] = sides.prod(1) * rng.choice([1, 0.7], objects)
        some = rng.choice([0, rng.integers(1, count + 1)], p=[0.1, 0.9])
        boxes = boxes_in(rng, some, height, width)
        guesses = rng.integers(0, classes, some)
        sources = rng.integers(0, objects, some) if objects else np.zeros(some, int)
        near = (rng.random(some) < 0.75) & (objects > 0)
        shift = np.round(4 * rng.normal(size=(some, 4)) * rng.choice([0, 1, 4, 12], (some, 1))) / 4
        if near.any():
            moved = true[sources[near]] + shift[near]
            boxes[near] = np.concatenate(
                [np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], 1
            )
            right = near & (rng.random(some) < 0.8)
            guesses[right] = labels[sources[right]]
        places = rng.permutation(count)[:some]  # padding lies anywhere
        detected["boxes"][number, places] = boxes
        detected["scores"][number, places] = rng.integers(1, 9, some) / 8
        detected["class"][number, places] = guesses
        if keypoints:
            corner, extent = true[:, None, :2], sides[:, None]
            points = corner + rng.random((objects, keypoints, 2)) * extent
            seen = rng.integers(0, 3, (objects, keypoints)) * (rng.random((objects, 1)) < 0.85)
            truth["true_keypoints"][number, :objects] = np.concatenate(
                [points, seen[..., None]], -1
            )
            wild = boxes[:, None, :2] + rng.random((some, keypoints, 2)) * 40
            if near.any():
                noise = rng.normal(size=wild.shape) * rng.choice([0.5, 3, 10], (some, 1, 1))
                wild[near] = (points[sources] + noise)[near]
            detected["keypoints"][number, places] = wild
    return truth | detected


def coco_sets(outputs, runs=None, masks=None) -> tuple[Any, Any]:
    """Truth and detections as pycocotools' `COCO`.

    Args:
        outputs: one batch.
        runs: (image, object) -> compressed run lengths of the truth.
        masks: (image, detection) -> those of a detection.
    """
    from pycocotools.coco import COCO

    images = len(outputs["scores"])
    height, width = outputs["original"][0].tolist()
    top = 1 + max(0, outputs["true_class"].max(), outputs["class"].max())
    annotations, results = [], []
    for image in range(images):
        for row in np.flatnonzero(outputs["true_class"][image] >= 0):
            entry = _entry(outputs["true_boxes"][image, row], outputs["true_class"][image, row])
            entry |= {
                "id": len(annotations) + 1,
                "image_id": image,
                "iscrowd": int(outputs["crowd"][image, row]),
                "area": float(outputs["area"][image, row]),
            }
            if "true_keypoints" in outputs:
                points = outputs["true_keypoints"][image, row].astype(float)
                entry["keypoints"] = points.ravel().tolist()
                entry["num_keypoints"] = int((points[:, 2] > 0).sum())
            if runs is not None:
                entry["segmentation"] = runs[image, row]
            annotations.append(entry)
        for row in np.flatnonzero(outputs["class"][image] >= 0):
            entry = _entry(outputs["boxes"][image, row], outputs["class"][image, row])
            entry |= {"image_id": image, "score": float(outputs["scores"][image, row])}
            if "keypoints" in outputs:
                points = outputs["keypoints"][image, row].astype(float)
                points = np.concatenate([points, np.ones((len(points), 1))], 1)
                entry["keypoints"] = points.ravel().tolist()
            if masks is not None:
                entry["segmentation"] = masks[image, row]
                del entry["bbox"]
            elif "keypoints" in outputs:
                del entry["bbox"]
            results.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": n, "height": height, "width": width} for n in range(images)],
            "categories": [{"id": n + 1} for n in range(top)],
            "annotations": annotations,
        }
        truth.createIndex()
        detected = truth.loadRes(results) if results else COCO()
        if not results:
            detected.dataset = {**truth.dataset, "annotations": []}
            detected.createIndex()
    return truth, detected


def coco_scores(sets, kind, sigmas=None) -> tuple[dict[str, float], Any]:
    """pycocotools' summary under our names, without what it calls -1, and its `COCOeval`."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*sets, kind)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = "ap ap50 ap75 ap/small ap/medium ap/large ar/1 ar/10 ar/100 ar/small ar/medium ar/large"
    if kind == "keypoints":
        names = "ap ap50 ap75 ap/medium ap/large ar/20 ar50 ar75 ar/medium ar/large"
    scores = dict(zip(names.split(), evaluation.stats.tolist(), strict=True))
    return {name: value for name, value in scores.items() if value != -1}, evaluation


def _entry(box, number):
    x1, y1, x2, y2 = box.astype(float).tolist()
    return {"category_id": int(number) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
