"""The numbers that define a two-stage detector, in one place."""

import dataclasses

from jresnet.models.detection.anchors import RATIOS
from jresnet.models.detection.roi_align import Form


@dataclasses.dataclass(frozen=True)
class Settings:
    """All numbers of the two stages; the defaults are torchvision's.

    - anchor_sizes: for each map, square roots of areas in pixels; None: 8 strides.
    - ratios: heights over widths of anchors.
    - rounded: whether corners and strides of anchors are torchvision's, or detectron2's.
    - low, high: IoU below which an anchor is background, and from which it is an object.
    - anchors, anchor_share: how many are drawn an image, and the largest share of objects.
    - before, after: proposals of a level before suppression, and of all levels after it, each for
      the losses and for detections.
    - proposal_iou: of suppression.
    - region_iou: from which a region is an object.
    - regions, region_share: as of anchors.
    - box_bins, mask_bins: of RoIAlign, along a side; `mask_bins` is for keypoints as well.
    - sampling, aligned, form: see `roi_align`.
    - score, detection_iou, detections: probability above which there is an object, IoU of
      suppression, and the number of detections an image.
    """

    anchor_sizes: tuple[tuple[float, ...], ...] | None = None
    ratios: tuple[float, ...] = RATIOS
    rounded: bool = True
    low: float = 0.3
    high: float = 0.7
    anchors: int = 256
    anchor_share: float = 0.5
    before: tuple[int, int] = (2000, 1000)
    after: tuple[int, int] = (2000, 1000)
    proposal_iou: float = 0.7
    region_iou: float = 0.5
    regions: int = 512
    region_share: float = 0.25
    box_bins: int = 7
    mask_bins: int = 14
    sampling: int | None = 2
    aligned: bool = False
    form: Form = "gather"
    score: float = 0.05
    detection_iou: float = 0.5
    detections: int = 100
