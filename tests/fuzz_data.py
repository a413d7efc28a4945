"""Mutated pictures, zips, tars, indices and arrays: what is not read must be one line, soon and in bounded memory.

    python -m tests.fuzz_data --seconds 300
    python -m tests.fuzz_data --pictures FOLDER --count 1000

The first runs cases until the time is over and prints counts, the slowest cases and the largest memory; it
exits with 1 for any exception that is no DecodeError or UsageError, a case of more than 20 seconds, or a
process that dies. The second writes mutated pictures, to see what a command says of a folder of them.
"""

import argparse
import collections
import logging
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from jresnet.commands.predict_flags import read_labels
from jresnet.data import images
from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.decoders import DecodeError
from jresnet.data.fit import Fit
from jresnet.data.sources.resolve import info, open_split
from jresnet.errors import UsageError
from jresnet.text import shown
from tests.fuzz_files import Seeds, mutated, pictures, seeds

SECONDS = 20  # a case may take
MEMORY = 6 << 30  # address space of a process
CHUNK = 500  # cases a process


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
