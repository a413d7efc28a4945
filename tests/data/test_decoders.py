"""Guards around the decoders: other formats, bombs, and exceptions of every kind."""

import io
import os
import resource
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from jresnet.data import decoders, images
from jresnet.data.crops import RandomResizedCrop, RandomScaleCrop, ResizeCenterCrop
from jresnet.data.decoders import DecodeError

from .conftest import encode, photograph

ROOT = Path(__file__).parents[2]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("RGB", (16, 16)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def scans(count: int) -> bytes:
    """A progressive JPEG of 64 x 64 pixels, its last scan repeated."""
    data = saved(Image.fromarray(photograph(64, 64)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


@pytest.fixture(params=["simplejpeg", "Pillow"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """JPEGs by simplejpeg, where it is installed, and by Pillow."""
    if request.param == "Pillow":
        monkeypatch.setattr(images, "simplejpeg", None)
    else:
        pytest.importorskip("simplejpeg")
    return request.param


@pytest.mark.parametrize("name", ["picture.eps", "picture.jpg"])
def test_no_other_program_is_started_for_a_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    for program in ("gs", "gswin32c", "magick", "convert"):
        (tmp_path / program).write_text(f"#!/bin/sh\ntouch {trace}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    eps = saved(Image.new("RGB", (8, 8)), "EPS")
    (tmp_path / name).write_bytes(eps)
    for read in (images.header, images.decode):
        with pytest.raises(DecodeError, match="none of the formats JPEG, PNG, WEBP"):
            read((tmp_path / name).read_bytes())
    assert not trace.exists()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_the_formats_that_are_meant(kind: str) -> None:
    data = saved(Image.fromarray(photograph(12, 10)), kind)
    assert images.header(data) == images.decode(data).shape == (12, 10, 3)


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "SGI", "ICNS", "JPEG2000", "AVIF", "PDF", "DDS"])  # fmt: skip
def test_others_are_not_opened(kind: str) -> None:
    with pytest.raises(DecodeError, match="none of the formats"):
        images.decode(saved(Image.new("RGB", (64, 64)), kind))


def test_a_jpeg_that_claims_to_be_huge_is_not_decoded(decoder: str) -> None:
    crop = RandomResizedCrop(8)
    for read in (images.header, images.decode, lambda data: crop(data, np.random.default_rng(0))):
        # Where Pillow opens it first, in its own words.
        with pytest.raises(DecodeError, match=r"65500 x 65500 pixels; expected|4290250000 pixels"):
            read(jpeg_claiming(65500, 65500))
    with pytest.raises(DecodeError, match=r"9000 x 9000 pixels in a file of \d+ bytes"):
        images.decode(jpeg_claiming(9000, 9000))


def test_scans_of_a_jpeg_are_counted(decoder: str) -> None:
    with pytest.raises(DecodeError, match="a JPEG of more than 100 scans"):
        images.decode(scans(4000))
    assert images.decode(scans(0)).shape == (64, 64, 3)
    # The marker's bytes in what a phone appends, a film of its own, are no scans.
    assert images.decode(scans(0) + b"\xff\xda\0\0" * 500).shape == (64, 64, 3)


def test_many_scans_of_many_pixels_are_fewer() -> None:
    decoders.check_scans(scans(20), 64 * 64)
    with pytest.raises(DecodeError, match="more than 20 scans"):
        decoders.check_scans(scans(20), 100_000_000)


BOMBS = """
import io, resource
from PIL import Image
from jresnet.data import images

def bomb(kind, mode="L", side=11000, **options):
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, kind, **options)
    print(buffer.getvalue().hex())

for name in KINDS: bomb(*name[:2], **name[2])
"""
MEASURE = """
import sys, resource
from jresnet.data import images
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for line in sys.stdin:
    for read in (images.header, images.decode):
        try:
            print(read(bytes.fromhex(line.strip())))
        except images.DecodeError as error:
            print(f"refused: {error}")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
KINDS = [
    ("PNG", "L", {}),
    ("PNG", "1", {}),
    ("GIF", "P", {}),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "L", {"compression": "tiff_adobe_deflate"}),
]


def python(program: str, text: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        input=text, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_bombs_are_refused_in_little_memory() -> None:
    files = python(BOMBS.replace("KINDS", repr(KINDS)))
    *lines, megabytes = python(MEASURE, files).splitlines()
    assert len(lines) == 2 * len(KINDS)
    for line in lines:
        assert line.startswith("refused: 11000 x 11000 pixels in a file of"), line
    assert int(megabytes) < 100


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    ("kind", "head", "times", "megabytes"),
    [(b"zTXt", b"k\0\0", 200, 1), (b"iTXt", b"k\0\1\0\0\0", 200, 1), (b"iCCP", b"k\0\0", 1, 256)],
)
def test_text_and_profiles_that_unpack_to_much(
    kind: bytes, head: bytes, times: int, megabytes: int
) -> None:
    data = encode(photograph(4, 4))
    packer = zlib.compressobj(9)
    text = b"".join([packer.compress(bytes(1 << 20)) for _ in range(megabytes)] + [packer.flush()])
    bomb = data[:33] + chunk(kind, head + text) * times + data[33:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DecodeError, match="MAX_TEXT"):
        images.decode(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kB


class Stub:
    """An image that fails in a way of its own."""

    def __init__(self, error: Exception):
        self.error = error

    def __call__(self, *args: object, **named: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("x"), RuntimeError("a\nb"), TypeError(), struct.error("x"), MemoryError(), KeyError(3),
        AttributeError("x"), OverflowError("x"), RecursionError("x"), ZeroDivisionError(), AssertionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    ],
)  # fmt: skip
def test_whatever_a_decoder_raises_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders.Image, "open", Stub(error))
    for read in (images.header, images.decode):
        with pytest.raises(DecodeError) as caught:
            read(encode(photograph(4, 4)))
        assert str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_message_of_a_decoder_shows_no_escape_sequences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoders.Image, "open", Stub(ValueError("\x1b[31mred" + "x" * 999)))
    with pytest.raises(DecodeError) as caught:
        images.decode(encode(photograph(4, 4)))
    assert str(caught.value).startswith(r"\x1b[31mred")
    assert len(str(caught.value)) <= 200


def test_an_interrupt_is_no_broken_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders.Image, "open", Stub(KeyboardInterrupt()))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        images.decode(encode(photograph(4, 4)))


def exif(number: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = number
    return block.tobytes()


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_upright(kind: str, number: int, decoder: str) -> None:
    picture = Image.fromarray(photograph(24, 40))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(picture, kind, exif=exif(number), **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert (expected.shape[0] > expected.shape[1]) == (number >= 5)
    np.testing.assert_array_equal(images.decode(data), expected)
    assert images.header(data) == expected.shape
    assert images.decode(data, channels=1).shape == (*expected.shape[:2], 1)


def test_a_crop_of_a_turned_jpeg_is_that_of_the_upright_one(decoder: str) -> None:
    picture = Image.fromarray(photograph(400, 600, period=300))
    turned = saved(picture, "JPEG", exif=exif(6), quality=95)
    upright = saved(picture.transpose(Image.Transpose.ROTATE_270), "JPEG", quality=95)
    for transform in (RandomResizedCrop(24), ResizeCenterCrop(40, 32)):
        one, other = (transform(data, np.random.default_rng(3)) for data in (turned, upright))
        assert np.abs(one.astype(int) - other).max() <= 12


@pytest.mark.parametrize("number", [0, 9, 65535])
def test_no_such_orientation_is_none(number: int) -> None:
    data = saved(Image.fromarray(photograph(12, 20)), "JPEG", exif=exif(number))
    assert images.decode(data).shape == images.header(data) == (12, 20, 3)


def test_a_damaged_exif_block_is_none_and_silent(
    capfd: pytest.CaptureFixture[str], decoder: str
) -> None:
    whole = saved(Image.fromarray(photograph(12, 20)), "JPEG", exif=exif(6))
    start = whole.index(b"Exif\0\0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for place in range(start - 2, start + 40):
            data = bytearray(whole)
            data[place] ^= 0xFF
            try:
                assert images.decode(bytes(data)).shape[-1] == 3
            except DecodeError:
                continue
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 60_000)])
def test_a_strip_takes_little_memory(shape: tuple[int, int]) -> None:
    strip = photograph(*shape)
    crops = [ResizeCenterCrop(256, 224), RandomScaleCrop(224, (256, 480)), RandomResizedCrop(224)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for crop in crops:
        for image in (strip, encode(strip)):
            assert crop(image, np.random.default_rng(0)).shape == (224, 224, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kB


@pytest.mark.parametrize("shape", [(40, 900), (700, 30)])
def test_the_crop_alone_is_that_of_the_whole(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = photograph(*shape)
    whole = ResizeCenterCrop(64, 48)(strip)
    monkeypatch.setattr(images, "_WHOLE", 0)
    cropped = ResizeCenterCrop(64, 48)(strip)
    assert np.abs(cropped.astype(int) - whole).max() <= 1
