"""Indices of tars that are damaged or made to harm: made anew, and said; no pickles, little memory."""

import contextlib
import io
import logging
import os
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jresnet.errors import UsageError

from .test_hostile_tars import TRAIN
from .test_shards import folders, levels


def changed(**changes: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with np.load(path) as file:
            arrays: dict[str, object] = dict(file)
        for name, function in changes.items():
            arrays[name] = function(np.array(arrays[name]))
        np.savez(path, **{name: value for name, value in arrays.items() if value is not None})

    return change


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch pwned",)


def bomb(path: Path) -> None:
    with np.load(path) as file:
        arrays = {name: value for name, value in file.items() if name != "names"}
    np.savez(path, **arrays)
    head = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (300 << 20,)}
    np.lib.format.write_array_header_1_0(head, shape)
    packed = zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED)
    with packed as archive, archive.open("names.npy", "w") as file:
        file.write(head.getvalue())
        for _ in range(300):
            file.write(bytes(1 << 20))


# Of other tars: made anew without a word, as after a tar was added.
STALE = changed(tars=lambda a: np.arange(2.0))
INDICES: list[Callable[[Path], object]] = [
    changed(offset=lambda a: a + 10**12),
    changed(offset=lambda a: a * 0 - 1),
    changed(offset=lambda a: np.full_like(a, 2**63 - 1)),
    changed(size=lambda a: a * 0 - 5),
    changed(size=lambda a: np.full_like(a, 2**63 - 1)),
    changed(tar=lambda a: a + 7),
    changed(tar=lambda a: a - 1),
    changed(label=lambda a: a + 2),
    changed(label=lambda a: a - 1),
    changed(label=lambda a: a.astype(float)),
    changed(label=lambda a: a[:1]),
    changed(label=lambda a: a[:0], tar=lambda a: a[:0], offset=lambda a: a[:0], size=lambda a: a[:0], ends=lambda a: a[:0]),
    changed(offset=lambda a: np.array([Evil()] * len(a), object)),
    changed(names=lambda a: np.array([Evil()] * len(a), object)),
    changed(names=lambda a: a.astype(np.int64)),
    changed(names=lambda a: a[:2]),
    changed(ends=lambda a: a[::-1]),
    changed(ends=lambda a: a * 0 - 1),
    changed(classes=lambda a: a[::-1]),
    changed(classes=lambda a: np.arange(2)),
    changed(classes=lambda a: np.array([["ant", "bee"]])),
    STALE,
    changed(format=lambda a: np.array(["x"])),
    changed(format=lambda a: np.array([2, 2])),
    changed(size=lambda a: None),
    lambda path: path.write_bytes(b"no zip"),
    lambda path: path.write_bytes(b""),
    bomb,
]  # fmt: skip


@pytest.mark.parametrize("spoil", INDICES)
def test_a_hostile_index_is_made_anew_and_said(
    spoil: Callable[[Path], object],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folders(tmp_path)
    assert levels(tmp_path, "train") == TRAIN
    spoil(tmp_path / "train.index.npz")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with caplog.at_level(logging.WARNING):
        assert levels(tmp_path, "train") == TRAIN
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert len(caplog.records) == (spoil is not STALE)
    assert not (tmp_path / "pwned").exists()
    caplog.clear()
    assert levels(tmp_path, "train") == TRAIN
    assert not caplog.records


@pytest.mark.parametrize("seed", range(6))
def test_mutated_tars_and_indices_are_one_line(seed: int, tmp_path: Path) -> None:
    folders(tmp_path)
    levels(tmp_path, "train")
    rng = np.random.default_rng(seed)
    for name in ("train-0.tar", "train.index.npz"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(30):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.integers(256)
            (tmp_path / name).write_bytes(data)
            os.utime(tmp_path / name, ns=(0, int(rng.integers(1 << 40))))
            with contextlib.suppress(UsageError):  # other exceptions are not
                levels(tmp_path, "train")
        (tmp_path / name).write_bytes(whole)
