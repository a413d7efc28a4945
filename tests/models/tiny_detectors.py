"""Detectors that compile in seconds, and objects for them."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jresnet.models import zoo
from jresnet.models.detection.assignment import Objects
from jresnet.models.detection.settings import Settings
from jresnet.models.heads.fpn import FPN
from jresnet.models.part import part
from tests.nets import random_variables

SETTINGS = Settings(
    anchors=16, before=(12, 12), after=(10, 10), regions=8, region_share=0.5, detections=6, score=0.0
)  # fmt: skip


def backbone(**fields):
    """ResNet-18 with a block a stage."""
    small = {"depths": (1, 1, 1, 1), "widths": (8, 8, 8, 8), "norm": zoo.FROZEN}
    return zoo.resnet18(**small | fields)


def tiny(kind="faster", version=1, settings=SETTINGS, points=2, **fields):
    """A detector of 3 classes, the background among them, with one convolution where there are many."""
    net = backbone(**fields)
    detector: Any
    if kind == "faster":
        detector = zoo.faster_rcnn(net, 3, version=version, settings=settings)
    elif kind == "mask":
        detector = zoo.mask_rcnn(net, 3, version=version, settings=settings)
    else:
        detector = zoo.keypoint_rcnn(net, 3, points, settings=settings)
    fewer = {"features": 8}
    heads = {
        "fpn": part(FPN, **dict(detector.fpn.fields) | fewer),
        "box": part(detector.box.layer, **dict(detector.box.fields) | fewer | {"units": 8}),
    }
    for name in ("mask", "keypoint"):
        if (head := getattr(detector, name)) is not None:
            heads[name] = part(head.layer, **dict(head.fields) | fewer | {"convolutions": 1})
    return detector.clone(**heads)


def objects(seed=0, images=2, count=3, side=64, real=2):
    """Boxes with masks and two keypoints, the first `real` of each image; the rest is padding."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, side / 2, (images, count, 2))
    boxes = np.concatenate([low, low + rng.uniform(8, side / 2, (images, count, 2))], -1)
    boxes[:, real:] = 0
    grid = np.arange(side) + 0.5
    inside = [
        (grid >= boxes[..., axis, None]) & (grid < boxes[..., axis + 2, None]) for axis in (1, 0)
    ]
    masks = inside[0][..., :, None] & inside[1][..., None, :]
    points = boxes.reshape(images, count, 2, 2) * 0.8 + boxes[..., None, [2, 3]] * 0.2
    keypoints = np.concatenate([points, np.full((images, count, 2, 1), 2.0)], -1)
    classes = rng.integers(0, 2, (images, count))
    classes[:, real:] = -1
    return Objects(
        jnp.asarray(boxes, jnp.float32),
        jnp.asarray(classes),
        jnp.asarray(masks),
        None,
        jnp.asarray(keypoints, jnp.float32),
    )


def calm_variables(net, side=64):
    """Random ones of which the last layers are small: boxes lie inside, nothing is certain."""
    variables = random_variables(net, (side, side, 3))
    for head in ("rpn", "box_head", "mask_head"):
        for name in ("objectness", "classes", "deltas"):
            if name in variables["params"].get(head, {}):
                variables["params"][head][name]["kernel"] *= 0.01
    return variables
