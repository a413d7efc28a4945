"""Mutated pictures, zips, tars, indices and arrays: what is not read must be one line, soon and in bounded memory.

    python -m tests.fuzz_data --seconds 300
    python -m tests.fuzz_data --pictures FOLDER --count 1000

The first runs cases until the time is over and prints counts, the slowest cases and the largest memory; it
exits with 1 for any exception that is no DecodeError or UsageError, a case of more than 20 seconds, or a
process that dies. The second writes mutated pictures, to see what a command says of a folder of them.
"""

import argparse
import collections
import io
import logging
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jresnet.commands.predict import read_labels
from jresnet.data import images
from jresnet.data.decoders import DecodeError
from jresnet.data.fit import Fit
from jresnet.data.imagenet import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.source import info, open_split
from jresnet.errors import UsageError
from jresnet.text import shown

SECONDS = 20  # a case may take
MEMORY = 6 << 30  # address space of a process
CHUNK = 500  # cases a process


# ---- what is mutated -----------------------------------------------------------------------------


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


# ---- what is done with it ------------------------------------------------------------------------


def read_picture(data: bytes, name: str, folder: Path) -> None:
    crop = RandomResizedCrop(16), ResizeCenterCrop(24, 16), Fit((16, 16, 3))
    held = images.simplejpeg
    for decoder in (held, None):
        images.simplejpeg = decoder
        try:
            height, width, _ = images.header(data)
            assert images.decode(data).shape == (height, width, 3), "another size than the header's"
            for one in crop:
                assert one(data, np.random.default_rng(0)).shape == (16, 16, 3)
        except DecodeError as error:
            check_line(error)
        finally:
            images.simplejpeg = held


def check_line(error: Exception) -> None:
    assert shown(error) == str(error), f"not one line: {error}"


def read_set(root: Path) -> None:
    """All that a training would read."""
    info(str(root))
    for split in ("train", "test"):
        source = open_split(str(root), split)
        for index in range(len(source)):
            assert shown(source.describe(index)) == source.describe(index)
            try:
                assert source[index]["label"] >= 0
            except UsageError as error:
                check_line(error)


def read_zip(data: bytes, name: str, folder: Path) -> None:
    (folder / "train.zip").write_bytes(data)
    (folder / "test.zip").write_bytes(data)
    read_set(folder)


def read_tar(data: bytes, name: str, folder: Path) -> None:
    (folder / "train-0.tar").write_bytes(data)
    (folder / "val-0.tar").write_bytes(data)
    read_set(folder)


def read_npz(data: bytes, name: str, folder: Path) -> None:
    (folder / "set.npz").write_bytes(data)
    read_set(folder / "set.npz")


def read_index(data: bytes, name: str, folder: Path) -> None:
    """The tar is whole, and the index that was made of it is damaged."""
    rng = np.random.default_rng(len(data))
    (folder / "train-0.tar").write_bytes(data)
    (folder / "val-0.tar").write_bytes(data)
    read_set(folder)
    index = folder / "train.index.npz"
    index.write_bytes(mutated(index.read_bytes(), rng))
    read_set(folder)


def read_text(data: bytes, name: str, folder: Path) -> None:
    (folder / "labels.txt").write_bytes(data)
    read_labels(folder / "labels.txt", 2)


READERS: dict[str, Callable[[bytes, str, Path], None]] = {
    "picture": read_picture, "zip": read_zip, "tar": read_tar, "npz": read_npz, "index": read_index, "labels": read_text,
}  # fmt: skip


def case(number: int, seed: int, kinds: Seeds) -> tuple[str, str, bytes]:
    """(kind, name, bytes) of a case: a function of its number and the seed."""
    rng = np.random.default_rng((seed, number))
    kind = "picture" if number % 3 else list(kinds)[number // 3 % len(kinds)]
    name = list(kinds[kind])[rng.integers(len(kinds[kind]))]
    whole = kinds[kind][name]
    if kind == "index":
        return kind, name, whole + bytes(512 * number)
    return kind, name, mutated(whole, rng)


def run(numbers: range, seed: int) -> Iterator[tuple[int, str, str, float, str | None]]:
    """Number, kind, name, seconds and (None or a traceback) of cases, in this process."""
    kinds = seeds()
    with tempfile.TemporaryDirectory(prefix="fuzz-data-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in numbers:
            kind, name, data = case(number, seed, kinds)
            folder = Path(scratch) / "case"
            folder.mkdir()
            begun, failure = time.perf_counter(), None
            try:
                READERS[kind](data, name, folder)
            except UsageError as error:
                failure = None if shown(error) == str(error) else f"not one line: {error}"
            except Exception:
                failure = traceback.format_exc()
            yield number, kind, name, time.perf_counter() - begun, failure
            shutil.rmtree(folder)


# ---- the command ---------------------------------------------------------------------------------


def child(start: int, seed: int) -> None:
    """One chunk of cases; prints a line for each. A case that takes too long ends the process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.getLogger("jresnet").setLevel(logging.ERROR)  # indices that are made anew
    signal.alarm(SECONDS)
    for number, kind, name, seconds, failure in run(range(start, start + CHUNK), seed):
        signal.alarm(SECONDS)
        print(f"{number}\t{kind}\t{name}\t{seconds:.3f}\t{'ok' if failure is None else 'FAIL'}", flush=True)  # fmt: skip
        if failure is not None:
            print(f"case {number}, {kind} {name}: {failure}", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak\t{peak // 1024}")


def command(seconds: float, seed: int) -> int:
    """Chunks in processes of their own until the time is over."""
    counts: collections.Counter[str] = collections.Counter()
    failed, peak, slowest = 0, 0, []
    begun, start = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz_data", "--child", str(start), "--seed", str(seed)],
            stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        last = start - 1
        for line in done.stdout.splitlines():
            fields = line.split("\t")
            if fields[0] == "peak":
                peak = max(peak, int(fields[1]))
                continue
            counts[fields[1]] += 1
            failed += fields[4] == "FAIL"
            last = int(fields[0])
            slowest.append((float(fields[3]), *fields[:3]))
        slowest = sorted(slowest, reverse=True)[:5]
        if done.returncode:
            failed += 1
            print(f"the process ended with {done.returncode} at case {last + 1}", file=sys.stderr)
        start = last + 2 if done.returncode else start + CHUNK
    print(
        f"{sum(counts.values())} cases: " + ", ".join(f"{n} {kind}" for kind, n in counts.items())
    )
    print("slowest: " + ", ".join(f"{s:.2f} s ({n} {kind} {name})" for s, n, kind, name in slowest))
    print(f"memory: at most {peak} MB; {failed} failed")
    return int(failed > 0)


def write_pictures(folder: Path, count: int, seed: int) -> None:
    """Mutated pictures in two folders below `folder`."""
    kinds = {"picture": pictures()}
    for number in range(count):
        _, name, data = case(3 * number + 1, seed, kinds)
        path = folder / "ab"[number % 2] / f"{number:05d}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--child", type=int)
    flags = parser.parse_args()
    if flags.pictures is not None:
        write_pictures(flags.pictures, flags.count, flags.seed)
    elif flags.child is not None:
        child(flags.child, flags.seed)
    else:
        sys.exit(command(flags.seconds, flags.seed))
