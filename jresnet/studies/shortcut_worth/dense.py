"""Applications whose nets tell something of every pixel, voxel or object."""

import functools
from pathlib import Path
from typing import Any

from jresnet.data.sources.boxes import Boxes
from jresnet.data.sources.extreme_points import EXTREME_SIGMA, ExtremePoints
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.mni152 import Mni152
from jresnet.data.with_boxes import ObjectSet
from jresnet.experiment import Experiment
from jresnet.recipes.detection import RECIPES as DETECTION
from jresnet.recipes.detection import Kind
from jresnet.recipes.segmentation import RECIPES as SEGMENTATION
from jresnet.recipes.volumes import RECIPES as VOLUMES
from jresnet.studies.detection import nets as detectors
from jresnet.studies.detection.trainings import trainings as detection_trainings
from jresnet.studies.segmentation import nets as segmenters
from jresnet.studies.segmentation.trainings import trainings as segmentation_trainings
from jresnet.studies.segmentation.trainings import weights_of
from jresnet.studies.shortcut_worth.application import Case, layers, shortened
from jresnet.tasks.average_precision import MANY_KEYPOINTS
from jresnet.tasks.detection_collector import DetectionScores

ROADS = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip
CROWD = 50  # detections of an image, at least


def segment(case: Case) -> Experiment:
    """Road scenes by a U-Net, as `experiments.segment` trains it."""
    maps, weights = _roads(case.folder / "camvid")
    recipe = SEGMENTATION["small"].changed(steps=case.steps)
    net = case.twin(segmenters.small(len(ROADS), layers(case.blocks)))
    nets = {case.net: lambda stride: net}
    runs = segmentation_trainings(
        recipe, maps, nets, weights, range(case.seed, case.seed + 1), {}, {}
    )
    return shortened(runs[case.label])


@functools.cache
def _roads(folder: Path) -> tuple[LabelMaps, tuple[float, ...] | None]:
    """The label maps, and the weights of their classes, which are counted once."""
    maps = LabelMaps(folder, classes=ROADS, ignored=(11, 255))
    return maps, weights_of(SEGMENTATION["small"], None, maps)


def segment_volume(case: Case) -> Experiment:
    """Grey and white matter by a residual U-Net, as `experiments.volumes` trains it."""
    recipe = VOLUMES["small"]
    depths = (case.blocks,) * len(recipe.depths)
    recipe = recipe.changed(steps=case.steps, depths=depths)
    head = _head()
    data = recipe.data(head, head.largest(), seed=case.seed)
    return shortened(recipe.experiment(case.twin(recipe.net(head.info().num_classes)), data))


@functools.cache
def _head() -> Mni152:
    return Mni152()


def detect(case: Case) -> Experiment:
    """Blood cells by a small Faster R-CNN, as `experiments.detect` trains it."""
    return _detection(case, "boxes", _cells(case.folder / "bccd"))


def detect_masks(case: Case) -> Experiment:
    """Cell nuclei by a small Mask R-CNN."""
    return _detection(case, "masks", _nuclei(case.folder / "nuclei"))


def detect_points(case: Case) -> Experiment:
    """The extreme points of cell nuclei by a small Keypoint R-CNN."""
    points = _extreme_points(case.folder / "nuclei")
    scores = DetectionScores(keypoints=MANY_KEYPOINTS, sigmas=EXTREME_SIGMA)
    task = {"measured_by": scores, "mirrored": points.mirrored}
    return _detection(case, "keypoints", points, {"mirror": (0.5, 0.0)}, **task)


@functools.cache
def _cells(folder: Path) -> Boxes:
    return Boxes(folder, masks=False, keypoints=False)


@functools.cache
def _nuclei(folder: Path) -> Boxes:
    return Boxes(folder, keypoints=False)


@functools.cache
def _extreme_points(folder: Path) -> ExtremePoints:
    return ExtremePoints(_nuclei(folder))


def _detection(
    case: Case, kind: Kind, objects: ObjectSet, changes: dict[str, Any] | None = None, **task: Any
) -> Experiment:
    recipe = DETECTION["small"].changed(steps=case.steps, **(changes or {}))
    points = objects.largest("train")[2] if kind == "keypoints" else 0
    most = max(CROWD, 3 * objects.largest("test")[0] // 2)
    count, depth = objects.info().num_classes, layers(case.blocks)
    net = detectors.build("small", count, kind, points, depth=depth, most=most)
    task = {"measured_by": DetectionScores(), "mirrored": None} | task
    seeds, nets = range(case.seed, case.seed + 1), {case.net: case.twin(net)}
    runs = detection_trainings(
        recipe, objects, kind, nets, seeds, {}, categories=objects.categories, **task
    )
    return shortened(runs[case.label])
