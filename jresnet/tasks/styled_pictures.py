"""Painted pictures for people: beside the picture that they show, and as files that keep all."""

from collections.abc import Mapping

import numpy as np

from jresnet.data.deep_pictures import DeepPicture, read_picture
from jresnet.report.drawing import as_rgb, enlarged, fitted, side_by_side
from jresnet.tasks.case import Case, Picture, Prediction


def shown(results: Mapping[str, np.ndarray], case: Case) -> Picture:
    """Picture and result, with their style losses where these are known."""
    pair = [as_rgb(np.asarray(each)) for each in (case.arrays["image"], results["picture"])]
    caption = "picture, result"
    if "style" in results:
        before, after = (float(results[name]) for name in ("original", "style"))
        caption = f"style loss {before:.3g}, painted {after:.3g}"
    return Picture(side_by_side([enlarged(each) for each in pair]), caption)


def presented(picture: np.ndarray, case: Case, draw: bool, keep_colour: bool) -> Prediction:
    """The file of a painted picture: alpha, 16 bits, EXIF and profile as in the original.

    A grey picture gets the style's colours, and so loses its grey profile; one whose colours are
    kept stays grey.
    """
    image = np.asarray(case.arrays["image"])
    below, right = np.asarray(case.arrays["padding"]).tolist()
    height, width = image.shape[0] - below, image.shape[1] - right
    bits = 8 * image.dtype.itemsize
    row, record = (f"{width} x {height}", str(bits)), {"size": [width, height], "bits": bits}
    if not draw:
        return Prediction([row], record)
    pixels, image = picture[:height, :width], image[:height, :width]
    original = DeepPicture(image)
    if case.file is not None:
        original = read_picture(case.file, case.name)
    profile, drawn = original.profile, [_eight_bits(each) for each in (image, pixels)]
    if original.pixels.shape[-1] == 1 and keep_colour:
        mean = np.floor(pixels.mean(-1, keepdims=True, dtype=np.float64) + 0.5)
        pixels = mean.astype(pixels.dtype)
    elif original.pixels.shape[-1] == 1:
        profile = b""
    whole = DeepPicture(np.ascontiguousarray(pixels), original.alpha, original.exif, profile)
    drawing = side_by_side([fitted(each) for each in drawn])
    return Prediction([row], record, drawing, files={"styled.png": whole.png()})


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    return (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
