"""Published detectors for `predict`, and the ids of images and categories in its COCO JSON."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from jresnet.commands.trained import Trained
from jresnet.data.coco_categories import categories_of
from jresnet.data.info import Info
from jresnet.data.normalisation import IMAGENET
from jresnet.data.with_boxes import FitWithBoxes, by_proportions
from jresnet.errors import UsageError
from jresnet.models.heads.rcnn import RCNN
from jresnet.tasks.detect import Detect
from jresnet.text import shown

SHORTER, LONGER = 800, 1333  # pixels, of torchvision's and detectron2's evaluation


def detector(
    net: RCNN,
    variables: Mapping[str, Any],
    name: str,
    labels: Sequence[str] = (),
    shorter: int | None = None,
) -> Trained:
    """A detector with weights of a file: pictures are scaled as both code bases scale COCO's.

    Args:
        net: the detector.
        variables: its own.
        name: of the net, for messages.
        labels: names of the classes; by default COCO's where there are as many.
        shorter: pixels of the shorter side of a picture, by default 800; the longer one has at most
            1333/800 times as many.
    """
    usual, ids = categories_of(net.num_classes - 1, net.keypoint is not None)
    names = tuple(labels) or usual
    shorter = shorter or SHORTER
    longer = round(shorter * LONGER / SHORTER)
    fit = FitWithBoxes(shortest=shorter, longest=longer)
    up = (-(-side // 32) * 32 for side in (shorter, longer))
    task = Detect(net, IMAGENET, classes=names, categories=ids)
    return Trained(
        task, variables, by_proportions(fit, *up), Info(name, len(names), names, (), {}, "box")
    )


@dataclasses.dataclass(frozen=True)
class Ids:
    """The ids of a set in COCO's format: of images by their files, of categories by their names."""

    images: Mapping[str, Any]
    categories: Mapping[str, Any]

    def image(self, path: PurePath) -> Any:
        """The id of a picture, or its path where the set has none: by its longest known ending."""
        parts = path.parts
        endings = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((self.images[end] for end in endings if end in self.images), str(path))


NO_IDS = Ids({}, {})


def read_ids(path: Path | None) -> Ids:
    """The ids in a file of COCO's format; none without a file. Raises UsageError."""
    if path is None:
        return NO_IDS
    try:
        content = json.loads(path.read_bytes())
        images = {str(one["file_name"]): one["id"] for one in content["images"]}
        categories = {str(one["name"]): one["id"] for one in content["categories"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"annotations={shown(path)!r}: expected COCO's JSON, with images and categories"
        ) from error
    return Ids(images, categories)


def with_categories(trained: Trained, ids: Ids) -> Trained:
    """The task with the set's ids of its classes. Raises UsageError for a class that it lacks."""
    task = trained.task
    if ids is NO_IDS:
        return trained
    if not isinstance(task, Detect):
        raise UsageError("annotations: expected none, the net is no detector")
    names = trained.classes
    there = {name: ids.categories[name] for name in names if name in ids.categories}
    # Names of ids without a category are numbers, and no object has them.
    lost = [name for name in names if name not in there and not name.isdecimal()]
    if lost:
        raise UsageError(f"annotations: no category {shown(lost[0], 60)!r}: expected all classes")
    categories = tuple(_number(name, there.get(name, name)) for name in names)
    return dataclasses.replace(trained, task=dataclasses.replace(task, categories=categories))


def _number(name: str, key: Any) -> int:
    """The id of a category, a whole number in COCO's format. Raises UsageError."""
    try:
        return int(key)
    except (ValueError, TypeError) as error:
        text = f"annotations: category {shown(name, 60)!r} has the id {shown(key, 60)!r}"
        raise UsageError(f"{text}: expected a number") from error
