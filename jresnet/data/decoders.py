"""Guards around the decoders of image files: which formats, how large, and one exception for all that they raise."""

import contextlib
import ctypes
import functools
import io
import logging
import re
import warnings
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

from jresnet.data.broken import ExampleError
from jresnet.text import shown

# Pillow opens many more. For some of them it starts other programs, such as Ghostscript for EPS.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
# About 1.3 GB of memory and three seconds; phones and medium-format cameras reach 100 million.
MAX_PIXELS = 1 << 27
# Smaller images may be compressed as much as the format can.
_FREE_PIXELS = 1 << 24
# A photograph has a few pixels a byte, a white JPEG about 60, a bomb a thousand and more.
_PIXELS_PER_BYTE = 200
# Encoders write about ten. A decoder goes over the whole image for each.
_MAX_SCANS = 100
_MAX_SCANNED = 2_000_000_000  # pixels times scans
_MESSAGE = 200  # characters
_PILLOW = re.compile(r"PIL\.")
_IGNORED = ("ignore", None, Warning, _PILLOW, 0)  # as warnings.filters keeps it


class DecodeError(ExampleError):
    """Not a readable image. Callers that know the file's name re-raise this with it."""


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Turn any exception of a decoder into a DecodeError of one line.

    Which ones they raise depends on the format and on the damage: OSError, SyntaxError, struct.error,
    NotImplementedError, RuntimeError, TypeError, MemoryError and others were seen.
    """
    try:
        _silence_pillow()
        _silence_tiff()
        yield
    except DecodeError:
        raise
    except UnidentifiedImageError as error:
        # Its message shows the address of a buffer.
        raise DecodeError(f"damaged, or none of the formats {', '.join(FORMATS)}") from error
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise DecodeError(shown(text, _MESSAGE)) from error


def open_image(data: bytes) -> Image.Image:
    """An image file opened by Pillow, its size checked, nothing decoded yet. For use within `guarded`."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    check_size(image.height, image.width, len(data))
    if image.format in ("JPEG", "MPO"):
        check_scans(data, image.height * image.width)
    return image


def check_size(height: int, width: int, size: int) -> None:
    """Raises DecodeError for an image without pixels, and for a bomb: more than can be decoded or than `size` bytes hold."""
    pixels = height * width
    if height < 1 or width < 1:
        raise DecodeError(f"{width} x {height} pixels; expected at least one")
    if pixels > MAX_PIXELS:
        raise DecodeError(f"{width} x {height} pixels; expected at most {MAX_PIXELS:,}")
    if pixels > max(_FREE_PIXELS, _PIXELS_PER_BYTE * size):
        raise DecodeError(
            f"{width} x {height} pixels in a file of {size:,} bytes; "
            f"expected at most {_PIXELS_PER_BYTE} pixels a byte"
        )


def check_scans(data: bytes, pixels: int) -> None:
    """Raises DecodeError for a JPEG with so many scans that decoding it takes long."""
    limit = min(_MAX_SCANS, max(10, _MAX_SCANNED // max(1, pixels)))
    # Counting bytes is quick, and enough for nearly all files. But the same bytes may lie in what follows the image.
    if data.count(b"\xff\xda") > limit and _count_scans(data, limit) > limit:
        raise DecodeError(f"a JPEG of more than {limit} scans")


# Of the markers within a scan: not a stuffed byte, a restart, or padding.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")


def _count_scans(data: bytes, limit: int) -> int:
    """How many scans the first image of a JPEG file has; stops above the limit."""
    count, place = 0, 2
    while count <= limit and (marker := _MARKER.search(data, place)):
        kind, place = marker[1][0], marker.end()
        if kind == 0xD9:
            break
        count += kind == 0xDA
        if kind not in (0x01, 0xD8):  # those have no length
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return count


@functools.cache
def _silence_tiff() -> None:
    """Keep Pillow and libtiff from logging damaged TIFF files, libtiff often with a line for each row of pixels."""
    logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
    with contextlib.suppress(OSError, AttributeError):  # where Pillow is built in another way
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
        ctypes.CDLL(Image.core.__file__).TIFFSetWarningHandler(None)


def _silence_pillow() -> None:
    """Ignore Pillow's warnings, of damaged EXIF blocks and the like, from here on and in all threads.

    Not warnings.catch_warnings: with threads one restores what another has set, and every change of the
    filters makes Python repeat warnings that it has shown.
    """
    if not warnings.filters or warnings.filters[0] != _IGNORED:
        warnings.filterwarnings(_IGNORED[0], module=_PILLOW.pattern)
