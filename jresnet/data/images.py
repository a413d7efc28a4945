"""Bytes of an image file to pixels, on the host."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

try:
    import simplejpeg
except ImportError:  # the optional extra [fast]; Pillow gives the same pixels, more slowly
    simplejpeg = None


class DecodeError(ValueError):
    """The bytes are no readable image. Who knows the file turns this into a UsageError that names it."""


# What Pillow raises on broken files depends on the format.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_PILLOW_ERRORS += (Image.DecompressionBombError,)
# The message of UnidentifiedImageError shows the address of the buffer.
_UNKNOWN = "no image format that Pillow knows"


def header(data: bytes) -> tuple[int, int, int]:
    """(height, width, channels) without decoding; channels is 1 for grey images and 3 for all others.

    Raises DecodeError.
    """
    if simplejpeg is not None and simplejpeg.is_jpeg(data):
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            return int(height), int(width), 1 if colours == "Gray" else 3
        except ValueError:
            pass  # Pillow has the last word here too
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.height, image.width, 1 if image.mode in ("1", "L", "LA") else 3
    except UnidentifiedImageError as error:
        raise DecodeError(_UNKNOWN) from error
    except _PILLOW_ERRORS as error:
        raise DecodeError(str(error)) from error


def decode(data: bytes, channels: int = 3, factor: int = 1) -> np.ndarray:
    """uint8 [H, W, channels] of any file Pillow reads; grey, palette, CMYK and alpha become RGB (or grey).

    factor 2, 4 or 8 decodes a JPEG to that fraction of its size, rounded up, at a fraction of the cost;
    other formats come in full size. EXIF orientation is ignored, as in torchvision. Raises DecodeError.
    """
    if simplejpeg is not None and simplejpeg.is_jpeg(data):
        try:
            return _decode_simplejpeg(data, channels, factor)
        except ValueError:
            # simplejpeg refuses CMYK and files with stray bytes (ImageNet has some): Pillow has the last word.
            pass
    return _decode_pillow(data, channels, factor)


def _decode_simplejpeg(data: bytes, channels: int, factor: int) -> np.ndarray:
    assert simplejpeg is not None
    height = width = 0  # no minimum: full size
    if factor > 1:
        full_height, full_width = map(int, simplejpeg.decode_jpeg_header(data)[:2])
        height, width = -(-full_height // factor), -(-full_width // factor)
    # The exact DCT and upsampling, so that pixels do not depend on whether simplejpeg is installed.
    return simplejpeg.decode_jpeg(
        data,
        "RGB" if channels == 3 else "GRAY",
        min_height=height,
        min_width=width,
        min_factor=factor,
    )


def _decode_pillow(data: bytes, channels: int, factor: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith(("I", "F")):
                # Pillow would clip 16 bits to 8 here, which turns most such images white.
                raise DecodeError(
                    f"pixels of more than 8 bits (mode {image.mode}) are not supported"
                )
            if factor > 1:
                image.draft(image.mode, (image.width // factor, image.height // factor))
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")
            pixels = np.array(image.convert("RGB" if channels == 3 else "L"))
    except DecodeError:
        raise
    except UnidentifiedImageError as error:
        raise DecodeError(_UNKNOWN) from error
    except _PILLOW_ERRORS as error:
        raise DecodeError(str(error)) from error
    return pixels.reshape(*pixels.shape[:2], channels)


def resize(
    pixels: np.ndarray,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """uint8 [H, W, 3] to [height, width, 3], bilinear with antialiasing.

    box is the part to resize, (left, top, right, bottom) in pixels; without it, all.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR, box))
