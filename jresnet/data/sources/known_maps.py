"""Classes of well-known sets of label maps."""

import re
from pathlib import Path

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.coco_categories import COCO_CATEGORIES
from jresnet.data.sources.files import read_listing
from jresnet.errors import UsageError
from jresnet.text import shown

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

# Caesar et al. 2018, arXiv:1612.03716: ids from 92 on, after COCO's 91 of things, of which 11 have no
# pixels. A map's value is the id less one.
_UNUSED_THINGS = {
    12: "street sign", 26: "hat", 29: "shoe", 30: "eye glasses", 45: "plate", 66: "mirror",
    68: "window", 69: "desk", 71: "door", 83: "blender", 91: "hair brush",
}  # fmt: skip
_STUFF = (
    "banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage",
    "cardboard", "carpet", "ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter",
    "cupboard", "curtain", "desk-stuff", "dirt", "door-stuff", "fence", "floor-marble",
    "floor-other", "floor-stone", "floor-tile", "floor-wood", "flower", "fog", "food-other", "fruit",
    "furniture-other", "grass", "gravel", "ground-other", "hill", "house", "leaves", "light", "mat",
    "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper", "pavement",
    "pillow", "plant-other", "plastic", "platform", "playingfield", "railing", "railroad", "river",
    "road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow",
    "solid-other", "stairs", "stone", "straw", "structural-other", "table", "tent", "textile-other",
    "towel", "tree", "vegetable", "wall-brick", "wall-concrete", "wall-other", "wall-panel",
    "wall-stone", "wall-tile", "wall-wood", "water-other", "waterdrops", "window-blind",
    "window-other", "wood",
)  # fmt: skip
_THINGS = COCO_CATEGORIES | _UNUSED_THINGS
COCO_STUFF = (*(_THINGS[key] for key in sorted(_THINGS)), *_STUFF)

# The file of ADE20K's 150 classes (Zhou et al. 2017), in the folder of its scene parsing benchmark.
ADE20K_LIST = "objectInfo150.txt"
_OBJECT = re.compile(r"(\d+)\s.*\t\s*(\S.*)")


def ade20k(path: Path) -> tuple[str, ...]:
    """The classes in ADE20K's list by their numbers, each by the first of its names.

    Raises UsageError for a list that is damaged.
    """
    matches = [_OBJECT.fullmatch(line.strip()) for line in read_listing(path)]
    rows = [(int(match[1]), match[2]) for match in matches if match]
    if not rows or [number for number, _ in rows] != list(range(1, len(rows) + 1)):
        raise UsageError(f"{shown(path)}: expected lines of a class's number, from 1 on, and names")
    return tuple(re.split("[,;]", names)[0].strip() for _, names in rows)
