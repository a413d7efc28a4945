"""Files of boxes, label maps and films, made to measure input without such sets.

They lie as torchvision reads them too: in VOC's layout, and films in class folders. What is drawn
is the same on every machine; encoders may differ.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from jresnet.benchmark.photos import QUALITY, SIZE, part, photographs
from jresnet.data.films import RATE
from jresnet.data.sources.known_maps import VOC
from jresnet.extras import library

YEAR = "VOCdevkit/VOC2012"
FILM = (320, 240)  # width and height of the films, those of UCF-101
LENGTH = 100  # frames of a film


def make_voc(folder: Path, count: int) -> float:
    """Write photographs with one to four ellipses, their boxes and label maps, as VOC 2012 lies.

    Args:
        folder: where to write; `VOCdevkit` is in it then.
        count: images of `train`; `val` has two.

    Returns:
        The mean size of a photograph's file in bytes.
    """
    root, sizes = folder / YEAR, []
    sources = [image for _, image in photographs()]
    for split, number in (("train", count), ("val", 2)):
        names = [f"{split}_{index:05d}" for index in range(number)]
        for task in ("Main", "Segmentation"):
            _write(root / "ImageSets" / task / f"{split}.txt", "\n".join(names) + "\n")
        for index, name in enumerate(names):
            rng = np.random.default_rng((split == "val", index))
            picture = part(sources[index % len(sources)], rng)
            objects = [_drawn_object(rng) for _ in range(rng.integers(1, 5))]
            path = _parent(root / "JPEGImages" / f"{name}.jpg")
            picture.save(path, quality=QUALITY)
            sizes.append(path.stat().st_size)
            _write(root / "Annotations" / f"{name}.xml", _xml(objects))
            _label_map(objects).save(_parent(root / "SegmentationClass" / f"{name}.png"))
    return sum(sizes) / len(sizes)


Object = tuple[int, tuple[int, int, int, int]]  # class of VOC, and x1 y1 x2 y2 in whole pixels


def _drawn_object(rng: np.random.Generator) -> Object:
    width, height = (int(rng.integers(40, side // 2)) for side in SIZE)
    left, top = (
        int(rng.integers(1, side - length))
        for side, length in zip(SIZE, (width, height), strict=True)
    )
    return int(rng.integers(1, len(VOC))), (left, top, left + width - 1, top + height - 1)


def _xml(objects: list[Object]) -> str:
    width, height = SIZE
    lines = "".join(
        f"<object><name>{VOC[number]}</name><difficult>0</difficult><bndbox><xmin>{left}</xmin>"
        f"<ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for number, (left, top, right, bottom) in objects
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{size}{lines}</annotation>\n"


def _label_map(objects: list[Object]) -> Image.Image:
    labels = Image.new("P", SIZE)
    labels.putpalette([value for number in range(256) for value in (number, number, number)])
    draw = ImageDraw.Draw(labels)
    for number, box in objects:
        inside = [side - 1 for side in box]  # VOC counts pixels from 1
        draw.ellipse(inside, fill=number, outline=255, width=3)  # ignored along the edge, as in VOC
    return labels


def make_films(folder: Path, count: int) -> float:
    """Write films of windows that wander over scikit-learn's two photographs, a class for each.

    Args:
        folder: where to write; `train/CLASS` and `val/CLASS` are in it then.
        count: films of `train`; `val` has two.

    Returns:
        The mean size of a film's file in bytes.
    """
    sizes = []
    sources = photographs()
    for split, number in (("train", count), ("val", 2)):
        for index in range(number):
            name, image = sources[index % len(sources)]
            rng = np.random.default_rng((split == "val", index))
            path = _parent(folder / split / name / f"{index:05d}.mp4")
            _write_film(path, np.asarray(image), rng)
            sizes.append(path.stat().st_size)
    return sum(sizes) / len(sizes)


def _write_film(path: Path, pixels: np.ndarray, rng: np.random.Generator) -> None:
    av = library("av", "video")
    width, height = FILM
    room = np.array([pixels.shape[0] - height, pixels.shape[1] - width])
    # Along an ellipse within the photograph, at two or three pixels a frame.
    start, turns = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6)
    angle = start + np.linspace(0, 2 * np.pi * turns, LENGTH)
    corners = np.rint(room * (1 + np.stack([np.sin(angle), np.cos(angle)], 1)) / 2).astype(int)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(RATE))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for top, left in corners:
            window = np.ascontiguousarray(pixels[top : top + height, left : left + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="rgb24")))
        container.mux(stream.encode())


def _write(path: Path, text: str) -> None:
    _parent(path).write_text(text, "utf-8")


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
