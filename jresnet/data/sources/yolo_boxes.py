"""Boxes in the text files of YOLO, an image each, and the names of their classes.

A line is `class cx cy w h`, or a class and the corners of a polygon, in shares of the image's
sides; with `kpt_shape` in the YAML file the keypoints follow the box.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jresnet.data.broken import ExampleError
from jresnet.data.lines import read_lines
from jresnet.data.sources.box_masks import Mask
from jresnet.data.sources.box_table import FARTHEST, Rows
from jresnet.data.sources.files import is_image, read_listing, walk
from jresnet.errors import UsageError
from jresnet.text import shown

FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


@dataclasses.dataclass(frozen=True)
class Described:
    """The content of a set's YAML file.

    - names: of the classes; empty where no file has them.
    - pictures: the folder of the images of each split that it names and that is there.
    - points: keypoints of an object, and numbers of each, 2 or 3.
    - mirrored: the keypoint that takes each one's place where left and right change, if it is told.
    """

    names: tuple[str, ...] = ()
    pictures: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    points: tuple[int, int] = (0, 2)
    mirrored: tuple[int, ...] | None = None


def described(folder: Path) -> Described | None:
    """The set's YAML file or `classes.txt`; None without either. Raises UsageError."""
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        lists = folder / "classes.txt", folder / "labels" / "classes.txt"
        listing = next((one for one in lists if one.is_file()), None)
        if listing is None:
            return None
        return Described(_distinct([line.strip() for line in read_listing(listing)], listing))
    try:
        content = yaml.safe_load(path.read_bytes())
        names = content["names"]
        if isinstance(names, dict):
            names = [names[number] for number in range(len(names))]
        points, numbers = content.get("kpt_shape") or (0, 2)
        points, numbers = int(points), int(numbers)
        mirrored = content.get("flip_idx")
        mirrored = None if mirrored is None else tuple(map(int, mirrored))
        if not isinstance(names, list) or points < 0 or numbers not in (2, 3):
            raise TypeError
    except (yaml.YAMLError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{shown(path)}: expected YAML with names, a class each, by their numbers from 0 on"
        ) from error
    if mirrored is not None and sorted(mirrored) != list(range(points)):
        raise UsageError(f"{shown(path)}: flip_idx: expected each number from 0 to {points - 1}")
    names = _distinct(list(map(str, names)), path)
    return Described(names, _pictures(folder, content), (points, numbers), mirrored)


def labels_of(pictures: Path) -> Path:
    """The folder of the text files of a folder of images: `labels` for the last `images`."""
    parts = list(pictures.parts)
    places = [place for place, part in enumerate(parts) if part == "images"]
    if not places:
        return pictures
    parts[places[-1]] = "labels"
    return Path(*parts)


def read(pictures: Path, labels: Path, about: Described) -> Rows:
    """The objects of one split. An image without a text file has none, by YOLO's convention; how many
    there are is told."""
    rows = Rows(pictures, "line", points=about.points[0], relative=True)
    rows.listed, rows.mirrored = about.names, about.mirrored
    texts = {path.relative_to(labels).with_suffix("").as_posix() for path in labels.rglob("*.txt")}
    seen = set()
    for name in sorted(name for name in walk(pictures) if is_image(name)):
        stem = name.rpartition(".")[0]
        if stem in seen:
            text = "another image has the same text file: left out"
            rows.fault((str(pictures), name), text, "image")
            continue
        seen.add(stem)
        path = labels / f"{stem}.txt"
        try:
            lines = read_lines(path) if stem in texts else []
        except (OSError, UnicodeDecodeError) as error:
            rows.image(
                name, problem=f"{shown(path)}: not a readable text file ({shown(error, 200)})"
            )
            continue
        _read_lines(rows, rows.image(name), path, lines, about)
    if missing := len(seen - texts):
        rows.remarks.append(
            f"{shown(pictures)}: {missing} of {len(seen)} images have no label file: taken as images "
            "without objects"
        )
    for stem in sorted(texts - seen - {"classes"}):
        path = labels / f"{stem}.txt"
        rows.image(stem, problem=f"{shown(path)}: has no partner: expected an image")
    return rows


def _read_lines(rows: Rows, image: int, path: Path, lines: Sequence[str], about: Described) -> None:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        title = str(path), number
        try:
            label, *rest = line.split()
            box, mask, points = _parsed(np.array(rest, np.float64), about.points)
            rows.add(image, _name(label, about.names), box, title, mask=mask, keypoints=points)
        except ExampleError as error:
            rows.fault(title, error)
        except (ValueError, OverflowError):
            text = f"{shown(line.strip(), 60)!r}: expected a class and numbers"
            rows.fault(title, text)


def _name(label: str, names: Sequence[str]) -> str:
    number = int(float(label))
    if number != float(label) or not 0 <= number < (len(names) or 1 << 20):
        last = len(names) - 1 if names else "..."
        raise ExampleError(f"class {shown(label, 60)}: expected 0 to {last}")
    return names[number] if names else str(number)


def _parsed(
    numbers: np.ndarray, shape: tuple[int, int]
) -> tuple[Sequence[float], Mask | None, np.ndarray | None]:
    """Corners, polygon and keypoints of the numbers after the class. Raises ExampleError."""
    count, each = shape
    if len(numbers) == 4 + count * each:
        x, y, width, height = numbers[:4].tolist()
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        points = None
        if count:
            places = numbers[4:].reshape(count, each)
            visible = places[:, 2:] if each == 3 else 2.0 * places.any(1, keepdims=True)
            if not (np.abs(places) < FARTHEST).all() or not np.isin(visible, (0, 1, 2)).all():
                raise ExampleError("its keypoints: expected x, y, and 0, 1 or 2 for each")
            points = np.concatenate([places[:, :2], visible], 1) * (visible > 0)
        return box, None, None if points is None else points.astype(np.float32)
    if count or len(numbers) < 6 or len(numbers) % 2:
        expected = (
            f"cx cy w h and {count} keypoints" if count else "cx cy w h, or 3 corners or more"
        )
        raise ExampleError(f"has {len(numbers)} numbers after the class: expected {expected}")
    if not np.isfinite(numbers).all():
        raise ExampleError("its polygon is damaged: expected pairs of numbers, x and y")
    corners = numbers.reshape(-1, 2)
    return [*corners.min(0), *corners.max(0)], (True, [numbers]), None


def _pictures(folder: Path, content: Mapping[str, Any]) -> dict[str, Path]:
    """The folder of each split. Leading `..`, which exported sets have, count for nothing."""
    pictures = {}
    for split in ("train", "val", "test"):
        entry = content.get(split)
        if not isinstance(entry, str):
            continue
        parts = [part for part in Path(entry).parts if part not in ("..", ".")]
        inside = [folder / Path(*parts)] if parts and not Path(entry).is_absolute() else []
        if isinstance(top := content.get("path"), str):
            inside.append(folder / top / entry)
        if there := next((path for path in inside if path.is_dir()), None):
            pictures[split] = there
    return pictures


def _distinct(names: list[str], path: Path) -> tuple[str, ...]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{shown(path)}: class {shown(twice, 60)!r} is there twice: expected once")
    return tuple(names)
