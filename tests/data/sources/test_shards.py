"""Tar files of images: the three layouts, the index and when it is made anew, faults named."""

import dataclasses
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.pipeline import ImageData
from jresnet.data.sources import tar_index
from jresnet.data.sources.folder import Folder
from jresnet.data.sources.resolve import info, open_split, resolve
from jresnet.data.sources.shards import Shards
from jresnet.errors import UsageError
from tests.data.conftest import encode, jpegs
from tests.data.test_pipeline import assert_equal, take

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def write(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def jpeg(level: int) -> bytes:
    return encode(np.full((20, 24, 3), level, np.uint8), "JPEG")


def levels(root: Path, split: str) -> list[tuple[int, int]]:
    """(grey level, label) of every example, through a copy as workers get it."""
    source = pickle.loads(pickle.dumps(open_split(str(root), split)))
    examples = [source[index] for index in range(len(source))]
    return [(round(np.asarray(e["image"]).mean()), e["label"]) for e in examples]


def numbered(root: Path) -> None:
    """WebDataset: two shards of train, one of val, the number of the class beside each image."""
    write(root / "train-000.tar", {"a.jpg": jpeg(10), "a.cls": b"2", "a.json": b"{}", "b.cls": b"0\n", "b.jpg": jpeg(20)})  # fmt: skip
    write(root / "train-001.tar", {"a.jpg": jpeg(30), "a.cls": b"1", "._x.jpg": b"a Mac's"})
    write(root / "val-000.tar", {"x/1.2.JPEG": jpeg(40), "x/1.2.cls": b"2"})


def prefixed(root: Path) -> None:
    """Shards named like those of WebDataset's own ImageNet."""
    for number, (level, label) in enumerate(((10, b"1"), (20, b"0"), (30, b"0"))):
        write(root / f"imagenet-train-{number:06d}.tar", {"a.jpg": jpeg(level), "a.cls": label})
    write(root / "imagenet-val-000000.tar", {"a.jpg": jpeg(40), "a.cls": b"1"})


def folders(root: Path) -> None:
    write(root / "train-0.tar", {"./bee/1.jpg": jpeg(10), "./ant/1.jpg": jpeg(20)})
    write(root / "train-1.tar", {"./ant/2.jpg": jpeg(30), "notes.txt": b""})
    write(root / "val.tar", {"bee/1.jpg": jpeg(40)})


def one_each(root: Path) -> None:
    """ILSVRC: train/<class>.tar, and a validation split sorted into class folders."""
    write(root / "train/n02.tar", {"n02_1.JPEG": jpeg(10)})
    write(root / "train/n01.tar", {"n01_1.JPEG": jpeg(20), "n01_2.JPEG": jpeg(30)})
    (root / "val/n02").mkdir(parents=True)
    (root / "val/n02/1.JPEG").write_bytes(jpeg(40))


@pytest.mark.parametrize(
    ("layout", "classes", "train", "test"),
    [
        (numbered, ("0", "1", "2"), [(10, 2), (20, 0), (30, 1)], [(40, 2)]),
        (prefixed, ("0", "1"), [(10, 1), (20, 0), (30, 0)], [(40, 1)]),
        (folders, ("ant", "bee"), [(10, 1), (20, 0), (30, 0)], [(40, 1)]),
        (one_each, ("n01", "n02"), [(20, 0), (30, 0), (10, 1)], [(40, 1)]),
    ],
)
def test_layouts(layout: Callable, classes: tuple, train: list, test: list, tmp_path: Path) -> None:
    layout(tmp_path)
    assert isinstance(resolve(str(tmp_path)), Shards)
    facts = info(str(tmp_path))
    assert facts.class_names == classes
    assert facts.image_shape == (20, 24, 3)
    assert facts.sizes == {"train": 3, "test": 1}
    assert levels(tmp_path, "train") == train
    assert levels(tmp_path, "test") == test
    assert open_split(str(tmp_path), "test", encoded=True)[0]["image"] == jpeg(40)


def test_batches_are_those_of_the_same_files_in_folders(tmp_path: Path) -> None:
    jpegs(tmp_path / "folder", {"ant": 6, "bee": 5})
    for split in ("train", "test"):
        files = sorted((tmp_path / "folder" / split).rglob("*.jpg"))
        packed = {
            f.relative_to(tmp_path / "folder" / split).as_posix(): f.read_bytes() for f in files
        }
        names = list(packed)
        for shard, part in enumerate((names[:4], names[4:])):
            write(tmp_path / f"tars/{split}-{shard}.tar", {name: packed[name] for name in part})
    crops = {"train_transform": RandomResizedCrop(8), "eval_transform": ResizeCenterCrop(9, 8)}
    one, other = (
        ImageData(str(tmp_path / name), 4, 4, seed=5, threads=2, **crops)
        for name in ("folder", "tars")
    )
    other.check()
    assert_equal(take(other, 6), take(one, 6))
    assert_equal(list(other.examples("test")), list(one.examples("test")))


@pytest.mark.slow
def test_workers_open_the_tars_themselves_and_tell_of_a_broken_member(tmp_path: Path) -> None:
    write(
        tmp_path / "train-0.tar", {f"ant/{n}.jpg": jpeg(n) if n != 3 else b"no" for n in range(9)}
    )
    write(tmp_path / "test-0.tar", {"ant/0.jpg": jpeg(1)})
    crops = {"train_transform": RandomResizedCrop(8), "eval_transform": RandomResizedCrop(8)}
    alone, workers = (ImageData(str(tmp_path), 3, 1, workers=n, **crops) for n in (0, 1))
    assert_equal(take(workers, 6), take(alone, 6))
    assert workers.broken() == alone.broken()
    assert workers.broken()[0].startswith(f"{tmp_path}/train-0.tar/ant/3.jpg: not a readable image")


def test_the_index_is_kept_and_made_anew_when_a_tar_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders(tmp_path)
    before = levels(tmp_path, "train")
    assert (tmp_path / "train.index.npz").is_file()
    scans = []
    scan = tar_index._scan
    monkeypatch.setattr(tar_index, "_scan", lambda *args: scans.append(args) or scan(*args))
    assert levels(tmp_path, "train") == before
    assert not scans
    write(tmp_path / "train-1.tar", {"ant/2.jpg": jpeg(50)})
    os.utime(tmp_path / "train-1.tar", ns=(1, 1))
    assert levels(tmp_path, "train") == [*before[:2], (50, 0)]
    write(tmp_path / "train-2.tar", {"bee/7.jpg": jpeg(60)})
    assert levels(tmp_path, "train") == [*before[:2], (50, 0), (60, 1)]
    assert len(scans) == 2
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".tar") == ["train.index.npz"]


def test_a_damaged_index_is_made_anew_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders(tmp_path)
    before = levels(tmp_path, "train")
    kept = tmp_path / "train.index.npz"
    kept.write_bytes(kept.read_bytes()[:200])
    assert levels(tmp_path, "train") == before
    assert "train.index.npz is no readable index" in caplog.text
    caplog.clear()
    assert levels(tmp_path, "train") == before
    assert not caplog.text


def test_where_nothing_can_be_written_the_index_is_in_memory_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders(tmp_path)

    def refuse(*args: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tar_index.tempfile, "NamedTemporaryFile", refuse)
    assert len(levels(tmp_path, "train")) == 3
    assert (
        "cannot be written (Permission denied): the index of 2 tars is kept in memory"
        in caplog.text
    )
    assert not list(tmp_path.glob("*.npz"))


def test_class_folders_have_precedence(tmp_path: Path) -> None:
    jpegs(tmp_path, {"ant": 1})
    write(tmp_path / "train/ant.tar", {"0.jpg": jpeg(1)})
    write(tmp_path / "train.tar", {"0.jpg": jpeg(1)})
    assert isinstance(resolve(str(tmp_path)), Folder)


def damage(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position : position + 100] = b"?" * 100
    path.write_bytes(data)


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda p: write(p / "train-9.tar", {"a.jpg": b""}), r"train-9\.tar/a\.jpg has no class; expected a\.cls beside"),
    (lambda p: write(p / "train-9.tar", {"a.jpg": b"", "b.cls": b"1"}), r"a\.jpg has no class; expected a\.cls in"),
    (lambda p: write(p / "train-9.tar", {"a.cls": b"cat"}), r"train-9\.tar/a\.cls holds b'cat'; expected the number"),
    (lambda p: write(p / "train-9.tar", {"a.jpg": b"", "a.cls": b"3"}), r"has the class 3, .* such as 'bee'"),
    (lambda p: write(p / "val.tar", {"cat/a.jpg": b""}), r"class 'cat' of .*val\.tar/cat/a\.jpg is not in train, .* ant, bee"),
    (lambda p: write(p / "val.tar", {"a.jpg": b"", "a.cls": b"3"}), r"val\.tar has classes by number .* by name, such as 'ant'"),
    (lambda p: (p / "val.tar").unlink(), r"no test split there; expected NAME-\*\.tar"),
    (lambda p: (p / "train-9.tar").write_bytes(b"no tar"), r"train-9\.tar is not a readable tar file"),
    (lambda p: os.truncate(p / "train-0.tar", 600), r"train-0\.tar is not a readable tar file"),
    (lambda p: damage(p / "train-0.tar", (p / "train-0.tar").read_bytes().rindex(b"./ant")), r"train-0\.tar .*no file header at byte"),
]  # fmt: skip


@pytest.mark.parametrize(("break_it", "message"), FAULTS)
def test_faults_are_one_line_that_names_the_file(
    break_it: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    folders(tmp_path)
    break_it(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        open_split(str(tmp_path), "test")
    assert "\n" not in str(caught.value)


def test_a_folder_of_shards_without_classes_is_not_taken_for_one_class_each(tmp_path: Path) -> None:
    write(tmp_path / "train/0000.tar", {"a.jpg": jpeg(1), "a.txt": b"a caption"})
    with pytest.raises(UsageError, match=r"0000\.tar/a\.jpg has no class"):
        info(str(tmp_path))


def test_a_tar_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    folders(tmp_path)
    source = open_split(str(tmp_path), "train")
    os.truncate(tmp_path / "train-1.tar", 700)
    with pytest.raises(UsageError, match=r"train-1\.tar/\./ant/2\.jpg: only 188 of \d+ bytes"):
        source[2]


def test_photographs_in_shards(tmp_path: Path) -> None:
    folder = SHARED / "cats_dogs"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    files = sorted((folder / "test").rglob("*.jpg"))[::20]
    for split in ("train", "test"):
        write(tmp_path / f"{split}-0.tar", {f"{f.parent.name}/{f.name}": f.read_bytes() for f in files})  # fmt: skip
    data = ImageData(
        str(tmp_path), 4, 4, train_transform=RandomResizedCrop(32), eval_transform=ResizeCenterCrop(36, 32)
    )  # fmt: skip
    assert data.info().class_names == ("cat", "dog")
    (only,) = list(dataclasses.replace(data, eval_batch_size=len(files)).examples("test"))
    expected = [ResizeCenterCrop(36, 32)(file.read_bytes()) for file in files]
    np.testing.assert_array_equal(only["image"], expected)
    assert only["label"].tolist() == [int(file.parent.name == "dog") for file in files]
