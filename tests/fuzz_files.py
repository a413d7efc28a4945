"""The files that `fuzz_data` mutates, pictures, zips, tars and arrays, and the mutations."""

import io
import tarfile
import zipfile
from typing import Any

import numpy as np
from PIL import Image


def save(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.copy().save(buffer, kind, **options)  # saving leaves settings in a picture
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    """Whole image files by a name that ends as such files do."""
    y, x = np.mgrid[:40, :56] / 9
    waves = np.stack([128 + 99 * np.sin(x + c) * np.cos(y - c) for c in range(3)], -1)
    rgb = Image.fromarray(waves.astype(np.uint8))
    grey, palette, exif = rgb.convert("L"), rgb.convert("P"), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"

    def frames() -> dict[str, Any]:
        return {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}

    files = {
        "plain.jpg": save(rgb, "JPEG"),
        "progressive.jpg": save(rgb, "JPEG", progressive=True, exif=exif),
        "restarts.jpg": save(rgb, "JPEG", restart_marker_blocks=2, subsampling=0),
        "grey.jpg": save(grey, "JPEG", optimize=True),
        "cmyk.jpg": save(rgb.convert("CMYK"), "JPEG"),
        "frames.jpg": save(rgb, "MPO", **frames()),
        "rgb.png": save(rgb, "PNG", exif=exif),
        "rgba.png": save(rgb.convert("RGBA"), "PNG", icc_profile=b"x" * 200),
        "palette.png": save(palette, "PNG", transparency=3),
        "one.png": save(rgb.convert("1"), "PNG"),
        "deep.png": save(Image.fromarray(waves[..., 0].astype(np.uint16)), "PNG"),
        "frames.png": save(rgb, "PNG", **frames()),
        "frames.gif": save(palette, "GIF", **frames()),
        "plain.gif": save(palette, "GIF", transparency=1),
        "lossy.webp": save(rgb, "WEBP", exif=exif),
        "lossless.webp": save(rgb.convert("RGBA"), "WEBP", lossless=True),
        "frames.webp": save(rgb, "WEBP", **frames()),
        "rgb.bmp": save(rgb, "BMP"),
        "palette.bmp": save(palette, "BMP"),
        "rgb.ppm": save(rgb, "PPM"),
        "grey.pgm": save(grey, "PPM"),
        "plain.ppm": b"P3\n# x\n4 2\n255\n" + b"1 2 3 " * 8,
        "bits.pgm": b"P1\n4 2\n0 1 0 1 1 0 1 0\n",
        "float.ppm": b"Pf\n2 2\n-1.0\n" + bytes(16),
        "pam.ppm": b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(12),
        "frames.tif": save(rgb, "TIFF", **frames()),
    }  # fmt: skip
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd", "lzma"):  # fmt: skip
        files[f"{compression}.tif"] = save(rgb, "TIFF", compression=compression, exif=exif)
    for compression in ("group3", "group4", "tiff_ccitt"):
        files[f"{compression}.tif"] = save(rgb.convert("1"), "TIFF", compression=compression)
    return files


def zipped(files: dict[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def arrays(**options: Any) -> bytes:
    buffer = io.BytesIO()
    stored = {f"{s}_{k}": v for s in ("train", "test") for k, v in (("images", np.zeros((4, 5, 6, 3), np.uint8)), ("labels", np.arange(4)))}  # fmt: skip
    options.get("save", np.savez)(buffer, class_names=np.array(list("abcd")), **stored)
    return buffer.getvalue()


Seeds = dict[str, dict[str, bytes]]


def seeds() -> Seeds:
    """Whole files by kind and name."""
    files = pictures()
    named = {f"{'ab'[i % 2]}/{i}-{name}": data for i, (name, data) in enumerate(files.items())}
    small = dict(list(named.items())[:4])
    numbered = {"1.jpg": files["plain.jpg"], "1.cls": b"1", "2.jpg": files["grey.jpg"], "2.cls": b"0"}  # fmt: skip
    long = {f"{'a' * 120}/{name}": data for name, data in small.items()}
    return {
        "picture": files,
        "zip": {
            f"{n}.zip": zipped(small, n) for n in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
        },
        "tar": {
            f"{n}-{form}.tar": tarred(content, form)
            for n, content in enumerate((small, numbered, long))
            for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
        },
        "npz": {"stored.npz": arrays(), "deflated.npz": arrays(save=np.savez_compressed)},
        "index": {"any.tar": tarred(small, tarfile.PAX_FORMAT)},
        "labels": {
            "utf8.txt": b"\xef\xbb\xbfone\r\ntwo\r\n", "utf16.txt": "one\ntwo\n".encode("utf-16"), "plain.txt": b"one\ntwo",
        },
    }  # fmt: skip


EXTREMES = [b"\0", b"\xff", b"\x7f\xff", b"\xff\xff", b"\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x80\0\0\0", b"\xff" * 8, b"9" * 12, b"-1"]  # fmt: skip


def mutated(whole: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to five damages: cut, bits flipped, bytes set, repeated, moved or put in."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 6)):
        size = max(1, len(data))
        # Headers lie at the beginning, and often at the end.
        near = int(min(size - 1, rng.exponential(60)))
        place = int(rng.choice([near, size - 1 - near, int(rng.integers(size))]))
        other, length = int(rng.integers(size)), int(rng.exponential(30)) + 1
        kind = rng.integers(7)
        if kind == 0:
            data = data[:place] if rng.random() < 0.3 else data
        elif kind == 1 and data:
            data[place] ^= 1 << int(rng.integers(8))
        elif kind == 2 and data:
            data[place] = int(rng.integers(256))
        elif kind == 3:
            value = EXTREMES[rng.integers(len(EXTREMES))]
            data[place : place + len(value)] = value
        elif kind == 4:
            data[place:place] = data[other : other + length] * int(rng.integers(1, 50))
        elif kind == 5:
            data[place : place + length] = data[other : other + length]
        else:
            del data[place : place + length]
    return bytes(data)
