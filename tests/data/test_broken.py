"""Broken image files: replaced in training, masked in evaluation, named once; too many are an error."""

import dataclasses
import itertools
import logging
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.broken import allowed
from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.features import FeatureData
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.few import PerClass
from jresnet.data.sources.folder import Folder
from jresnet.data.sources.resolve import info
from jresnet.errors import UsageError

from .conftest import jpegs
from .test_pipeline import assert_equal, take

CUT = {"train": "bee/000.jpg", "test": "bee/009.jpg"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """10 ants and 10 bees in train and test, all readable."""
    jpegs(tmp_path, {"ant": 10, "bee": 10})
    return tmp_path


def streamed(folder: Path) -> ImageData:
    transform = ResizeCenterCrop(16, 12)
    return ImageData(
        str(folder), 5, 8, seed=1, threads=2, train_transform=transform, eval_transform=transform
    )


def cut(folder: Path, name: str) -> None:
    file = folder / name
    file.write_bytes(file.read_bytes()[:300])


def kinds(folder: Path) -> dict[str, ImageData]:
    """The same images in memory and streamed. Anew, since sets in memory are kept by name."""
    (folder / "link").symlink_to(folder)
    once = dataclasses.replace(streamed(folder), dataset=str(folder / "link"), transform_once=True)
    return {"streamed": streamed(folder), "in memory": once}


@pytest.mark.parametrize("kind", ["streamed", "in memory"])
def test_the_next_example_takes_its_place_in_training(
    folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    intact = take(streamed(folder), 8)  # two epochs
    grey = {
        index: 1 + index for index in range(20)
    }  # position to grey level, as jpegs() makes them
    cut(folder, f"train/{CUT['train']}")
    data = kinds(folder)[kind]
    with caplog.at_level(logging.WARNING, "jresnet.data.broken"):
        taken = take(data, 8)
    for before, after in zip(intact, taken, strict=True):
        assert set(after) == {"image", "label"}
        levels = before["image"][:, 0, 0, 0]
        expected = np.where(levels == grey[10], grey[11], levels)
        np.testing.assert_array_equal(after["image"][:, 0, 0, 0], expected)
        np.testing.assert_array_equal(after["label"], before["label"])
    assert sum((b["image"][:, 0, 0, 0] == grey[11]).sum() for b in taken) == 4
    assert_equal(take(data, 4, start=4), taken[4:])
    assert [record.message for record in caplog.records] == list(data.broken())
    assert len(data.broken()) == 1
    assert "train/bee/000.jpg: not a readable image (" in data.broken()[0]


@pytest.mark.parametrize("kind", ["streamed", "in memory"])
def test_it_counts_for_nothing_in_evaluation_and_is_no_padding(folder: Path, kind: str) -> None:
    cut(folder, f"test/{CUT['test']}")  # the last one, which padding repeats
    data = kinds(folder)[kind]
    batches = list(data.examples("test"))
    mask, broken = (np.concatenate([b[key] for b in batches]) for key in ("valid", "broken"))
    assert mask.tolist() == [1.0] * 19 + [0.0] * 5
    assert broken.tolist() == [0.0] * 19 + [1.0] + [0.0] * 4
    assert broken.dtype == np.float32
    parts = [list(data.examples("test", (host, 2))) for host in (0, 1)]
    joined = np.concatenate([np.concatenate([b["broken"] for b in p]) for p in zip(*parts, strict=True)])  # type: ignore[misc] # fmt: skip
    np.testing.assert_array_equal(joined, broken)
    assert [line.split(":")[0][-12:] for line in data.broken()] == ["/bee/009.jpg"]


@pytest.mark.parametrize("kind", ["streamed", "in memory"])
def test_more_than_a_share_is_an_error(folder: Path, kind: str) -> None:
    assert [allowed(size) for size in (2, 199, 200, 50_000)] == [1, 1, 2, 500]
    cut(folder, "train/ant/002.jpg")
    cut(folder, "train/bee/003.jpg")
    with pytest.raises(
        UsageError, match=r"2 of 20 files are broken so far; expected at most 1; .*\.jpg"
    ):
        take(kinds(folder)[kind], 8)


def test_repeats_meet_the_same_stand_in(folder: Path) -> None:
    cut(folder, "train/ant/003.jpg")
    data = dataclasses.replace(streamed(folder), repeats=2, batch_size=4)
    for batch in take(data, 10):  # one epoch
        np.testing.assert_array_equal(batch["image"][::2], batch["image"][1::2])
    assert len(data.broken()) == 1


def test_a_row_of_broken_files_ends_the_search(folder: Path) -> None:
    for file in (folder / "train").rglob("*.jpg"):
        file.write_bytes(b"")
    with pytest.raises(UsageError, match="20 of 20 files looked at are broken"):
        info(str(folder))
    data = ImageData(str(folder), 5, train_transform=RandomResizedCrop(8), eval_transform=RandomResizedCrop(8))  # fmt: skip
    with pytest.raises(UsageError, match="broken"):
        take(data, 1)


def test_the_shape_is_told_by_files_that_are_readable(folder: Path) -> None:
    (folder / "train/ant/000.jpg").write_bytes(b"no image")
    assert info(str(folder)).image_shape == (20, 24, 3)


def test_a_missing_file_is_no_broken_one(folder: Path) -> None:
    data = streamed(folder)
    batches = data.train()
    next(batches)
    (folder / "train/ant/004.jpg").unlink()
    with pytest.raises(UsageError, match=r"ant/004\.jpg: cannot be read \(.*No such file"):
        list(itertools.islice(batches, 40))
    assert data.broken() == ()


def test_features_and_few_examples_go_on_too(folder: Path) -> None:
    cut(folder, f"train/{CUT['train']}")
    cut(folder, f"test/{CUT['test']}")
    data = FeatureData(streamed(folder), lambda x: np.asarray(x, np.float32).mean((1, 2)))  # type: ignore[arg-type,return-value]
    batches = list(data.examples("test"))
    assert sum(b["valid"].sum() for b in batches) == 19
    assert sum(b["broken"].sum() for b in batches) == 1
    assert len(data.broken()) == 2
    few = ImageData(PerClass(Folder(folder), 10), 5)
    assert len(take(few, 4)) == 4
    assert len(few.broken()) == 1
