"""JPEG files of ImageNet's size, generated to measure an input pipeline without ImageNet."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (500, 375)  # width, height
QUALITY = 90


def make_photos(folder: Path, count: int) -> float:
    """Write `train` and `test` with one class folder for each of scikit-learn's two photographs.

    Each file is another part of its photograph, at least 500 x 375 pixels large and resized to
    that. Parts are the same on every machine; encoders may differ.

    Args:
        folder: where to write.
        count: files in `train`; `test` has two.

    Returns:
        The mean size of a file in bytes.
    """
    sources = photographs()
    sizes = []
    for split, number in [("train", i) for i in range(count)] + [("test", i) for i in range(2)]:
        rng = np.random.default_rng((split == "test", number))
        name, image = sources[number % len(sources)]
        path = folder / split / name / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        part(image, rng).save(path, quality=QUALITY)
        sizes.append(path.stat().st_size)
    return sum(sizes) / len(sizes)


def photographs() -> list[tuple[str, Image.Image]]:
    """The two photographs that come with scikit-learn, with their names."""
    from sklearn.datasets import load_sample_images

    samples = load_sample_images()
    names = [Path(name).stem for name in samples.filenames]
    return list(zip(names, map(Image.fromarray, samples.images), strict=True))


def part(photograph: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random window at least as large as SIZE, resized to SIZE; half are mirrored."""
    largest = min(photograph.width / SIZE[0], photograph.height / SIZE[1])
    scale = rng.uniform(1, largest)
    width, height = scale * SIZE[0], scale * SIZE[1]
    left = rng.uniform(0, photograph.width - width)
    top = rng.uniform(0, photograph.height - height)
    box = (left, top, left + width, top + height)
    resized = photograph.resize(SIZE, Image.Resampling.BICUBIC, box)
    return resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else resized
