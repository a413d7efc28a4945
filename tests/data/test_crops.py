import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from jresnet.data import images
from jresnet.data.crops import RandomResizedCrop, RandomScaleCrop, ResizeCenterCrop, ResizeSquare
from jresnet.errors import UsageError

from .conftest import encode, photograph


@pytest.mark.parametrize(("height", "width"), [(375, 500), (61, 40), (256, 256), (300, 257)])
def test_resize_center_crop_is_what_pillow_gives(height: int, width: int) -> None:
    pixels = photograph(height, width)
    scale = 64 / min(height, width)
    size = (64, int(64 * height / width)) if width < height else (int(64 * width / height), 64)
    assert min(size) == round(scale * min(height, width))
    left, top = round((size[0] - 48) / 2), round((size[1] - 48) / 2)
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    expected = np.asarray(resized.crop((left, top, left + 48, top + 48)))
    transform = ResizeCenterCrop(64, 48)
    np.testing.assert_array_equal(transform(encode(pixels)), expected)
    np.testing.assert_array_equal(transform(pixels), expected)
    assert expected.shape == transform.image_shape


def test_random_resized_crop_stays_in_scale_and_ratio() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([RandomResizedCrop(scale=(0.2, 0.6)).box(300, 400, rng) for _ in range(500)])
    top, left, height, width = boxes.T
    area, ratio = height * width / (300 * 400), width / height
    assert 0.19 < area.min() < 0.23 < 0.55 < area.max() < 0.61
    assert 0.74 < ratio.min() < 0.8 < 1.25 < ratio.max() < 1.35
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + height).max() <= 300
    assert (left + width).max() <= 400
    assert len(np.unique(left)) > 50
    # Uniform in the log of the ratio, so as many wide as tall ones.
    assert abs(np.mean(ratio > 1) - 0.5) < 0.1


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(10, 1000, (0, 493, 10, 13)), (900, 30, (430, 0, 40, 30)), (1, 1, (0, 0, 1, 1))],
)
def test_random_resized_crop_falls_back_to_the_centre(
    height: int, width: int, expected: tuple[int, ...]
) -> None:
    assert (
        RandomResizedCrop(scale=(1.0, 1.0)).box(height, width, np.random.default_rng(0)) == expected
    )


def test_random_resized_crop_is_a_function_of_its_rng() -> None:
    transform, data = RandomResizedCrop(32), encode(photograph(90, 120), "JPEG")
    one, same, other = (transform(data, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == transform.image_shape == (32, 32, 3)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_random_resized_crop_cuts_the_box_and_resizes_it() -> None:
    pixels, transform = photograph(90, 120), RandomResizedCrop(32)
    top, left, height, width = transform.box(90, 120, np.random.default_rng(5))
    cut = Image.fromarray(pixels).crop((left, top, left + width, top + height))
    expected = np.asarray(cut.resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(transform(encode(pixels), np.random.default_rng(5)), expected)


def test_decoding_at_a_fraction_gives_nearly_the_same_crop() -> None:
    data = encode(photograph(603, 805, period=300), "JPEG")
    transform, rng = RandomResizedCrop(24), np.random.default_rng
    for seed in range(5):
        small = transform(data, rng(seed)).astype(int)
        full = transform(images.decode(data), rng(seed)).astype(int)
        assert 0 < np.abs(small - full).max() < 12
        assert np.abs(small - full).mean() < 3


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_and_simplejpeg_agree(
    factor: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    data = encode(photograph(203, 161), "JPEG")
    fast = images.decode(data, channels, factor)
    assert fast.shape == (-(-203 // factor), -(-161 // factor), channels)
    monkeypatch.setattr(images, "simplejpeg", None)
    np.testing.assert_array_equal(images.decode(data, channels, factor), fast)


def saved(mode: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photograph(40, 50)).convert(mode).save(buffer, kind)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [
        ("L", "JPEG", 40),
        ("CMYK", "JPEG", 12),
        ("L", "PNG", 40),
        ("RGBA", "PNG", 0),
        ("P", "PNG", 60),
    ],
)
def test_every_kind_of_file_becomes_rgb(mode: str, kind: str, tolerance: int) -> None:
    pixels = images.decode(saved(mode, kind))
    assert pixels.shape == (40, 50, 3)
    grey = photograph(40, 50).mean(axis=-1)
    assert np.abs(pixels.mean(axis=-1) - grey).max() <= tolerance
    assert images.header(saved(mode, kind)) == (40, 50, 1 if mode == "L" else 3)


@pytest.mark.parametrize(
    ("kind", "dtype", "step"),
    [("PNG", np.uint16, 4000), ("TIFF", np.uint16, 16), ("PPM", np.uint16, 5), ("TIFF", np.float32, 0.1)],
)  # fmt: skip
def test_deep_grey_files_fill_the_range_of_8_bits(kind: str, dtype: type, step: float) -> None:
    """A division by 257 would leave 16 grey values of a camera of 12 bits."""
    values = (300 + np.arange(12).reshape(3, 4) * step).astype(dtype)
    data = encode(values, kind)
    assert images.header(data) == (3, 4, 1)
    expected = np.rint(np.arange(12).reshape(3, 4) * 255 / 11)
    for channels in (1, 3):
        pixels = images.decode(data, channels)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (3, 4, channels))
        assert np.abs(pixels - expected[..., None]).max() <= 1
    flat = images.decode(encode(np.full((4, 4), 700, dtype), kind), 1)
    assert not flat.any()


BROKEN: list[tuple[Callable[[], bytes], str]] = [
    (lambda: b"", "none of the formats JPEG, PNG"),
    (lambda: saved("RGB", "JPEG")[:-200], "truncated"),
    (lambda: saved("RGB", "PNG")[:200], "truncated|broken"),
    (lambda: encode(np.full((4, 4), np.nan, np.float32), "TIFF"), "values that are nan or inf"),
]


@pytest.mark.parametrize(("data", "message"), BROKEN)
def test_broken_files_are_decode_errors(data: Callable[[], bytes], message: str) -> None:
    with pytest.raises(images.DecodeError, match=message):
        images.decode(data())


def test_stray_bytes_in_a_jpeg_are_accepted() -> None:
    # ImageNet has such files. Two zero bytes before the last marker.
    data = saved("RGB", "JPEG")
    assert images.decode(data[:-2] + b"\x00\x00" + data[-2:]).shape == (40, 50, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0},
        {"scale": (0.5, 0.1)},
        {"scale": (0.5, 1.5)},
        {"ratio": (0.0, math.pi)},
    ],
)
def test_random_resized_crop_refuses(arguments: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(arguments))):
        RandomResizedCrop(**arguments)


def test_resize_center_crop_refuses_a_crop_larger_than_the_image() -> None:
    with pytest.raises(UsageError, match="crop=225: expected at most resize=224"):
        ResizeCenterCrop(224, 225)


def test_scale_crop_takes_a_square_of_an_image_of_random_shorter_side():
    pixels = photograph(60, 90)
    crop = RandomScaleCrop(24, (26, 40))
    out = [crop(pixels, np.random.default_rng(seed)) for seed in range(20)]
    assert {image.shape for image in out} == {(24, 24, 3)}
    assert len({image.tobytes() for image in out}) == 20
    # Side 24 of 24 is the middle crop's resize; the place along the width is free.
    rng = np.random.default_rng(0)
    whole = RandomScaleCrop(24, (24, 24))(pixels, rng)
    resized = images.resize(pixels, 24, 36)
    assert any(np.array_equal(whole, resized[:, left : left + 24]) for left in range(13))
    with pytest.raises(UsageError, match=r"sides=\(20, 40\): expected 24 <= low <= high"):
        RandomScaleCrop(24, (20, 40))


def test_square_resize_gives_up_proportions_and_crops_anywhere():
    pixels = photograph(60, 90)
    whole = ResizeSquare(30, 30)(pixels, np.random.default_rng(0))
    assert np.array_equal(whole, images.resize(pixels, 30, 30))
    crops = {ResizeSquare(30, 24)(pixels, np.random.default_rng(i)).tobytes() for i in range(30)}
    assert len(crops) > 15
    assert all(
        any(c == whole[y : y + 24, x : x + 24].tobytes() for y in range(7) for x in range(7))
        for c in crops
    )
    with pytest.raises(UsageError, match="crop=40: expected at most resize=30"):
        ResizeSquare(30, 40)
