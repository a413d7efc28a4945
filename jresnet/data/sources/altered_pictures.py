"""Warnings of what is lost when picture files are read as RGB of 8 bits a channel."""

import functools
import logging
import os
from pathlib import Path

from jresnet.data import images, png16, tiff16
from jresnet.data.decoders import guarded, open_image
from jresnet.text import shown

logger = logging.getLogger(__name__)

_JPEG = b"\xff\xd8\xff"
WORDS = {
    "alpha": "transparent parts (an alpha channel), which are read as opaque",
    "bits": "16 bits a channel, which are scaled to 8 by their full range",
    "range": "32 bits or fractions, which are stretched to 8 bits by their own range",
    "film": "several pictures (an animated PNG), of which the first is taken",
}


def alterations(data: bytes) -> frozenset[str]:
    """The keys of `WORDS` that hold for a file, by its beginning. Raises DecodeError."""
    if data.startswith(_JPEG):
        return frozenset()
    with guarded(), open_image(data) as image:
        stretched = images.is_stretched_mode(image.mode)
        deep = png16.is_deep(data) or tiff16.is_deep(image) or images.has_16_bits(image)
        lost = {
            "alpha": image.mode[-1] in "Aa" or "transparency" in image.info,
            "bits": deep,
            "range": stretched and not deep,
            "film": image.format == "PNG" and getattr(image, "n_frames", 1) > 1,
        }
    return frozenset(name for name, holds in lost.items() if holds)


@functools.cache
def tell_alterations(files: tuple[Path, ...], lost: tuple[frozenset[str], ...]) -> None:
    """Warn, once a set, of files that are read with a loss: a line for each kind, with a count."""
    for name, words in WORDS.items():
        chosen = [path for path, each in zip(files, lost, strict=True) if name in each]
        if chosen:
            logger.warning(
                "%s: %d of %d pictures have %s; such as %s",
                shown(os.path.commonpath([path.parent for path in files])),
                len(chosen), len(files), words, shown(chosen[0].name),
            )  # fmt: skip
