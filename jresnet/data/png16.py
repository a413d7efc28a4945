"""PNG files of 16 bits a channel, of which Pillow keeps 8 where they have colours or alpha.

Libraries that read them: pypng is pure Python, had its last release in 2022, and has no argument
for EXIF blocks; OpenCV and imagecodecs are large for one format; imageio reads PNG by Pillow.
"""

import struct
import zlib

import numpy as np

from jresnet.data.decoders import DecodeError, check_size

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by PNG's number of the colour type


def is_deep(data: bytes) -> bool:
    """Whether it is the file of a PNG with 16 bits a channel."""
    return data.startswith(_SIGNATURE) and len(data) > 25 and data[24] == 16


def decode(data: bytes) -> np.ndarray:
    """uint16 `[H, W, 1 to 4]`: grey, grey and alpha, RGB, or RGB and alpha.

    A value or colour that the file says is transparent (tRNS) becomes alpha.
    Raises DecodeError for an interlaced or a damaged file.
    """
    width, height, _, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    check_size(height, width, len(data))
    if interlaced:
        raise DecodeError("an interlaced PNG of 16 bits; expected one that is not")
    channels = _CHANNELS[kind]
    stride = 2 * channels * width
    unpacked = zlib.decompressobj().decompress(_content(data, b"IDAT"), height * (stride + 1))
    if len(unpacked) < height * (stride + 1):
        raise DecodeError("a PNG that ends too early")
    lines = np.frombuffer(unpacked, np.uint8).reshape(height, stride + 1)
    rows = np.zeros((height + 1, stride), np.uint8)  # one of zeros before the first
    for number, line in enumerate(lines, 1):
        rows[number] = _unfiltered(line[0], line[1:], rows[number - 1], 2 * channels)
    pixels = rows[1:].reshape(height, width, channels, 2).view(">u2")[..., 0].astype(np.uint16)
    key = np.frombuffer(_content(data, b"tRNS"), ">u2")
    if channels in (2, 4) or len(key) != channels:
        return pixels
    opaque = (pixels != key).any(-1, keepdims=True)
    return np.concatenate([pixels, np.where(opaque, 65535, 0).astype(np.uint16)], -1)


def _content(data: bytes, kind: bytes) -> bytes:
    """The content of all chunks of a kind."""
    parts, place = [], 8
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        if name == kind:
            parts.append(data[place + 8 : place + 8 + length])
        place += 12 + length
    return b"".join(parts)


def _unfiltered(kind: int, line: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """One row of bytes; `step` bytes are a pixel."""
    if kind == 0:
        return line
    if kind == 1:  # each byte is a difference to that of the pixel before
        pixels = line.reshape(-1, step).astype(np.uint32)
        return np.cumsum(pixels, 0).astype(np.uint8).reshape(-1)
    if kind == 2:
        return line + above
    if kind not in (3, 4):
        raise DecodeError("a damaged PNG")
    row, up = line.astype(int).tolist(), above.astype(int).tolist()
    for i, value in enumerate(row):
        left = row[i - step] if i >= step else 0
        if kind == 3:
            row[i] = (value + (left + up[i]) // 2) & 255
        else:
            corner = up[i - step] if i >= step else 0
            row[i] = (value + _paeth(left, up[i], corner)) & 255
    return np.array(row, np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    """The neighbour nearest to left + up - corner."""
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def encode(pixels: np.ndarray, exif: bytes = b"", profile: bytes = b"") -> bytes:
    """The file of uint16 `[H, W, 1 to 4]`; `exif` is an EXIF block, `profile` an ICC profile."""
    height, width, channels = pixels.shape
    kind = {count: number for number, count in _CHANNELS.items()}[channels]
    rows = np.ascontiguousarray(pixels.astype(">u2")).view(np.uint8).reshape(height, -1)
    # Each row as its difference to the one above, which compresses better.
    above = np.concatenate([np.zeros_like(rows[:1]), rows[:-1]])
    lines = np.concatenate([np.full((height, 1), 2, np.uint8), rows - above], 1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if profile:
        chunks.append((b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + name + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )  # fmt: skip
