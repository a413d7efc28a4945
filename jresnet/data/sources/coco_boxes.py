"""Boxes, masks and keypoints in the JSON files of COCO, a split each."""

import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.data import runs
from jresnet.data.broken import ExampleError
from jresnet.data.sources.box_masks import Mask, bounds, polygons, stretched
from jresnet.data.sources.box_table import FARTHEST, Rows, known_size
from jresnet.data.sources.files import holding, is_below
from jresnet.errors import UsageError
from jresnet.text import shown


def read(path: Path, folders: Sequence[Path], masks: bool = True, keypoints: bool = True) -> Rows:
    """The objects of one split, its classes by the order of their ids.

    Args:
        path: the JSON file.
        folders: where its images may lie; they are in the first that has one of them.
        masks: whether to read them where they are.
        keypoints: as masks.

    Raises:
        UsageError: for a file that is not in COCO's format.
    """
    content = _load(path)
    file = str(path)
    categories, points, faults = _categories(content, file)
    first = [str(one.get("file_name")) for one in content["images"][:16] if isinstance(one, dict)]
    rows = Rows(holding(folders, first), "annotation", points=points if keypoints else 0)
    rows.mirrored = _mirrored(content["categories"], rows.points)
    for fault in faults:
        rows.fault(*fault)
    for key, (name, _) in categories.items():
        rows.ids.setdefault(name, key)
        rows.classes.setdefault(name, len(rows.classes))
    positions = _images(content["images"], rows, file)
    known: dict[Any, Any] = {}
    shared = []
    for number, one in enumerate(content["annotations"]):
        title = file, one.get("id", number) if isinstance(one, dict) else number
        try:
            other = known.setdefault(title[1], one)
            if other is not one and other == one:
                raise ExampleError("is there twice: left out once")
            shared += [title[1]] if other is not one and "id" in one else []
            _add(rows, one, title, positions, categories, masks)
        except ExampleError as error:
            rows.fault(title, error)
        except (KeyError, TypeError, ValueError, OverflowError):
            rows.fault(title, "expected image_id, category_id, and bbox with x, y, width, height")
    if shared:
        rows.remarks.append(
            f"{shown(file)}: {len(shared)} annotations have the id of another one, such as "
            f"{shown(shared[0], 60)}: all are taken"
        )
    return rows


def is_coco(path: Path) -> bool:
    """Whether a JSON file is in COCO's format, as far as its lists tell. Reads all of it."""
    try:
        _load(path)
    except UsageError:
        return False
    return True


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open("rb") as file:
            content = json.load(file)
    except (ValueError, OSError, RecursionError) as error:
        raise UsageError(
            f"{shown(path)}: not a readable JSON file ({shown(error, 200)})"
        ) from error
    wanted = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(x), list) for x in wanted):
        raise UsageError(f"{shown(path)}: expected COCO's format, with lists {', '.join(wanted)}")
    return {name: content[name] for name in wanted}


Categories = dict[Any, tuple[str, int]]  # name and number of keypoints by id
_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}
# A word, or a letter alone or at either end of a name like LEye and eyeR.
_SIDE = re.compile(r"(?i:left|right|(?<![a-z])[lr](?![a-z]))|^[LR](?=[A-Z])|(?<=[a-z])[LR]$")
Fault = tuple[tuple[str, Any], str, str]


def _categories(content: Mapping[str, list[Any]], file: str) -> tuple[Categories, int, list[Fault]]:
    """The categories by ascending id, the keypoints of an object, and lines about faulty ones."""
    categories: Categories = {}
    faults: list[Fault] = []
    for number, one in enumerate(content["categories"]):
        try:
            key, name = one["id"], str(one["name"])
            hash(key)
            points = len(one.get("keypoints") or ())
        except (KeyError, TypeError, AttributeError):
            faults.append(((file, number), "expected an id and a name", "category"))
            continue
        if key in categories:
            faults.append(((file, key), "is there twice: the first counts", "category"))
            continue
        if any(name == other for other, _ in categories.values()):
            text = f"name {shown(name, 60)!r} is there twice: taken as one class"
            faults.append(((file, key), text, "category"))
        categories[key] = name, points
    used = _values(content["annotations"], "category_id")
    above = _values(content["categories"], "supercategory")
    # Roboflow adds a category above all others that no object has.
    groups = [key for key, (name, _) in categories.items() if key not in used and name in above]
    if len(groups) < len(categories):
        alone = [key for key in groups if _is_root(content["categories"], key)]
        categories = {key: value for key, value in categories.items() if key not in alone}
    try:
        ordered = dict(sorted(categories.items()))
    except TypeError as error:
        raise UsageError(f"{shown(file)}: ids of categories: expected numbers") from error
    return ordered, max((points for _, points in ordered.values()), default=0), faults


def _mirrored(categories: Sequence[Any], points: int) -> tuple[int, ...] | None:
    """The keypoint that takes each one's place where left and right change, by the names of the
    first category with as many: "left_eye" for "right_eye", "L_Eye" or "eye_l" for the same with r.
    None without keypoints, or without two names that differ in their side alone."""
    lists = (one.get("keypoints") for one in categories if isinstance(one, dict))
    names = next((x for x in lists if isinstance(x, list) and len(x) == points), None)
    if not points or names is None:
        return None
    texts = [str(name).lower() for name in names]
    others = [
        _SIDE.sub(lambda match: _SIDES[match[0].lower()], str(name)).lower() for name in names
    ]
    pairs = enumerate(zip(texts, others, strict=True))
    table = tuple(texts.index(b) if a != b and b in texts else number for number, (a, b) in pairs)
    whole = tuple(range(points))
    return table if table != whole == tuple(sorted(table)) else None


def _values(entries: Sequence[Any], field: str) -> set[Any]:
    """The values of a field."""
    values = (one.get(field) for one in entries if isinstance(one, dict))
    return {value for value in values if isinstance(value, Hashable)}


def _is_root(categories: Sequence[Any], key: Any) -> bool:
    one = next(one for one in categories if isinstance(one, dict) and one.get("id") == key)
    return one.get("supercategory") in (None, "", "none")


def _images(images: Sequence[Any], rows: Rows, file: str) -> dict[Any, int]:
    """Add the images; returns their positions by id."""
    positions: dict[Any, int] = {}
    names = set()
    for number, one in enumerate(images):
        try:
            key, name = one["id"], str(one["file_name"])
            hash(key)
        except (KeyError, TypeError):
            rows.fault((file, number), "expected an id and a file_name: left out", "image")
            continue
        if key in positions or name in names:
            rows.fault((file, key), f"{shown(name)} is there twice: left out once", "image")
            continue
        if not is_below(name):
            text = f"file_name={shown(name)!r}: expected a file in the folder of images"
            rows.fault((file, key), f"{text}: left out", "image")
            continue
        names.add(name)
        positions[key] = rows.image(name, known_size(one.get("height"), one.get("width")))
    return positions


def _add(
    rows: Rows,
    one: Mapping[str, Any],
    title: tuple[str, Any],
    positions: Mapping[Any, int],
    categories: Categories,
    masks: bool,
) -> None:
    """Add an annotation. Raises ExampleError, KeyError, TypeError, ValueError, OverflowError."""
    if one["image_id"] not in positions:
        raise ExampleError(f"image {shown(one['image_id'], 60)}: expected one that the file has")
    if one["category_id"] not in categories:
        key = shown(one["category_id"], 60)
        raise ExampleError(f"category {key}: expected one that the file has")
    image = positions[one["image_id"]]
    name, points = categories[one["category_id"]]
    area, stored, size = one.get("area"), one.get("segmentation"), rows.sizes[image]
    boxless = one.get("bbox") in (None, [])
    mask = _mask(stored, size) if masks or boxless else None
    if boxless and mask is not None:
        tall = stored.get("size") or size if isinstance(stored, dict) else size
        box = bounds(mask, int(tall[0]))
    else:
        x, y, width, height = (float(number) for number in one["bbox"])
        box = x, y, x + width, y + height
    rows.add(
        image,
        name,
        box,
        title,
        crowd=bool(one.get("iscrowd", 0)),
        area=math.nan if area is None else float(area),
        mask=mask if masks else None,
        keypoints=_keypoints(one.get("keypoints"), points, rows.points),
    )


def _mask(stored: Any, size: tuple[int, int]) -> Mask | None:
    """A mask of polygons, or of runs as numbers or a string. Raises ExampleError."""
    if not stored:
        return None
    if isinstance(stored, list):
        lists = stored if isinstance(stored[0], list) else [stored]
        return polygons(lists)
    if not isinstance(stored, dict) or "counts" not in stored:
        raise ExampleError("its segmentation: expected polygons, or run lengths with their size")
    counts = stored["counts"]
    height, width = (int(side) for side in stored.get("size") or size)
    if min(size) > 0 and (height, width) != size:
        raise ExampleError(f"its mask is {height} x {width}: expected {size[0]} x {size[1]}")
    lengths = runs.from_string(counts) if isinstance(counts, str) else runs.from_lengths(counts)
    return stretched(lengths, height, width)


def _keypoints(stored: Any, count: int, limit: int) -> np.ndarray | None:
    """float32 [limit, 3] of `count` keypoints, the rest invisible. Raises ExampleError."""
    if not limit or stored is None:
        return None
    numbers = np.asarray(stored, np.float64)
    if numbers.shape != (3 * count,):
        raise ExampleError(f"has {numbers.size / 3:g} keypoints: expected {count}")
    points = numbers.reshape(-1, 3)
    if not (np.abs(points) < FARTHEST).all() or not np.isin(points[:, 2], (0, 1, 2)).all():
        raise ExampleError("its keypoints: expected x, y, and 0, 1 or 2 for each")
    result = np.zeros((limit, 3), np.float32)
    visible = points[:, 2:] > 0
    result[:count] = np.where(visible, points + np.array([0.5, 0.5, 0]), 0)
    return result
