"""Enlarged pictures for people: crops side by side with bicubic and truth, and files that keep all."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from jresnet.data.deep_pictures import DeepPicture, read_picture
from jresnet.report.drawing import as_rgb, enlarged, side_by_side
from jresnet.tasks.case import Case, Picture, Prediction

COLUMNS = 4  # of a drawing: reduced, bicubic, result, truth
CROP = 96  # pixels of the enlarged picture that a crop shows,
MIDDLE = 320  # and that the drawing of a prediction does


def shown(results: Mapping[str, np.ndarray], case: Case, scale: int) -> Picture:
    """Reduced, bicubic, result and truth where bicubic is most wrong; PSNR of the whole picture."""
    truth = np.asarray(case.arrays["image"])
    below, right = np.asarray(case.arrays.get("padding", (0, 0))).tolist()
    height, width = truth.shape[0] - below, truth.shape[1] - right
    reduced = np.asarray(results["reduced"]).repeat(scale, 0).repeat(scale, 1)
    pictures = [results["bicubic"], results["picture"], truth, reduced]
    pictures = [np.asarray(each)[:height, :width] for each in pictures]
    window = _hardest(pictures[0], pictures[2])
    crops = [enlarged(as_rgb(each[window])) for each in (pictures[3], *pictures[:3])]
    bicubic, ours = (_psnr_y(each, pictures[2], scale) for each in pictures[:2])
    caption = f"reduced, bicubic {bicubic:.2f} dB, result {ours:.2f} dB, truth"
    return Picture(side_by_side(crops), caption)


def presented(picture: np.ndarray, case: Case, scale: int, draw: bool) -> Prediction:
    """The file of an enlarged picture: grey, alpha, 16 bits, EXIF and profile as in the original."""
    low = np.asarray(case.arrays["image"])
    below, right = np.asarray(case.arrays["padding"]).tolist()
    height, width = low.shape[0] - below, low.shape[1] - right
    sizes = f"{width} x {height}", f"{scale * width} x {scale * height}"
    record = {
        "scale": scale, "size": [width, height], "enlarged": [scale * width, scale * height],
        "bits": 8 * low.dtype.itemsize,
    }  # fmt: skip
    if not draw:
        return Prediction([sizes], record)
    picture = picture[: scale * height, : scale * width]
    original = DeepPicture(low[:height, :width])
    if case.file is not None:
        original = read_picture(case.file, case.name)
    alpha = None if original.alpha is None else _bicubic(original.alpha, scale)
    pixels = picture
    if original.pixels.shape[-1] == 1:
        mean = np.floor(picture.mean(-1, keepdims=True, dtype=np.float64) + 0.5)
        pixels = mean.astype(picture.dtype)
    whole = DeepPicture(pixels, alpha, original.exif, original.profile)
    drawing = _compared(original, picture, scale)
    return Prediction([sizes], record, drawing, files={f"x{scale}.png": whole.png()})


def _compared(original: DeepPicture, picture: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic and result beside each other, in the middle of the picture."""
    low = _eight_bits(original.colours())
    size = scale * low.shape[1], scale * low.shape[0]
    bicubic = np.asarray(Image.fromarray(low).resize(size, Image.Resampling.BICUBIC))
    ours = _eight_bits(picture)
    sides = [min(MIDDLE, side) for side in ours.shape[:2]]
    start = [(whole - side) // 2 for whole, side in zip(ours.shape[:2], sides, strict=True)]
    window = tuple(slice(low, low + side) for low, side in zip(start, sides, strict=True))
    return side_by_side([enlarged(as_rgb(each[window])) for each in (bicubic, ours)])


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    return (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def _bicubic(plane: np.ndarray, scale: int) -> np.ndarray:
    """uint8 or uint16 `[H, W]`, enlarged."""
    size = scale * plane.shape[1], scale * plane.shape[0]
    wide = Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    top = np.iinfo(plane.dtype).max
    return np.clip(np.floor(np.asarray(wide) + 0.5), 0, top).astype(plane.dtype)


def _hardest(one: np.ndarray, other: np.ndarray) -> tuple[slice, slice]:
    """The part of `CROP` pixels in which two pictures differ most; all of a smaller one."""
    error = np.square(one.astype(np.float64) - other).mean(-1)
    sides = [min(CROP, side) for side in error.shape]
    sums = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = sides
    parts = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    top, left = np.unravel_index(parts.argmax(), parts.shape)
    return slice(int(top), int(top) + h), slice(int(left), int(left) + w)


def _psnr_y(ours: np.ndarray, truth: np.ndarray, border: int) -> float:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    difference = (ours.astype(np.float64) - truth) @ weights
    inside = difference[border:-border, border:-border]
    error = np.square(inside).mean() if inside.size else 0.0
    return float(10 * np.log10(255**2 / error)) if error else float("inf")
