"""Classes of well-known sets of label maps."""

from jresnet.data.augment.geometry import IGNORED

# Everingham et al. 2012, http://host.robots.ox.ac.uk/pascal/VOC/voc2012
VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip

# Cordts et al. 2016, arXiv:1604.01685: the 19 classes of the benchmark, and their values in labelIds.
_CITYSCAPES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip
CITYSCAPES = tuple(_CITYSCAPES.values())
CITYSCAPES_IDS = dict.fromkeys(range(256), IGNORED) | {
    value: number for number, value in enumerate(_CITYSCAPES)
}
