"""The orientation that a camera notes in a picture's EXIF block, read from the bytes of the file."""

import struct
from collections.abc import Callable

import numpy as np

_TAG = 0x0112
_SHORT, _LONG = 3, 4  # EXIF's own numbers of the types

# How stored pixels [H, W, C] become upright ones; 1 is upright.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: np.rot90(pixels),
}


def orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG, PNG or WebP file, 1 to 8; 1 where it has none or a damaged one.

    Not of a TIFF file: there Pillow itself applies it.
    """
    try:
        return _read_tag(_find(data))
    except (struct.error, IndexError):  # a block that ends too early
        return 1


def turn(pixels: np.ndarray, number: int) -> np.ndarray:
    """Pixels [H, W, C] as they were stored, turned upright."""
    return np.ascontiguousarray(_TURNS[number](pixels)) if number in _TURNS else pixels


def swaps_sides(number: int) -> bool:
    """Whether height and width change places."""
    return number >= 5


def _find(data: bytes) -> bytes:
    """The EXIF block, which is a small TIFF file; empty where there is none."""
    if data.startswith(b"\xff\xd8"):
        block = _find_in_jpeg(data)
    elif data.startswith(b"\x89PNG") and b"eXIf" in data:
        block = _find_chunk(data, 8, b"eXIf", ">I4s", 4)
    elif data.startswith(b"RIFF") and b"EXIF" in data:
        block = _find_chunk(data, 12, b"EXIF", "<4sI", 0)
    else:
        return b""
    return block.removeprefix(b"Exif\0\0")


def _find_in_jpeg(data: bytes) -> bytes:
    place = 2
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker in (0xDA, 0xD9):  # pixels, or the end
            break
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker == 0xE1 and data.startswith(b"Exif\0\0", place + 4):
            return data[place + 4 : place + 2 + length]
        place += 2 + max(2, length)
    return b""


def _find_chunk(data: bytes, place: int, name: bytes, header: str, check: int) -> bytes:
    """The content of the first chunk of that name.

    Args:
      data: a file of chunks.
      place: where the first begins.
      name: four letters.
      header: what struct reads before a chunk's content: name and length, in either order.
      check: bytes of the checksum after the content; 0 means content is padded to an even length.
    """
    while True:
        first, second = struct.unpack_from(header, data, place)
        kind, length = (first, second) if isinstance(first, bytes) else (second, first)
        if kind == name:
            return data[place + 8 : place + 8 + length]
        place += 8 + length + (check or length % 2)


def _read_tag(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", block, place)
        if tag == _TAG:
            form = {_SHORT: "H", _LONG: "I"}.get(kind)
            value = struct.unpack_from(order + form, block, place + 8)[0] if form else 1
            return value if 1 <= value <= 8 else 1
    return 1
