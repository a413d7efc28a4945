"""Picture files with all that is in them, 16 bits, alpha, EXIF and colour profile, and back.

`images.decode` reads what nets are trained on; this is for pictures that are made into others.
"""

import dataclasses
import io
import logging

import numpy as np
from PIL import Image

from jresnet.data import exif, png16, tiff16
from jresnet.data.decoders import DecodeError, guarded, open_image
from jresnet.text import shown

logger = logging.getLogger(__name__)

_ORIENTATION = 0x0112
_BITS = 24  # the place of a PNG's bits a channel
_OTHER_SPACES = ("CMYK", "LAB", "HSV")  # modes that become RGB, which their profiles are not for


@dataclasses.dataclass(frozen=True)
class DeepPicture:
    """A picture, upright.

    - pixels: uint8 or uint16 `[H, W, 1 or 3]`.
    - alpha: of the same type, `[H, W]`; None if the picture is opaque.
    - exif: its EXIF block, which says that it is upright; empty if it has none.
    - profile: its ICC colour profile; empty if it has none, or one that the pixels do not fit.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes = b""
    profile: bytes = b""

    def colours(self) -> np.ndarray:
        """The pixels as `[H, W, 3]`."""
        return np.ascontiguousarray(np.broadcast_to(self.pixels, (*self.pixels.shape[:2], 3)))

    def png(self) -> bytes:
        """The file of the picture, a PNG."""
        planes = [self.pixels] if self.alpha is None else [self.pixels, self.alpha[..., None]]
        pixels = np.concatenate(planes, -1)
        if pixels.dtype == np.uint16:
            return png16.encode(pixels, self.exif, self.profile)
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[-1]]
        image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode)
        stream = io.BytesIO()
        extra = {"exif": self.exif} if self.exif else {}
        extra |= {"icc_profile": self.profile} if self.profile else {}
        image.save(stream, "PNG", **extra)
        return stream.getvalue()


def read_picture(data: bytes, name: str = "") -> DeepPicture:
    """A picture file. Raises DecodeError for what is damaged or none, and for a film.

    Of a TIFF of several pages the first is taken, and CMYK and LAB become RGB, which their profile
    is not for: it is left out. If its `name` is told, there is a warning of either.
    A TIFF of 16 bits with colours or alpha needs the extra `tiff`; without it, that is the error.
    """
    with guarded():
        with open_image(data) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format in ("GIF", "PNG", "WEBP"):
                raise DecodeError(f"a film of {frames} pictures; expected one")
            if frames > 1 and image.format == "TIFF" and name:
                logger.warning(
                    "%s: a TIFF of %d pages; the first one is taken", shown(name), frames
                )
            # Before Pillow reads the pixels of a TIFF, with which it takes the orientation away.
            deep, place = tiff16.is_deep(image), exif.orientation(data)
            if deep:
                place = tiff16.orientation(image)
            block, profile = _upright(image), image.info.get("icc_profile") or b""
            if profile and image.mode in _OTHER_SPACES:
                profile = b""
                if name:
                    logger.warning(
                        "%s: %s became RGB: its profile is left out", shown(name), image.mode
                    )
            if deep:
                pixels = tiff16.decode(data)
            else:
                pixels = png16.decode(data) if png16.is_deep(data) else _pixels(image, data)
        pixels = exif.turn(pixels, place)
        alpha = None
        if pixels.shape[-1] in (2, 4):
            pixels, alpha = pixels[..., :-1], np.ascontiguousarray(pixels[..., -1])
        return DeepPicture(np.ascontiguousarray(pixels), alpha, block, profile)


def _upright(image: Image.Image) -> bytes:
    """The EXIF block, in which the orientation is 1."""
    try:
        tags = image.getexif()
        if not tags:
            return b""
        if _ORIENTATION in tags:
            tags[_ORIENTATION] = 1
        return tags.tobytes()
    except Exception:  # a damaged block is left out
        return b""


def _pixels(image: Image.Image, data: bytes) -> np.ndarray:
    """`[H, W, 1 to 4]` as stored: grey or colours, and alpha if there is some."""
    if image.mode in ("I;16", "I;16L", "I;16B"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.mode in ("I", "F"):
        raise DecodeError(f"pixels of 32 bits (mode {image.mode}); expected 8 or 16")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    grey = image.mode in ("1", "L", "LA", "La")
    alpha = image.mode[-1] in "Aa"
    mode = ("LA" if alpha else "L") if grey else ("RGBA" if alpha else "RGB")
    pixels = np.array(image if image.mode == mode else image.convert(mode))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    key = None if alpha else image.info.get("transparency")
    if key is None or image.mode not in ("1", "L", "RGB"):
        return pixels
    if image.format == "PNG" and image.mode == "L" and data[_BITS] < 8:
        key *= 255 // ((1 << data[_BITS]) - 1)  # as Pillow scales the pixels
    opaque = (pixels != np.array(key)).any(-1, keepdims=True)
    return np.concatenate([pixels, np.where(opaque, 255, 0).astype(np.uint8)], -1)
