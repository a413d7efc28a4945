"""TIFF files of 16 bits a channel, of which Pillow keeps 8 where they have colours or alpha."""

import io
import logging
from typing import Any

import numpy as np
from PIL import Image

from jresnet.data.decoders import DecodeError
from jresnet.extras import library

_BITS, _ORIENTATION = 258, 274  # TIFF's numbers of the tags
_GREY, _RGB = 1, 2  # TIFF's numbers of the photometric interpretation
_ASSOCIATED = 1  # TIFF's number of alpha that the colours are multiplied with


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture is a TIFF of more than 8 bits that Pillow would cut to 8."""
    if image.format != "TIFF" or image.mode.startswith(("I", "F")):
        return False
    return max(_numbers(image, _BITS), default=1) > 8


def decode(data: bytes) -> np.ndarray:
    """uint16 `[H, W, 1 to 4]` as stored: grey or RGB, and alpha if there is some.

    For use within `guarded`, where a missing library and damage become a DecodeError. Raises
    DecodeError for other kinds of samples.
    """
    tifffile = library("tifffile", "tiff")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # damage is told once, by the caller

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        kind, bits = int(page.photometric), int(page.bitspersample)
        if page.dtype != np.uint16 or kind not in (_GREY, _RGB):
            raise DecodeError(
                f"a TIFF of {bits} bits a channel and kind {page.photometric.name}; "
                "expected 8 or 16 bits, grey or RGB"
            )
        pixels = page.asarray()
        extra = [int(each) for each in page.extrasamples]
        if int(page.planarconfig) == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = 3 if kind == _RGB else 1
    pixels = pixels[..., : colours + bool(extra)]
    if extra and extra[0] == _ASSOCIATED:
        alpha = np.maximum(pixels[..., -1:], 1).astype(np.float64)
        whole = np.rint(pixels[..., :-1] * (65535 / alpha)).clip(0, 65535)
        pixels = np.concatenate([whole.astype(np.uint16), pixels[..., -1:]], -1)
    return pixels.astype(np.uint16)


def orientation(image: Image.Image) -> int:
    """The orientation that an opened TIFF notes, 1 to 8."""
    return next(iter(_numbers(image, _ORIENTATION)), 1)


def _numbers(image: Image.Image, tag: int) -> tuple[int, ...]:
    value = getattr(image, "tag_v2", {}).get(tag, ())
    return tuple(value) if isinstance(value, tuple) else (int(value),)
