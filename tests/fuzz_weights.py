"""Mutated checkpoints of every kind: each ends in arrays or in one line, in bounded memory.

    python -m tests.fuzz_weights --seconds 300 [--convert] [--seed 0] [--keep FOLDER]

Batches of files run in processes of their own, so that a crash, a hang or too much memory is seen;
the count of outcomes is printed. `--convert` sends each file through the command line as well.
"""

import argparse
import collections
import contextlib
import io
import json
import pickle
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.nets import random_variables
from tests.weights.torch_files import (
    Call,
    Global,
    pickled,
    pickled_tensors,
    tensors,
    torch_legacy,
    torch_zip,
)

BATCH = 500
MEMORY = 2**32  # address space of a batch: JAX alone takes about 2 GB
FLOOR = 2**25  # what a small file may take: an npz may grow to 16 MB
MULTIPLE = 100  # of Python's objects a byte of a pickle may make
OPCODES = b"(.0124FGIJKLMNPQRSTUVXabcdeghijloprqstu})]\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97"
NUMBERS = (0, 1, 2, 3, 4, 127, 128, 255, 2**15, 2**16 - 1, 2**27, 2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)  # fmt: skip


def sources(folder: Path) -> dict[str, bytes]:
    """Whole files of every kind, of a net that `convert` knows; hostile names among them."""
    net = zoo.cifar_resnet(8, 3)
    state = to_torch(random_variables(net, (16, 16, 3)), net)
    beside = {
        "epoch": 3,
        "args": Call("argparse", "Namespace", state={"lr": 0.1}),
        "run": Call("os", "system", f"touch {folder / 'ran'}"),
        "kind": Global("torch", "float32"),
        "counter": Call("collections", "OrderedDict", [("a", 1)]),
        "encoded": Call("_codecs", "encode", "text", "latin1"),
        "list": [1.5, (2, "a"), b"b"],
    }
    for name, view in (("zip", ()), ("legacy", (None,))):
        content, storages = tensors(state, *view)
        whole = beside | {"state_dict": content}
        if name == "zip":
            torch_zip(folder / "a.pth", whole, [(k, a.tobytes()) for k, a in storages])
        else:
            torch_legacy(folder / "b.pth", whole, storages)
    small_arrays = {"conv1.weight": state["conv1.weight"], "bn1.bias": state["bn1.bias"]}
    small, storages = tensors(small_arrays)
    torch_zip(folder / "c.pt", small, [(key, array.tobytes()) for key, array in storages])
    (folder / "d.pkl").write_bytes(pickle.dumps({"model": state}, 4))
    (folder / "i.pkl").write_bytes(pickled(pickled_tensors(small_arrays, folder)))
    files.save(state, folder / "e.safetensors")
    files.save(small_arrays, folder / "f.safetensors")
    files.save(state, folder / "g.npz")
    np.savez_compressed(folder / "h.npz", **state)
    read = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for name in read:
        (folder / name).unlink()
    return read


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to eight changes; of a zip half the time inside of it, with its sums right again."""
    if data.startswith(b"PK") and rng.random() < 0.6:
        with contextlib.suppress(Exception):  # a zip that an earlier change broke
            return _inside_zip(data, others, rng)
    # Headers and pickles are short and at the ends; the numbers between are of no interest.
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        data = rng.choice(CHANGES)(data, others, rng)
    return data


def _inside_zip(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        target = rng.choice([n for n in names if n.endswith("data.pkl")] or names)
        target = target if rng.random() < 0.8 else rng.choice(names)
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == target:
                for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
                    content = rng.choice(CHANGES)(content, others, rng)
            new.writestr(entry.filename, content, entry.compress_type)
    return stream.getvalue()


def _place(data: bytes, rng: random.Random) -> int:
    """Half of the time within the first or last two thousand bytes."""
    near = rng.randrange(min(len(data), 2000)) if data else 0
    return rng.choice((near, max(0, len(data) - 1 - near), rng.randrange(max(1, len(data)))))


def _flip(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i = _place(data, rng)
    return data[:i] + bytes([rng.randrange(256)]) + data[i + 1 :]


def _number(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i, size = _place(data, rng), rng.choice((1, 2, 4, 8))
    value = rng.choice(NUMBERS) % 2 ** (8 * size)
    return data[:i] + value.to_bytes(size, rng.choice(("little", "big"))) + data[i + size :]


def _digits(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A number that is written out, in a header of json or of Python."""
    places = list(re.finditer(rb"\d+", data[:4000]))
    if not places:
        return data
    place = rng.choice(places)
    value = str(rng.choice(NUMBERS)).encode()
    value = value if rng.random() < 0.5 else value.rjust(len(place[0]), b" ")[: len(place[0])]
    return data[: place.start()] + value + data[place.end() :]


def _opcode(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i, more = _place(data, rng), bytes(rng.choices(OPCODES, k=rng.randint(1, 4)))
    return data[:i] + more + data[i + rng.choice((0, len(more))) :]


def _cut(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i = _place(data, rng)
    return data[:i] + data[i + rng.choice((1, 2, 8, 100, 10**9)) :]


def _copy(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    source = rng.choice((data, rng.choice(others)))
    i, j = _place(source, rng), _place(data, rng)
    piece = source[i : i + rng.choice((1, 4, 30, 200))]
    return data[:j] + piece * rng.choice((1, 1, 2, 1000)) + data[j + rng.choice((0, len(piece))) :]


CHANGES = (_flip, _number, _digits, _opcode, _cut, _copy)


def check(path: Path, data: bytes) -> str:
    """Reads one file; returns the kind of its outcome. Raises AssertionError for a wrong one."""
    path.write_bytes(data)
    modules = set(sys.modules)
    tracemalloc.start()
    try:
        arrays = files.load(path)
        outcome = "read"
    except UsageError as error:
        arrays, text = {}, str(error)
        assert text.isprintable(), f"not one printable line: {text!r}"
        assert str(path) in text, f"the file is not named: {text}"
        broken = re.search(r"not a whole \S+ file \((\w+)", text)
        reason = re.sub(r"[\d,]+|'[^']*'", "", text.split(": ", 1)[1])[:40]
        outcome = f"broken ({broken[1]})" if broken else reason
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < FLOOR + MULTIPLE * len(data), f"{peak:,} bytes for a file of {len(data):,}"
    ours = ("numpy", "encodings", "safetensors")  # which import parts of theirs when needed
    new = {name for name in set(sys.modules) - modules if not name.startswith(ours)}
    assert not new, f"it imported {new}"
    assert not (path.parent / "ran").exists(), "it ran a command"
    # Protocol 2 of pickle writes bytes as text.
    held = data + data.decode("utf-8", "ignore").encode("latin1", "ignore")
    for name, value in arrays.items() if path.suffix != ".npz" else ():  # those are compressed
        raw, size = value.tobytes(), value.itemsize
        items = {raw[i : i + size] for i in range(0, min(len(raw), 20 * size), size)}
        assert all(item in held for item in items), f"{name} has values that are not in the file"
    return outcome


def converted(path: Path, alone: bool = False) -> str:
    """Sends the file through `convert`, `alone` in a process of its own; raises AssertionError unless that ends in one line."""
    from jresnet.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    target = path.with_name("out.npz")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(
            ["convert", str(path), str(target), "--model", "cifar_resnet", "--depth", "8"]
        )
    lines = (out if status == 0 else err).getvalue().splitlines()
    assert status in (0, 1, 2), f"status {status}"
    assert len(lines) == 1, f"{len(lines)} lines: {lines}"
    assert target.exists() == (status == 0), "a refused file left something"
    target.unlink(missing_ok=True)
    return f"convert: status {status}"


def run_batch(seed: int, count: int, folder: Path, convert: bool) -> collections.Counter[str]:
    """Outcomes of `count` files; the file of the one that is wrong stays in the folder."""
    whole = sources(folder)
    rng = random.Random(seed)
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(count):
        name = rng.choice(list(whole))
        path = folder / f"mutated{Path(name).suffix}"
        data = mutated(whole[name], list(whole.values()), rng)
        outcomes[f"{path.suffix[1:]:12s} {check(path, data)}" if data else "empty"] += 1
        if convert and data:
            outcomes[converted(path, alone=number == count - 1)] += 1
        path.unlink(missing_ok=True)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--convert", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.batch is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        counts = run_batch(flags.batch, BATCH, flags.keep, flags.convert)
        print(json.dumps(counts))
        return 0
    counts, failed, files_read = collections.Counter(), 0, 0
    begun, seed = time.monotonic(), flags.seed
    while time.monotonic() - begun < flags.seconds:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.fuzz_weights", "--batch", str(seed)]
            command += ["--keep", folder, *(["--convert"] if flags.convert else [])]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=600)
                status, reason = done.returncode, done.stderr[-2000:]
            except subprocess.TimeoutExpired:
                done, status, reason = None, "timeout", "a batch took ten minutes"
            if done is not None and status == 0:
                counts.update(json.loads(done.stdout.splitlines()[-1]))
            else:
                failed += 1
                flags.keep.mkdir(exist_ok=True)
                for path in Path(folder).iterdir():
                    path.rename(flags.keep / f"{seed}-{path.name}")
                print(f"batch {seed}: {status}, see {flags.keep}\n{reason}", file=sys.stderr)
        files_read += BATCH
        seed += 1
    for outcome, count in sorted(counts.items(), key=lambda item: -item[1])[:60]:
        print(f"{count:7,}  {outcome}")
    print(f"{files_read:,} files, {failed} batches failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
