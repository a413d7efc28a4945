"""Mutated checkpoints of every kind: each gives arrays or one line of error, in bounded memory.

    python -m tests.fuzz_weights --seconds 300 [--convert] [--seed 0] [--keep FOLDER]

Batches of files run in separate processes, so that a crash, a hang or too much memory is noticed.
The counts of outcomes are printed. `--convert` also passes each file to the command line.
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
from pathlib import Path

import numpy as np

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.mutations import mutated
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
