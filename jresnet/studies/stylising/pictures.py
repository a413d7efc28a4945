"""Pictures that style transfer reads, and the files that it writes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from jresnet.data.decoders import DecodeError
from jresnet.data.deep_pictures import DeepPicture, read_picture
from jresnet.data.sources.files import read_file
from jresnet.data.sources.sample_pictures import SamplePictures
from jresnet.errors import UsageError
from jresnet.storage import replacing
from jresnet.text import shown

# Folders of a run: its page's pictures, and pictures of one size that are optimised together.
_RESERVED = re.compile(r"page|\d+x\d+", re.IGNORECASE)
SMALLEST = 16  # pixels of the shorter side


class Photo(NamedTuple):
    """A picture that was read and resized.

    - name: without a folder and an ending.
    - pixels: float32 `[H, W, 3]` in [0, 1].
    - original: the file as it was; it knows alpha, EXIF, profile and bits.
    """

    name: str
    pixels: np.ndarray
    original: DeepPicture

    def as_bytes(self) -> np.ndarray:
        """uint8 `[H, W, 3]`."""
        return np.rint(255 * self.pixels).astype(np.uint8)


def read_photos(argument: str, paths: Sequence[Path], size: int) -> list[Photo]:
    """Pictures resized so that the longer side has `size` pixels.

    Names that occur twice, and those of a run's own folders (`page`, `256x171`), get numbers. Raises
    UsageError, for the argument of that name, for a file that is missing, damaged or a film, and for
    a picture too narrow to be compared.
    """
    photos: list[Photo] = []
    for path in paths:
        try:
            original = read_picture(read_file(path), str(path))
        except (DecodeError, OSError) as error:
            raise UsageError(
                f"{argument}={shown(path)}: not a readable picture ({error})"
            ) from error
        taken = [photo.name for photo in photos]
        stem = re.sub(r"[^\w.-]+", "_", path.stem)  # it names folders and files
        name, number = stem, 2
        while name in taken or _RESERVED.fullmatch(name):
            name, number = f"{stem}-{number}", number + 1
        photos.append(_photo(argument, name, original, size))
    return photos


def sample_content(size: int) -> Photo:
    """The left part of the photograph of a palace that comes with scikit-learn."""
    image = SamplePictures().open("train")[0]["image"]
    return _photo("content", "china", DeepPicture(image), size)


def sample_style(size: int) -> Photo:
    """Waves in three colours, drawn by a formula."""
    y, x = np.mgrid[:size, :size] / size
    phase = 2 * np.pi * (6 * x + 4 * y + 0.6 * np.sin(2 * np.pi * 3 * y))
    waves = np.stack([np.sin(phase + shift) for shift in (0.0, 0.8, 2.4)], -1)
    image = np.rint(255 * (0.5 + 0.45 * waves)).astype(np.uint8)
    return _photo("styles", "waves", DeepPicture(image), size)


def _photo(argument: str, name: str, original: DeepPicture, size: int) -> Photo:
    height, width = original.pixels.shape[:2]
    factor = size / max(height, width)
    height, width = max(1, round(factor * height)), max(1, round(factor * width))
    if min(height, width) < SMALLEST:
        raise UsageError(
            f"{argument}={shown(name)}: {width} x {height} pixels at size={size}, "
            f"expected at least {SMALLEST} x {SMALLEST}"
        )
    white = np.iinfo(original.pixels.dtype).max
    return Photo(name, resized(original.colours() / np.float32(white), height, width), original)


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 `[H, W, c]` to `[height, width, c]`, bilinear with antialiasing."""
    if pixels.shape[:2] == (height, width):
        return pixels.astype(np.float32)
    planes = [
        Image.fromarray(plane.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], -1)


def result_file(pixels: np.ndarray, photo: Photo) -> bytes:
    """A PNG of a result, float32 `[H, W, 3]` in [0, 1], with bits, alpha and EXIF of its original."""
    original = photo.original
    white = np.iinfo(original.pixels.dtype).max

    def whole(values: np.ndarray) -> np.ndarray:
        return np.rint(white * np.clip(values, 0, 1)).astype(original.pixels.dtype)

    alpha = None
    if original.alpha is not None:
        share = original.alpha[..., None] / np.float32(white)
        alpha = whole(resized(share, *pixels.shape[:2])[..., 0])
    # A grey profile does not fit a result in colour.
    profile = original.profile if original.pixels.shape[-1] == 3 else b""
    return DeepPicture(whole(pixels), alpha, original.exif, profile).png()


def write_result(path: Path, pixels: np.ndarray, photo: Photo) -> Path:
    """Write `result_file`; gives the path."""
    with replacing(path) as file:
        file.write(result_file(pixels, photo))
    return path
