"""Image folders and zips as people have them: nested, unlabelled, hidden, linked, wrapped."""

import logging
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.files import is_hidden, walk
from jresnet.data.sources.resolve import info, open_split
from jresnet.errors import UsageError
from tests.data.conftest import encode

EXPECTED = {"train": [(1, 0), (2, 0), (3, 1)], "test": [(4, 0), (5, 1)]}
NAMES = {1: "train/ant/1.png", 2: "train/ant/2.png", 3: "train/bee/1.png", 4: "val/ant/1.png", 5: "val/bee/1.png"}  # fmt: skip


def picture(value: int) -> bytes:
    return encode(np.full((4, 6, 3), value, np.uint8))


def put(root: Path, value: int, name: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(picture(value))


def levels(root: Path | str, split: str) -> list[tuple[int, int]]:
    """(grey level, label) of every example, through a copy as workers get it."""
    source = pickle.loads(pickle.dumps(open_split(str(root), split)))
    examples = [source[index] for index in range(len(source))]
    return [(round(np.asarray(e["image"]).mean()), e["label"]) for e in examples]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Classes ant (1, 2) and bee (3) in train, 4 and 5 in val."""
    root = tmp_path / "set"
    for value, name in NAMES.items():
        put(root, value, name)
    return root


def zip_up(root: Path, to: Path, rename: Callable[[str], str] = str, folders: bool = False) -> None:
    """All files below root as a zip, with the names that `rename` gives them; root goes away."""
    with zipfile.ZipFile(to, "w") as archive:
        for file in sorted(root.rglob("*"), reverse=True):
            if file.is_file() or folders:
                name = rename(file.relative_to(root).as_posix())
                info = zipfile.ZipInfo(name + "/" * file.is_dir())
                info.filename = name + "/" * file.is_dir()  # zipfile would cut at a NUL
                archive.writestr(info, file.read_bytes() if file.is_file() else b"")
    shutil.rmtree(root)


# ---- layouts -------------------------------------------------------------------------------------


def tiny_imagenet(root: Path) -> None:
    """Pictures in images/, boxes beside it; the validation split's classes in a file; test without classes."""
    for split in ("train", "val"):
        for name in ("ant", "bee"):
            files = list((root / split / name).iterdir())
            inner = root / split / ("images" if split == "val" else f"{name}/images")
            inner.mkdir(exist_ok=True)
            for file in files:
                file.rename(inner / f"{name}_{file.name}")
    for name in ("ant", "bee"):
        (root / "train" / name / f"{name}_boxes.txt").write_text("1.png\t0\t0\t9\t9\n")
        (root / "val" / name).rmdir()
    lines = [f"{name}_1.png\t{name}\t0\t0\t9\t9\n" for name in ("bee", "ant")]
    (root / "val/val_annotations.txt").write_text("".join(lines))
    put(root, 9, "test/images/test_0.png")


def unlabelled(root: Path) -> None:
    for i in range(3):
        put(root, 9, f"test/ILSVRC2012_test_{i}.png")


def unlabelled_in_a_folder(root: Path) -> None:
    put(root, 9, "test/test/1.png")


def valid(root: Path) -> None:
    (root / "val").rename(root / "valid")


def wrapped(root: Path) -> None:
    """train/train/<class>, as archives unpack."""
    for split in ("train", "val"):
        (root / split).rename(root / "x")
        (root / split).mkdir()
        (root / "x").rename(root / split / split)


def hidden(root: Path) -> None:
    for name in (
        "train/.ipynb_checkpoints/1.png", "train/ant/.ipynb_checkpoints/1-checkpoint.png", "train/__MACOSX/1.png",
        "train/bee/@eaDir/1.png", "val/.DS_Store/1.png", "val/ant/._1.png", "val/$RECYCLE.BIN/1.png",
        "train/ant/sub/.hidden/1.png", "val/lost+found/1.png",
    ):  # fmt: skip
        put(root, 9, name)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "notes.txt", "1.png.txt"):
        (root / "train/ant" / name).write_text("x")


def deeper(root: Path) -> None:
    """Some files in the class folder, one in a folder of it."""
    (root / "train/ant/3/4").mkdir(parents=True)
    (root / "train/ant/2.png").rename(root / "train/ant/3/4/2.png")


def links(root: Path) -> None:
    """A class that is a link, a link to a file, and links in circles."""
    (root / "train/bee").rename(root / "elsewhere")
    (root / "train/bee").symlink_to(root / "elsewhere")
    (root / "two.png").write_bytes((root / "train/ant/2.png").read_bytes())
    (root / "train/ant/2.png").unlink()
    (root / "train/ant/2.png").symlink_to(root / "two.png")
    (root / "train/ant/up").symlink_to(root / "train/ant")
    (root / "train/ant/higher").symlink_to(root)
    (root / "elsewhere/self").symlink_to(root / "train/bee")
    (root / "elsewhere/circle").symlink_to(root / "elsewhere/circle")


def train_zip(root: Path) -> None:
    for split in ("train", "val"):
        zip_up(root / split, root / f"{split}.zip")


def zips_with_their_top_folder(root: Path) -> None:
    for split in ("train", "val"):
        zip_up(root / split, root / f"{split}.zip", lambda name, s=split: f"{s}/{name}", True)
        with zipfile.ZipFile(root / f"{split}.zip", "a") as archive:
            archive.writestr("__MACOSX/train/ant/._1.png", b"x")
            archive.writestr(".DS_Store", b"x")


def zips_of_windows(root: Path) -> None:
    for split in ("train", "val"):
        zip_up(root / split, root / f"{split}.zip", lambda name: name.replace("/", "\\"))


def zips_with_odd_names(root: Path) -> None:
    for split, start in (("train", "./"), ("val", "/")):
        zip_up(root / split, root / f"{split}.zip", lambda name, s=start: s + name)
        with zipfile.ZipFile(root / f"{split}.zip", "a") as archive:
            archive.writestr("../above/1.png", picture(9))
            archive.writestr("ant/../../1.png", picture(9))


def zip_with_a_name_twice(root: Path) -> None:
    train_zip(root)
    with zipfile.ZipFile(root / "train.zip", "a") as archive, pytest.warns(match="Duplicate"):
        archive.writestr("ant/1.png", picture(1))


def nested_zip(root: Path) -> None:
    tiny_imagenet(root)
    train_zip(root)


LAYOUTS = [
    tiny_imagenet, unlabelled, unlabelled_in_a_folder, valid, wrapped, hidden, deeper, links, train_zip,
    zips_with_their_top_folder, zips_of_windows, zips_with_odd_names, zip_with_a_name_twice, nested_zip,
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: Callable[[Path], None], folder: Path) -> None:
    layout(folder)
    assert info(str(folder)).class_names == ("ant", "bee")
    assert info(str(folder)).sizes == {"train": 3, "test": 2}
    assert {split: levels(folder, split) for split in EXPECTED} == EXPECTED


@pytest.mark.parametrize("top", ["", "set/", "tiny-imagenet-200/"])
@pytest.mark.parametrize("layout", [lambda root: None, tiny_imagenet, unlabelled])
def test_one_zip_of_the_whole_set(layout: Callable, top: str, folder: Path) -> None:
    layout(folder)
    file = folder.with_suffix(".zip")
    zip_up(folder, file, lambda name: top + name, folders=True)
    assert {split: levels(file, split) for split in EXPECTED} == EXPECTED


def test_a_set_to_evaluate_on_alone(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    put(folder, 9, "test/images/1.png")
    assert info(str(folder)).class_names == ("ant", "bee")
    assert info(str(folder)).sizes == {"test": 2}
    assert levels(folder, "test") == EXPECTED["test"]
    crop = ResizeCenterCrop(4, 4)
    data = ImageData(str(folder), 1, 2, train_transform=crop, eval_transform=crop)
    data.check(("test",))
    assert [batch["label"].tolist() for batch in data.examples("test")] == [[0, 1]]
    with pytest.raises(UsageError, match="no train split there"):
        data.check()


def test_a_set_to_train_on_alone_is_one_line(folder: Path) -> None:
    shutil.rmtree(folder / "val")
    assert info(str(folder)).sizes == {"train": 3}
    with pytest.raises(UsageError, match="no test split there; expected a folder or zip named test or val or valid"):  # fmt: skip
        ImageData(str(folder), 1).check()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_class_without_images_keeps_its_number(
    zipped: bool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "train/axe").mkdir()
    if zipped:
        zip_up(folder / "train", folder / "train.zip", folders=True)
    with caplog.at_level(logging.WARNING, "jresnet.data.sources.folder"):
        assert info(str(folder)).class_names == ("ant", "axe", "bee")
    assert [r.message for r in caplog.records] == [
        f"class 'axe' of {folder}/train{'.zip' * zipped} has no images"
    ]
    assert levels(folder, "test") == [(4, 0), (5, 2)]


def test_class_names_of_bytes_and_escape_sequences_are_data(folder: Path) -> None:
    names = [b"\xff\xfe", b"a\x1b[31mred", b"line\nbreak", b"<b>bold", "é".encode()]
    for name in map(os.fsdecode, names):
        for split in ("train", "val"):
            (folder / split / "ant").rename(folder / split / name)
        classes = info(str(folder)).class_names
        assert list(classes) == sorted(["bee", name])
        label = classes.index(name)
        assert sorted(level for level, one in levels(folder, "train") if one == label) == [1, 2]
        source = open_split(str(folder), "train")
        assert all(source.describe(index).isprintable() for index in range(len(source)))
        for split in ("train", "val"):
            (folder / split / name).rename(folder / split / "ant")


def test_faults_show_foreign_names_in_one_line(folder: Path) -> None:
    put(folder, 9, "val/\x1b[2J\n/1.png")
    with pytest.raises(UsageError) as caught:
        open_split(str(folder), "test")
    assert str(caught.value).isprintable()
    (folder / "val/\x1b[2J\n/1.png").unlink()
    (folder / "val/\x1b[2J\n").rmdir()
    (folder / "val/ant/1.png").rename(folder / "val/ant/\x1b[2J\udcff.png")
    (folder / "val/ant/\x1b[2J\udcff.png").write_bytes(b"no png")
    with pytest.raises(UsageError) as caught:
        levels(folder, "test")
    assert str(caught.value).isprintable()
    assert r"\x1b[2J\xff.png: not a readable image" in str(caught.value)


def test_what_is_no_file_is_a_broken_one_and_hangs_nothing(folder: Path) -> None:
    os.mkfifo(folder / "train/bee/2.png")
    (folder / "train/bee/3.png").symlink_to("/dev/zero")
    source = open_split(str(folder), "train")
    for index in (3, 4):
        with pytest.raises(
            UsageError, match=r"bee/\d.png: not a readable image .a folder, pipe or"
        ):
            source[index]


def test_a_file_too_large_is_a_broken_one(folder: Path) -> None:
    os.truncate(folder / "train/bee/1.png", 2 << 30)  # takes no room
    with pytest.raises(UsageError, match=r"bee/1\.png: not a readable image \(2,147,483,648 bytes; expected"):  # fmt: skip
        open_split(str(folder), "train")[2]


def test_a_link_that_leads_nowhere_is_named(folder: Path) -> None:
    (folder / "train/bee/2.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(UsageError, match=r"bee/2\.png: cannot be read \(No such file"):
        levels(folder, "train")


def test_a_folder_that_may_not_be_read_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    for module, name in ((Path, "is_dir"), (os, "scandir")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, refuse)
            with pytest.raises(
                UsageError, match=r"can(not)? be (read|listed) \(Permission denied\)"
            ):
                info(str(folder))


def test_links_to_the_same_folder_many_times_take_no_time(tmp_path: Path) -> None:
    for depth in range(40):  # 2**40 ways down
        (tmp_path / str(depth)).mkdir()
    for depth in range(39):
        for name in "ab":
            (tmp_path / str(depth) / name).symlink_to(tmp_path / str(depth + 1))
    put(tmp_path, 1, "39/1.png")
    assert len(list(walk(tmp_path / "0"))) == 1


def test_a_picture_without_a_class_in_the_annotations_is_named(folder: Path) -> None:
    tiny_imagenet(folder)
    put(folder, 9, "val/images/new.png")
    with pytest.raises(
        UsageError, match=r"'images/new.png' of .*/val is not in val_annotations.txt"
    ):
        info(str(folder))


@pytest.mark.parametrize(
    "name", [".git", "__MACOSX", "@eaDir", ".ipynb_checkpoints", "$RECYCLE.BIN", "._a.jpg"]
)
def test_hidden_names(name: str) -> None:
    assert is_hidden(name)
    assert not is_hidden(f"a{name}")
