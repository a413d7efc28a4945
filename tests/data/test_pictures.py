"""Pictures without labels: layouts of folders, patches, whole pictures, and files kept as they are."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jresnet.data import images, png16
from jresnet.data.broken import BrokenExampleError, ExampleError
from jresnet.data.buckets import measured
from jresnet.data.decoders import DecodeError
from jresnet.data.deep_pictures import DeepPicture, read_picture
from jresnet.data.info import Info
from jresnet.data.patches import SIDES, MiddlePatch, RandomPatch, WholePicture, WholePictures
from jresnet.data.sources.pictures import Pictures, Unsplit, chosen_pictures, enough
from jresnet.data.sources.sample_pictures import SamplePictures
from jresnet.errors import UsageError
from jresnet.padding import full_batches
from tests.data.conftest import encode, photograph

ANY = Info("pictures", class_of=None)
RNG = np.random.default_rng(0)


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def write(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(photograph(20, 24) if pixels is None else pixels))


LAYOUTS = {
    "plain": (("train/a.png", "train/b.png"), ("test/c.png",)),
    "named": (("train_t91/a.png", "train_t91/x/b.png"), ("test_set5/c.png",)),
    "DIV2K": (("DIV2K_train_HR/0001.png",), ("DIV2K_valid_HR/0801.png",)),
    "benchmarks": (("T91/a.png",), ("Set5/HR/a.png", "Set5/HR/b.png")),
    "self-ex": (("T91/a.png",), ("Urban100/image_SRF_2/img_001_SRF_2_HR.png",)),
}
LOW = {
    "benchmarks": ("Set5/LR_bicubic/X2/ax2.png",),
    "self-ex": tuple(
        f"Urban100/image_SRF_{n}/img_001_SRF_{n}_{kind}.png"
        for n in (2, 3, 4)
        for kind in ("LR", "HR", "bicubic")
        if (n, kind) != (2, "HR")
    ),
    "DIV2K": ("DIV2K_train_LR_bicubic/X2/0001x2.png",),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_as_people_have_them(tmp_path, layout):
    train, test = LAYOUTS[layout]
    for name in (*train, *test, *LOW.get(layout, ())):
        write(tmp_path / name)
    pictures = Pictures(tmp_path)
    assert pictures.info().sizes == {"train": len(train), "test": len(test)}
    for split, names in (("train", train), ("test", test)):
        source = pictures.open(split, encoded=True)
        assert [source.describe(i) for i in range(len(source))] == [
            str(tmp_path / n) for n in names
        ]
        np.testing.assert_array_equal(source[0]["image"], photograph(20, 24))


def test_other_pictures_to_test_on_and_folders_without_any(tmp_path):
    write(tmp_path / "set" / "train" / "a.png")
    with pytest.raises(UsageError, match="no pictures to test on; expected some in a folder test"):
        Pictures(tmp_path / "set").info()
    write(tmp_path / "Set14" / "b.png")
    pictures = Pictures(tmp_path / "set", tmp_path / "Set14")
    assert pictures.open("test").describe(0).endswith("Set14/b.png")
    assert pictures.tested == "Set14"
    write(tmp_path / "set" / "test" / "c.png")
    assert Pictures(tmp_path / "set").tested == "set/test"
    with pytest.raises(UsageError, match=r"test_pictures='.*none'.*no such folder"):
        Pictures(tmp_path / "set", tmp_path / "none").info()
    with pytest.raises(UsageError, match=r"dataset='.*none'.*no such folder"):
        Pictures(tmp_path / "none").info()


def test_folders_that_are_left_out_are_named_once(tmp_path, caplog):
    for name in ("T91/a.png", "BSD200/b.png", "Set5/c.png", "Set14/d.png", "Urban100/e.png"):
        write(tmp_path / name)
    for _ in range(2):
        assert Pictures(tmp_path).info().sizes == {"train": 1, "test": 1}
    assert caplog.messages == [
        f"dataset={str(tmp_path)!r}: trained on is T91 alone; BSD200 left out",
        f"dataset={str(tmp_path)!r}: tested on is Set5 alone; Set14, Urban100 left out; "
        "--test-pictures FOLDER tests on another",
    ]


def test_a_folder_of_pictures_alone_is_split_or_tested_on_others(tmp_path):
    for number in range(20):
        write(tmp_path / "photos" / f"{number:02}.png")
    pictures = chosen_pictures(tmp_path / "photos", None)
    assert isinstance(pictures, Unsplit)
    assert (pictures.info().sizes, pictures.tested) == ({"train": 18, "test": 2}, "photos")
    write(tmp_path / "Set5" / "a.png")
    pictures = chosen_pictures(tmp_path / "photos", tmp_path / "Set5")
    assert (pictures.info().sizes, pictures.tested) == ({"train": 20, "test": 1}, "Set5")
    with pytest.raises(UsageError, match=r"test_pictures=.*: expected dataset too"):
        chosen_pictures(None, tmp_path)


def test_few_pictures_fill_a_batch_and_broken_ones_are_named(tmp_path):
    for name in "abc":
        write(tmp_path / "train" / f"{name}.png")
    write(tmp_path / "test" / "d.png")
    pictures = enough(Pictures(tmp_path), 8)
    assert pictures.info().sizes == {"train": 9, "test": 1}
    assert pictures.open("train").describe(4).endswith("b.png")
    assert enough(Pictures(tmp_path), 2) == Pictures(tmp_path)
    whole = (tmp_path / "train" / "b.png").read_bytes()
    (tmp_path / "train" / "b.png").write_bytes(whole[:100])
    with pytest.raises(BrokenExampleError, match=r"b\.png: not a readable image"):
        pictures.open("train")[1]


def test_sizes_come_from_headers_and_nothing_is_decoded(tmp_path, monkeypatch):
    tags = Image.Exif()
    tags[0x0112] = 6
    place = tmp_path / "train"
    for name, size in (("a.png", (20, 30)), ("c.png", (11, 12))):
        write(place / name, photograph(*size))
    Image.fromarray(photograph(10, 40)).save(place / "b.jpg", exif=tags)
    Image.fromarray(noise(700, 800, 3)).save(place / "d.tif")  # above 1 MiB, its header at the end
    (place / "e.png").write_bytes(b"damaged")
    write(tmp_path / "test" / "f.png")
    monkeypatch.setattr(images, "decode", None)
    source = Pictures(tmp_path, times=2).open("train")
    assert measured(source, "image").tolist() == 2 * [[20, 30], [40, 10], [11, 12], [700, 800], [0, 0]]  # fmt: skip
    assert not source.examples


def test_a_film_to_train_on_is_named_once(tmp_path, caplog):
    frames = [Image.fromarray(noise(8, 8, seed=n)) for n in range(3)]
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "a.gif"
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "train" / "b.gif", "GIF")
    write(tmp_path / "test" / "d.png")
    source = Pictures(tmp_path, times=2).open("train").source
    for index in range(4):
        np.testing.assert_array_equal(source[index]["image"][..., 0], np.asarray(frames[0]))
    assert caplog.messages == [f"{path}: a film of 3 pictures; the first one is taken"]


def test_what_is_kept_is_bounded_and_said(tmp_path, caplog):
    for name in "abc":
        write(tmp_path / "train" / f"{name}.png")
    write(tmp_path / "test" / "d.png")
    source = Pictures(tmp_path).open("train")
    assert 0 < source.limit <= 4 << 30
    source.limit = 2 * 20 * 24 * 3
    for index in (0, 1, 2, 0):
        np.testing.assert_array_equal(source[index]["image"], photograph(20, 24))
    assert source.bytes == source.limit
    assert caplog.text.count("are kept in memory: the others of 3 are decoded each time") == 1


def test_the_built_in_pictures_are_tested_on_what_is_not_trained_on():
    pictures = SamplePictures()
    train, test = pictures.open("train"), pictures.open("test")
    assert len(train) == 64
    shapes = [test[i]["image"].shape for i in range(len(test))]
    assert shapes == [(213, 240, 3), (213, 240, 3), (214, 240, 3), (214, 240, 3)]
    whole = np.concatenate([test[0]["image"], test[2]["image"]])
    assert train[0]["image"].shape == (427, 400, 3)
    assert train[0]["image"].shape[1] + whole.shape[1] == 640
    assert not (train[0]["image"] == train[1]["image"]).all()


def test_a_patch_is_a_part_of_its_picture():
    image = np.arange(12 * 9, dtype=np.uint8).reshape(12, 9, 1).repeat(3, -1)
    seen = set()
    rng = np.random.default_rng(1)
    for _ in range(200):
        patch = RandomPatch(8)({"image": image}, rng)["image"]
        top, left = divmod(int(patch[0, 0, 0]), 9)
        np.testing.assert_array_equal(patch, image[top : top + 8, left : left + 8])
        seen.add((top, left))
    assert len(seen) == 5 * 2  # every place
    file = RandomPatch(8)({"image": encode(image)}, np.random.default_rng(2))["image"]
    np.testing.assert_array_equal(file, RandomPatch(8)({"image": image}, np.random.default_rng(2))["image"])  # fmt: skip


def test_a_picture_smaller_than_a_patch_is_continued_by_its_mirror_image():
    image = noise(3, 5, 3)
    patch = RandomPatch(5)({"image": image}, RNG)["image"]
    np.testing.assert_array_equal(patch, np.concatenate([image, image[::-1][:2]]))
    assert RandomPatch(40)({"image": image}, RNG)["image"].shape == (40, 40, 3)
    with pytest.raises(UsageError, match="size=0: expected at least 1"):
        RandomPatch(0)


def test_the_middle_of_a_picture_and_all_of_one_that_is_to_be_made_anew():
    image = noise(20, 31, 3)
    patch = MiddlePatch(8)({"image": image}, RNG)["image"]
    np.testing.assert_array_equal(patch, image[6:14, 11:19])
    assert MiddlePatch(8).spec(ANY)["image"].shape == patch.shape
    small = MiddlePatch(24)({"image": image}, RNG)["image"]
    np.testing.assert_array_equal(small, np.concatenate([image, image[::-1][:4]])[:, 3:27])
    whole = MiddlePatch(8)({"image": encode(image), "low": True}, RNG)
    assert whole["padding"].tolist() == [12, 1]
    np.testing.assert_array_equal(whole["image"][:20, :31], image)
    deep = noise(5, 40, 3, dtype=np.uint16)
    whole = MiddlePatch(8)({"image": png16.encode(deep), "low": True}, RNG)["image"]
    assert (whole.shape, whole.dtype) == ((32, 48, 3), np.uint16)
    np.testing.assert_array_equal(MiddlePatch(8).place(20, 31), np.eye(2, 3))
    with pytest.raises(UsageError, match="shorter=0: expected at least 1"):
        MiddlePatch(8, shorter=0)


def test_the_shorter_side_is_resized_before_a_patch_is_cut():
    image = np.full((40, 90, 3), 7, np.uint8)
    image[:, 45:] = 200
    for kind in (RandomPatch, MiddlePatch):
        patch = kind(20, shorter=20)({"image": image}, RNG)["image"]
        assert patch.shape == (20, 20, 3)
    middle = MiddlePatch(20, shorter=20)({"image": image}, RNG)["image"]
    assert (middle[:, :9] == 7).all()
    assert (middle[:, 11:] == 200).all()
    assert MiddlePatch(20, shorter=30)({"image": image}, RNG)["image"].shape == (20, 20, 3)


def test_whole_pictures_are_cut_to_a_multiple_and_padded():
    image = noise(23, 31, 3)
    arrays = WholePicture((32, 48), 4)({"image": image}, RNG)
    assert arrays["padding"].tolist() == [12, 20]
    np.testing.assert_array_equal(arrays["image"][:20, :28], image[:20, :28])
    assert not arrays["image"][20:].any()
    assert not arrays["image"][:, 28:].any()
    spec = WholePicture((32, 48), 4).spec(ANY)
    assert {n: (x.shape, x.dtype) for n, x in arrays.items()} == {n: (x.shape, x.dtype) for n, x in spec.items()}  # fmt: skip
    with pytest.raises(ExampleError, match="31 x 3 pixels: expected at least 4 x 4"):
        WholePicture((32, 48), 4)({"image": image[:3]}, RNG)
    with pytest.raises(ExampleError, match="28 x 20 pixels: expected at most 16 x 32"):
        WholePicture((32, 16), 4)({"image": image}, RNG)


def test_every_picture_has_the_smallest_bucket_that_holds_it(tmp_path):
    sizes = [(64, 64), (65, 64), (90, 200)]
    for number, size in enumerate(sizes):
        write(tmp_path / "test" / f"{number}.png", noise(*size, 3))
    write(tmp_path / "train" / "a.png")
    bucketed = WholePictures(scale=2)
    assert len(bucketed.transforms) == len(SIDES) ** 2
    buckets = bucketed.buckets(Pictures(tmp_path).open("test"), ANY)
    chosen = [bucketed.transforms[buckets.bucket(i)].size for i in range(3)]
    assert chosen == [(64, 64), (96, 64), (96, 256)]
    assert full_batches(3, 1)[1].all()


# Files with more in them than nets are trained on ------------------------------------------------


def png(pixels, filters):
    """A PNG of uint16 pixels whose rows have these filters, by the specification."""
    height, width, channels = pixels.shape
    step = 2 * channels
    rows = np.ascontiguousarray(pixels.astype(">u2")).view(np.uint8).reshape(height, -1).astype(int)
    lines, above = b"", np.zeros(rows.shape[1], int)
    for row, kind in zip(rows, filters, strict=True):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        guess = left + above - corner
        away = np.stack([abs(guess - left), abs(guess - above), abs(guess - corner)])
        paeth = np.choose(away.argmin(0), [left, above, corner])
        predicted = [0 * row, left, above, (left + above) // 2, paeth][kind]
        lines += bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        above = row
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(x)) + n + x + struct.pack(">I", zlib.crc32(n + x)) for n, x in chunks
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_by_all_filters(channels):
    pixels = noise(10, 7, channels, dtype=np.uint16)
    np.testing.assert_array_equal(png16.decode(png(pixels, [0, 1, 2, 3, 4] * 2)), pixels)
    again = png16.encode(pixels)
    np.testing.assert_array_equal(png16.decode(again), pixels)
    with Image.open(io.BytesIO(again)) as image:  # others can read it too
        image.load()
        assert image.size == (7, 10)
        if channels == 1:
            np.testing.assert_array_equal(np.asarray(image), pixels[..., 0])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib", "predictor": True}, {"planarconfig": "separate"}])  # fmt: skip
def test_tiff_of_16_bits_keeps_them(channels, options):
    tifffile = pytest.importorskip("tifffile")
    pixels, buffer = noise(12, 9, channels, dtype=np.uint16), io.BytesIO()
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    on_its_side = [(274, 3, 1, 6, True)]
    tifffile.imwrite(buffer, stored, photometric="rgb", extratags=on_its_side, **options, **extra)
    picture = read_picture(buffer.getvalue())
    upright = np.rot90(pixels, -1)
    np.testing.assert_array_equal(picture.pixels, upright[..., :3])
    assert picture.pixels.dtype == np.uint16
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, upright[..., 3])
    with Image.open(io.BytesIO(picture.png())) as image:
        assert image.getexif().get(0x0112, 1) == 1
    with pytest.raises(DecodeError):
        read_picture(buffer.getvalue()[:150])


def test_alpha_that_colours_of_a_tiff_are_multiplied_with_is_divided_out():
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    stored = np.full((2, 2, 4), 10000, np.uint16)
    stored[..., 3] = 20000
    tifffile.imwrite(buffer, stored, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(buffer.getvalue())
    assert (picture.pixels == round(10000 * 65535 / 20000)).all()
    assert (picture.alpha == 20000).all()


def test_tiff_of_16_bits_without_its_library_is_refused_in_one_line(monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, noise(4, 4, 3, dtype=np.uint16), photometric="rgb")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        DecodeError, match=r"^tifffile is not installed: pip install 'jresnet\[tiff\]'$"
    ):
        read_picture(buffer.getvalue())


def test_damaged_png_of_16_bits():
    data = png16.encode(noise(9, 9, 3, dtype=np.uint16))
    for wrong in (data[:60], data[:28] + b"\1" + data[29:], data.replace(b"IDAT", b"JUNK")):
        with pytest.raises(DecodeError):
            read_picture(wrong)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_pictures_come_back_with_all_that_is_in_them(dtype, channels, alpha):
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    profile = b"a profile" * 20
    plane = noise(6, 8, dtype=dtype, seed=1) if alpha else None
    picture = DeepPicture(noise(6, 8, channels, dtype=dtype), plane, tags.tobytes(), profile)
    data = picture.png()
    back = read_picture(data)
    assert back.pixels.dtype == dtype
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    assert (back.alpha is None) != alpha
    if alpha:
        np.testing.assert_array_equal(back.alpha, plane)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x010F] == "a camera"
        assert image.info["icc_profile"] == profile
    assert back.colours().shape == (6, 8, 3)
    assert back.profile == profile


@pytest.mark.parametrize(("bits", "channels"), [(2, 1), (4, 1), (8, 1), (8, 3), (16, 1), (16, 3)])
def test_one_colour_that_is_transparent_becomes_alpha(bits, channels):
    """tRNS of the PNG specification, section 11.3.2.1."""
    pixels = noise(4, 8, channels, seed=3).astype(np.uint16) * 257 >> (16 - bits)
    pixels[1, 2:4] = key = pixels[3, 0].copy()
    if bits < 8:
        digits = np.unpackbits(pixels.astype(np.uint8), -1)[..., -bits:]
        rows = [np.packbits(row).tobytes() for row in digits]
    else:
        rows = [row.astype(">u2" if bits == 16 else np.uint8).tobytes() for row in pixels]
    head = struct.pack(">IIBBBBB", 8, 4, bits, 0 if channels == 1 else 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"tRNS", key.astype(">u2").tobytes())]
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts
    )
    picture = read_picture(data)
    white = 65535 if bits == 16 else 255
    expected = np.where((pixels == key).all(-1), 0, white)
    assert (expected == 0).sum() >= 3
    np.testing.assert_array_equal(picture.alpha, expected)
    assert picture.pixels.dtype == (np.uint16 if bits == 16 else np.uint8)
    np.testing.assert_array_equal(picture.pixels, pixels * (white // ((1 << bits) - 1)))
    np.testing.assert_array_equal(read_picture(picture.png()).alpha, expected)


def test_a_tiff_of_several_pages_is_named(tmp_path, caplog):
    pages, path = [Image.fromarray(noise(8, 8, 3, seed=n)) for n in range(2)], tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    picture = read_picture(path.read_bytes(), "a.tif")
    np.testing.assert_array_equal(picture.pixels, np.asarray(pages[0]))
    assert caplog.messages == ["a.tif: a TIFF of 2 pages; the first one is taken"]


def test_a_picture_that_lies_on_its_side_is_set_upright_and_says_so():
    tags, buffer = Image.Exif(), io.BytesIO()
    tags[0x0112], tags[0x010F] = 6, "a camera"
    Image.fromarray(photograph(20, 30)).save(buffer, "PNG", exif=tags)
    picture = read_picture(buffer.getvalue())
    np.testing.assert_array_equal(picture.pixels, np.rot90(photograph(20, 30), -1))
    with Image.open(io.BytesIO(picture.png())) as image:
        assert image.getexif()[0x0112] == 1
        assert image.getexif()[0x010F] == "a camera"
        assert image.size == (20, 30)


def test_films_and_deeper_pictures_are_refused_in_one_line():
    frames, buffer = [Image.fromarray(noise(8, 8, seed=n)) for n in range(3)], io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(DecodeError, match="a film of 3 pictures; expected one"):
        read_picture(buffer.getvalue())
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(buffer, "TIFF")
    with pytest.raises(DecodeError, match="pixels of 32 bits"):
        read_picture(buffer.getvalue())
    with pytest.raises(DecodeError):
        read_picture(b"no picture")


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "RGB", "L"])
def test_a_profile_that_pixels_do_not_fit_any_more_is_left_out(mode, caplog):
    buffer = io.BytesIO()
    space = {"CMYK": b"CMYK", "LAB": b"Lab ", "RGB": b"RGB ", "L": b"GRAY"}[mode]
    profile = bytes(16) + space + bytes(108)  # the colour space of ICC.1, section 7.2.6
    shape = {"CMYK": (6, 8, 4), "L": (6, 8)}.get(mode, (6, 8, 3))
    Image.frombytes(mode, (8, 6), noise(*shape).tobytes()).save(buffer, "TIFF", icc_profile=profile)
    picture = read_picture(buffer.getvalue(), "a.tif")
    changed = mode in ("CMYK", "LAB")
    assert picture.pixels.shape == (6, 8, 1 if mode == "L" else 3)
    assert picture.profile == (b"" if changed else profile)
    line = f"a.tif: {mode} became RGB: its profile is left out"
    assert caplog.messages == ([line] if changed else [])
    with Image.open(io.BytesIO(picture.png())) as image:
        assert image.info.get("icc_profile", b"") == picture.profile


def test_what_is_lost_of_pictures_to_train_on_is_counted_once_a_set(tmp_path, caplog):
    place = tmp_path / "train"
    write(place / "a.png")
    Image.fromarray(noise(8, 8, 4)).save(place / "b.png")
    Image.fromarray(noise(8, 8, 2), "LA").save(place / "c.png")
    frames = [Image.fromarray(noise(8, 8, 3, seed=n)) for n in range(2)]
    frames[0].save(place / "d.png", save_all=True, append_images=frames[1:])
    (place / "e.png").write_bytes(png16.encode(noise(8, 8, 3, dtype=np.uint16)))
    Image.fromarray(np.zeros((8, 8), np.float32)).save(place / "f.tif")
    Image.fromarray(photograph(8, 8)).save(place / "g.jpg")
    write(tmp_path / "test" / "h.png")
    for split in ("train", "train", "test"):
        sizes = measured(Pictures(tmp_path, times=2).open(split), "image")
    assert sizes.tolist() == [[20, 24]]
    parts = {
        "2 of 7 pictures have transparent parts": "b.png",
        "1 of 7 pictures have 16 bits a channel": "e.png",
        "1 of 7 pictures have 32 bits or fractions": "f.tif",
        "1 of 7 pictures have several pictures (an animated PNG)": "d.png",
    }
    for message, (words, name) in zip(caplog.messages, parts.items(), strict=True):
        assert message.startswith(f"{place}: {words}")
        assert message.endswith(f"such as {name}")


def test_grey_pictures_of_16_bits_keep_their_brightness(tmp_path):
    """Full range: 257 steps of 65536 are one of 256; not that of the file, which labelled sets have."""
    values = np.array([[1000, 2000], [30000, 40000]], np.uint16)
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.fromarray(values).save(tmp_path / split / "a.png")
        Image.fromarray(values).save(tmp_path / split / "b.tif")
    source = Pictures(tmp_path).open("train")
    for index in range(2):
        image = source[index]["image"]
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(
            image, np.array([[4, 8], [117, 156]])[..., None].repeat(3, -1)
        )
    stretched = images.decode((tmp_path / "train" / "a.png").read_bytes())
    assert (stretched.min(), stretched.max()) == (0, 255)
