"""Objects in images: Faster, Mask and Keypoint R-CNN on residual nets, and on their plain twins.

    python -m experiments.detect
    python -m experiments.detect --dataset bccd/
    python -m experiments.detect --dataset coco/ --recipe 3x --net resnet50 --kind masks \\
        --weights resnet50.pth

Without a data set it makes pictures of shapes up. A folder holds images and boxes in COCO's, VOC's or
YOLO's layout, or with a table (`jresnet.data.sources.box_layouts`).
"""

import dataclasses
import functools
from pathlib import Path
from typing import Literal

from jresnet.data.sources.boxes import Boxes
from jresnet.data.sources.extreme_points import EXTREME_SIGMA, ExtremePoints
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.with_boxes import ObjectSet
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.recipes.detection import RECIPES, DetectRecipeName, Kind
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.detection.nets import SMALL_NAMES, NetName, NormName, family
from jresnet.studies.detection.report import PICTURES, conclude
from jresnet.studies.detection.start import as_trained_by_detectron2, read_starts
from jresnet.studies.detection.trainings import trainings
from jresnet.tasks.average_precision import KEYPOINT_RULES, MANY_KEYPOINTS
from jresnet.tasks.detection_collector import DetectionScores
from jresnet.tasks.froc import Froc
from jresnet.tasks.overlaps import COCO_SIGMAS, DEFAULT_SIGMA


def detect(
    dataset: Path | None = None,
    recipe: DetectRecipeName = "small",
    kind: Kind = "boxes",
    net: NetName = "small",
    depths: tuple[int, ...] = (),
    version: Literal[1, 2] | None = None,
    norm: NormName | None = None,
    plain: bool = True,
    weights: Path | None = None,
    classes: tuple[str, ...] = (),
    extreme_points: bool = False,
    mirrored: tuple[int, ...] = (),
    sigmas: tuple[float, ...] = (),
    keypoint_limit: int | None = None,
    froc: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Detection with two stages on a feature pyramid: residual nets and their plain twins.

    small: a detector of 1 million parameters in minutes on two CPU cores, from random weights. AdamW,
    the rate ramped up over a tenth of the steps, then half a cosine; whole images, scaled to fit 256
    x 320 pixels, and their mirror images both ways. The extreme points of cell nuclei have an AP50
    of 79.2 % after 600 steps with `--dataset nuclei --kind keypoints --extreme-points`, of 50.2 %
    with `--keypoint-limit 20` (2 cores of an Intel Xeon, 2026-11-30; docs/results.md).

    1x, 3x: COCO with detectron2's R50-FPN recipes; SGD, 90,000 or 270,000 steps of 16 images, the
    shorter side 640 to 800 pixels, from ImageNet's weights with frozen BatchNorm (`--weights
    resnet50.pth`). lsj_100, lsj_200, lsj_400: detectron2's new baselines, so many epochs of large-scale
    jitter on crops of 1024 x 1024 pixels, 64 a step, from random weights; by default with version 2 and
    BatchNorm of the whole batch (Ghiasi et al. 2020, arXiv:2012.07177). These five follow detectron2
    in the L1 loss of boxes (beta 0), 1000 proposals in training, norms that do not decay, anchors that
    are not rounded, and RoIAlign shifted by half a pixel (its config/defaults.py,
    configs/Base-RCNN-FPN.yaml and configs/new_baselines); a whole detector's weights keep their own
    anchors and RoIAlign. Published AP of boxes and masks on val2017, in %, of its model zoo:

    - 1x resnet50, boxes: 37.9. 3x: 40.2; resnet101: 42.0; resnext101_32x8d: 43.0.
    - 3x resnet50, masks: 41.0 and 37.2. keypoints: 65.5 of keypoints, 55.4 of boxes.
    - lsj_100, lsj_200, lsj_400 resnet50, masks: 44.6 and 40.3; 46.3 and 41.7; 47.4 and 42.5.

    `--weights` takes a classifier, whose backbone is used, or a whole detector. Its last layers have
    a row for each class. They are kept if a file has as many classes, or a run the same ones;
    otherwise they start fresh, and the log tells it. Net cifar_resnet20 has the heads of net small
    and takes the weights of a ResNet-20 for CIFAR-10: its first convolution and its first stage have
    a stride of 2 here, which changes no array.

    Cost, in floating-point operations: an image takes three times torchvision's 134 GMAC (334 for
    version 2 with masks), at two operations each; so 1x 1.2e18, 3x 3.5e18 and lsj_100 24e18.

    Deviations: none of these has been run here. detectron2's weights of ImageNet have another layout
    and colour order than torchvision's; there the stem and first stage are frozen too; boxes of
    large-scale jitter are computed anew from the cut masks, here they are cut. RoIAlign takes two
    samples along a side of a bin, there as many as its pixels; true masks are kept in 56 x 56 cells
    with values between 0 and 1, there as polygons. Images without objects are trained on, there not.
    lsj: bottlenecks stride in their second convolution, there in the first. Keypoints: there the box
    head's smooth L1 loss has a beta of 0.5, and 1500 proposals are trained on. The frozen norms of
    torchvision's first detectors on COCO had an epsilon of 0.

    Args:
        dataset: folder of images and boxes. Without it, made-up pictures of shapes.
        recipe: which of the above.
        kind: what is detected: boxes, and with them masks or keypoints.
        net: small, or its heads on CIFAR's ResNet-20, or the backbone of torchvision's detectors.
        depths: layers of the backbone of net small, 6n + 2; by default 14.
        version: of torchvision's detectors, by default 1, or 2 with lsj; 2 has norms in pyramid and heads.
        norm: of torchvision's detectors; by default batch with lsj, otherwise frozen, which needs weights.
        plain: also train the plain twin of each net, unless weights are given: these had shortcuts.
        weights: checkpoint in torch's layout, such as torchvision's and detectron2's, or a run's
            folder, of a backbone or a whole detector to start from.
        classes: names of the classes; objects of others are left out.
        extreme_points: keypoints are the topmost, lowest, leftmost and rightmost pixel of each mask.
        mirrored: number of the keypoint that takes each one's place in a mirror image, such as
            1 0 2 3; by default what the set's files tell, such as by names with left and right, or l
            and r. Without it there are no mirror images.
        sigmas: how far people disagree about each keypoint, as a share of the root of the object's
            area, or one number for all (COCO's OKS); by default COCO's for 17 points, 0.107 for extreme
            points, otherwise 0.05.
        keypoint_limit: detections of an image that count for keypoints; by default 20, as of COCO's
            persons, and 100 of extreme points, as of boxes.
        froc: also measure sensitivity at 1/8 to 8 false positives an image, as for lesions.
        steps: training steps instead of the recipe's.
        batch_size: images a training step instead of the recipe's.
        learning_rate: peak rate instead of the recipe's.
        seeds: repetitions.
        workers: processes that decode.
    """
    chosen = RECIPES[recipe].changed(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate
    )
    objects = set_of(dataset, kind, classes, extreme_points)
    _, lengths, points = objects.largest("train")
    for name, there in (("masks", lengths), ("keypoints", points)):
        if kind == name and not there:
            raise UsageError(f"kind={kind}: {objects.info().name!r} has no {name}")
    mirrored = mirror_table(mirrored, kind, points) or objects.mirrored or ()
    if extreme_points:
        chosen = chosen.changed(mirror=(0.5, 0.0))  # the table is for left and right alone
    elif (
        kind == "keypoints" and not mirrored
    ):  # a point of the left would be called one of the right
        chosen = chosen.changed(mirror=(0.0, 0.0))
    most = 50 if net in SMALL_NAMES else 100
    if net in SMALL_NAMES:  # as many as the fullest image has, and half as many again
        most = max(50, 3 * objects.largest("test")[0] // 2)
    twins = plain and weights is None
    count = objects.info().num_classes
    version, norm = usual_net(recipe, kind, net, version, norm, weights)
    nets = family(net, count, kind, points, depths, version, norm, most, twins)
    if sigmas and kind != "keypoints":
        raise UsageError(f"sigmas={sigmas}: expected none, kind={kind} has no keypoints")
    if keypoint_limit is not None and kind != "keypoints":
        raise UsageError(
            f"keypoint_limit={keypoint_limit}: expected none, kind={kind} has no keypoints"
        )
    if len(sigmas) not in (0, 1, points):
        raise UsageError(
            f"sigmas={sigmas}: expected {points} numbers, one a keypoint, or one for all"
        )
    starts = {}
    if weights is not None:
        nets, starts = read_starts(weights, nets, objects.info().class_names)
    if recipe != "small":
        nets = as_trained_by_detectron2(nets, starts)
    if not sigmas:
        usual = (EXTREME_SIGMA if extreme_points else DEFAULT_SIGMA,)
        sigmas = COCO_SIGMAS if points == len(COCO_SIGMAS) else usual
    spread = sigmas[0] if len(sigmas) == 1 else sigmas
    rules = MANY_KEYPOINTS if extreme_points else KEYPOINT_RULES
    if keypoint_limit is not None:
        rules = dataclasses.replace(rules, limits=(keypoint_limit,))
    scores = DetectionScores(
        keypoints=rules,
        sigmas=spread,
        froc=Froc() if froc else None,
    )
    runs = trainings(
        chosen,
        objects,
        kind,
        nets,
        range(seed, seed + seeds),
        starts,
        workers,
        measured_by=scores,
        mirrored=mirrored or None,
        categories=objects.categories,
    )
    start = "fresh" if weights is None else weights.name
    return Study(runs, functools.partial(conclude, kind, start, runs), pictures=PICTURES)


def usual_net(
    recipe: DetectRecipeName,
    kind: Kind,
    net: NetName,
    version: Literal[1, 2] | None,
    norm: NormName | None,
    weights: Path | None,
) -> tuple[Literal[1, 2] | None, NormName | None]:
    """Version and norm as the recipe was published. Raises UsageError for frozen random norms."""
    if net in SMALL_NAMES:
        return version, norm
    if recipe.startswith("lsj"):
        published: Literal[1, 2] = 1 if kind == "keypoints" else 2  # keypoints have version 1 alone
        return version or published, norm or "batch"
    if weights is None and norm in (None, "frozen"):
        raise UsageError(
            f"weights=None: expected a checkpoint, the norms of net {net} are frozen with "
            f"recipe={recipe}; or norm=batch or group"
        )
    return version, norm


def set_of(
    dataset: Path | None, kind: Kind, classes: tuple[str, ...], extreme_points: bool
) -> ObjectSet:
    """The images and their objects, with what `kind` needs of them. Raises UsageError."""
    if extreme_points and kind != "keypoints":
        raise UsageError(f"kind={kind}: expected keypoints, with extreme_points")
    if dataset is None:
        return ExtremePoints(ShapeObjects()) if extreme_points else ShapeObjects()
    masks = None if kind == "masks" or extreme_points else False
    points = None if kind == "keypoints" and not extreme_points else False
    boxes = Boxes(dataset, classes, masks, points)
    return ExtremePoints(boxes) if extreme_points else boxes


def mirror_table(mirrored: tuple[int, ...], kind: Kind, points: int) -> tuple[int, ...]:
    """`mirrored` as it is. Raises UsageError unless it exchanges pairs of the `points`."""
    text = " ".join(map(str, mirrored))
    if mirrored and kind != "keypoints":
        raise UsageError(f"mirrored={text}: expected none, kind={kind} has no keypoints")
    is_permutation = sorted(mirrored) == list(range(points))
    if mirrored and not (
        is_permutation and all(mirrored[other] == n for n, other in enumerate(mirrored))
    ):
        raise UsageError(
            f"mirrored={text}: expected each number from 0 to {points - 1}, of which two change "
            "places or one stays"
        )
    return mirrored


if __name__ == "__main__":
    launch(detect)
