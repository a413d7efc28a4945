"""Bytes of an image file to pixels, on the host."""

import numpy as np
from PIL import Image

from jresnet.data import exif
from jresnet.data.decoders import DecodeError, check_scans, check_size, guarded, open_image

try:
    import simplejpeg
except ImportError:  # the optional extra [fast]; Pillow gives the same pixels, more slowly
    simplejpeg = None

# Above this many pixels only the part of a resized image that is wanted is computed.
_WHOLE = 1 << 24


def header(data: bytes) -> tuple[int, int, int]:
    """(height, width, channels) of the upright image without decoding; channels is 1 for grey images and 3 for all others.

    Raises DecodeError.
    """
    with guarded():
        height, width, channels = _stored_header(data)
        if exif.swaps_sides(exif.orientation(data)):
            height, width = width, height
        return height, width, channels


def decode(data: bytes, channels: int = 3, factor: int = 1, full_range: bool = False) -> np.ndarray:
    """uint8 [H, W, channels] of an image file, upright by its EXIF orientation.

    JPEG, PNG, WebP, BMP, TIFF, GIF (its first picture) and PPM are read, of up to 134 million pixels. Grey,
    palette, CMYK and alpha become RGB (or grey). Grey ones of 16 bits, of 32 and of fractions, as
    microscopes and scanners write them, become 0 at the file's smallest value and 255 at its largest:
    most cameras fill a part of the 16 bits, which differs.

    Args:
      data: the bytes of the file.
      channels: 3 or 1.
      factor: 2, 4 or 8 decodes a JPEG to that fraction of its size, rounded up, at a fraction of the cost;
        other formats come in full size.
      full_range: grey ones of 16 bits are divided by 257, so that pictures of one brightness stay so;
        those of 32 bits and of fractions have no range but their own.

    Raises:
      DecodeError: whatever is wrong with the file.
    """
    with guarded():
        stored = _decode_stored(data, channels, factor, full_range)
        return exif.turn(stored, exif.orientation(data))


def _stored_header(data: bytes) -> tuple[int, int, int]:
    if simplejpeg is not None and simplejpeg.is_jpeg(data):
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            check_size(int(height), int(width), len(data))
            return int(height), int(width), 1 if colours == "Gray" else 3
        except DecodeError:
            raise
        except ValueError:
            pass  # Pillow has the last word here too
    with open_image(data) as image:
        return image.height, image.width, 1 if _is_grey(image.mode) else 3


def _decode_stored(data: bytes, channels: int, factor: int, full_range: bool) -> np.ndarray:
    if simplejpeg is not None and simplejpeg.is_jpeg(data):
        try:
            return _decode_simplejpeg(data, channels, factor)
        except DecodeError:
            raise
        except ValueError:
            # simplejpeg refuses CMYK and files with stray bytes (ImageNet has some): Pillow has the last word.
            pass
    return _decode_pillow(data, channels, factor, full_range)


def _decode_simplejpeg(data: bytes, channels: int, factor: int) -> np.ndarray:
    assert simplejpeg is not None
    full_height, full_width = map(int, simplejpeg.decode_jpeg_header(data)[:2])
    check_size(full_height, full_width, len(data))
    check_scans(data, full_height * full_width)
    height = width = 0  # no minimum: full size
    if factor > 1:
        height, width = -(-full_height // factor), -(-full_width // factor)
    # The exact DCT and upsampling, so that pixels do not depend on whether simplejpeg is installed.
    return simplejpeg.decode_jpeg(
        data,
        "RGB" if channels == 3 else "GRAY",
        min_height=height,
        min_width=width,
        min_factor=factor,
    )


def _decode_pillow(data: bytes, channels: int, factor: int, full_range: bool) -> np.ndarray:
    mode = "RGB" if channels == 3 else "L"
    with open_image(data) as image:
        if is_stretched_mode(image.mode):  # Pillow would clip, which turns most of them white
            values = np.asarray(image)
            if full_range and has_16_bits(image):
                return np.rint(values[..., None] / 257).astype(np.uint8).repeat(channels, -1)
            return _whole_range(values).repeat(channels, -1)
        if factor > 1:
            image.draft(image.mode, (image.width // factor, image.height // factor))
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        pixels = np.array(image if image.mode == mode else image.convert(mode))
    return pixels.reshape(*pixels.shape[:2], channels)


def is_stretched(data: bytes) -> bool:
    """Whether `decode` stretches a picture by its own range. Raises DecodeError."""
    with guarded(), open_image(data) as image:
        return is_stretched_mode(image.mode)


def is_stretched_mode(mode: str) -> bool:
    """Whether Pillow's mode is grey of more than 8 bits."""
    return mode.startswith(("I", "F"))


def has_16_bits(image: Image.Image) -> bool:
    """Whether grey values are from 0 to 65535. Older Pillow opens such a PNG, as any PPM, as mode I."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _is_grey(mode: str) -> bool:
    return mode in ("1", "L", "LA") or is_stretched_mode(mode)


def _whole_range(values: np.ndarray) -> np.ndarray:
    """Numbers [H, W] stretched to uint8 [H, W, 1] from 0 to 255. Raises DecodeError."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise DecodeError("values that are nan or inf; expected numbers")
    stretched = (values - low) * (255 / (high - low or 1.0))
    return np.rint(stretched).astype(np.uint8)[..., None]


def as_channels(stored: bytes | np.ndarray, channels: int) -> np.ndarray:
    """uint8 [H, W, channels] of an image's file, or of its pixels [H, W, C]. Raises DecodeError.

    Grey is the mean of colours, and colours repeat a grey value; channels is 1 or 3.
    """
    pixels = decode(stored, channels) if isinstance(stored, bytes) else stored
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 1:
        pixels = pixels.mean(-1, keepdims=True).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], channels)))


def resize(
    pixels: np.ndarray,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """uint8 [H, W, C] to [height, width, C], with antialiasing; C is 1 or 3.

    box is the part to resize, (left, top, right, bottom) in pixels; without it, all.
    """
    if box is not None:
        # Rounding may put its edges a hair outside, which Pillow refuses.
        left, top, right, bottom = box
        box = max(0, left), max(0, top), min(right, pixels.shape[1]), min(bottom, pixels.shape[0])
    channels = pixels.shape[-1]
    image = Image.fromarray(np.ascontiguousarray(pixels if channels == 3 else pixels[..., 0]))
    resized = np.array(image.resize((width, height), resampling, box))
    return resized.reshape(height, width, channels)


def resize_and_crop(
    pixels: np.ndarray,
    size: tuple[int, int],
    corner: tuple[int, int],
    crop: int,
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """The crop x crop pixels from `corner` on of `pixels` resized to `size`, with antialiasing.

    A long strip, whose shorter side grows, would be resized to gigabytes: of it only the crop is computed.

    Args:
      pixels: uint8 [H, W, 3].
      size: (height, width) of the whole image resized.
      corner: (top, left) of the crop in it.
      crop: pixels of either side.
      resampling: how pixels between pixels are computed.

    Returns:
      uint8 [crop, crop, 3].
    """
    (height, width), (top, left) = size, corner
    if height * width <= _WHOLE:
        whole = resize(pixels, height, width, resampling=resampling)
        return whole[top : top + crop, left : left + crop]
    scale_y, scale_x = pixels.shape[0] / height, pixels.shape[1] / width
    box = (left * scale_x, top * scale_y, (left + crop) * scale_x, (top + crop) * scale_y)
    return resize(pixels, crop, crop, box, resampling)
