"""Sets made to measure input: what the project reads in them, and torchvision beside it."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from jresnet.benchmark.input import ALONE, PEERS, Measured, of_set
from jresnet.benchmark.input_report import rows_of, statement
from jresnet.benchmark.input_sets import BATCHES, CLIP, CROP, InputSet, made_up_set
from jresnet.benchmark.made_files import FILM, LENGTH
from jresnet.benchmark.photos import SIZE
from jresnet.data.augment.geometry import IGNORED, PADDING
from jresnet.data.film_length import film_length
from jresnet.data.sources.known_maps import VOC
from jresnet.data.with_boxes import RandomCropWithBoxes


def test_boxes_and_maps_show_the_same_objects():
    with made_up_set("boxes", 6, 2) as boxed, made_up_set("maps", 6, 2) as mapped:
        names = boxed.data.info().class_names
        boxes, maps = boxed.data.source("train"), mapped.data.source("train")
        assert (len(boxes), len(maps), boxed.data.size("test")) == (6, 6, 2)
        for index in range(6):
            row, labels = boxes[index], maps[index]["map"]
            assert labels.shape == SIZE[::-1]
            covered = np.zeros(labels.shape, bool)
            for left, top, right, bottom in row["boxes"].astype(int):
                covered[top:bottom, left:right] = True
            assert not labels[~covered].any()
            # The last object lies on top: its class is that of its middle.
            x, y = row["boxes"][-1].reshape(2, 2).mean(0).astype(int)
            assert VOC[labels[y, x]] == names[row["class"][-1]]
            assert (labels == IGNORED).any()
        batch = next(boxed.data.train())
        assert batch["image"].shape == (2, CROP, CROP, 3)
        assert ((batch["class"] == PADDING) == (batch["boxes"] == 0).all(-1)).all()
        assert next(mapped.data.train())["map"].shape == (2, CROP, CROP)


def test_films_are_as_long_and_large_as_they_say():
    pytest.importorskip("av", reason="films are written by PyAV")
    with made_up_set("clips", 2, 2) as chosen:
        source = chosen.data.source("train")
        assert {source[index]["label"] for index in range(2)} == {0, 1}
        for path in chosen.folder.rglob("*.mp4"):
            assert film_length(path)[:2] == pytest.approx((LENGTH / 25, 25))
        clip = next(chosen.data.train())["image"]
        assert clip.shape == (2, CLIP.frames, *CLIP.size, 3)
        assert (np.abs(np.diff(clip.astype(int), axis=1)).mean((2, 3, 4)) > 1).all()  # it moves
    assert FILM == (320, 240)


def test_the_fastest_pipeline_is_compared_with_the_others():
    chosen = InputSet("clips", Any, "films", Any, "clip")  # type: ignore[arg-type]
    chosen = chosen._replace(data=dataclasses.make_dataclass("Data", ["batch_size"])(8))
    measured = {
        ALONE: Measured(10.0, 1, 9.0, 11.0),
        f"{PEERS['clips']}": Measured(8.0, 2, 8.0, 8.0),
        "absent: not installed": Measured(None, 2),
        "pipeline, 0 workers of 3 threads": Measured(16.0, 2, 15.0, 17.0),
        "pipeline, 2 workers of 2 threads": Measured(20.0, 2, 19.0, 21.0),
    }
    rows = rows_of(chosen, measured)
    assert [row["ratio"] for row in rows[:2]] == [2.0, 2.5]
    assert all(math.isnan(row["ratio"]) for row in rows[2:])
    assert len(rows) == 4
    assert rows[0]["batch"] == BATCHES["clips"]
    assert statement(chosen, measured) == (
        f"The fastest pipeline gives 20 clips/s: 2.00 of {ALONE}, 2.50 of torchvision Kinetics."
    )


def test_without_peers_there_are_none():
    with made_up_set("maps", 2, 2) as chosen:
        names = list(of_set(chosen, [(0, 1)], peers=False))
    assert names == [ALONE, "the same on all cores at once", "pipeline, 0 workers of 1 threads"]


def test_torchvision_makes_the_same_of_a_photograph_with_boxes(monkeypatch):
    pytest.importorskip("torchvision", reason="is compared with torchvision")
    from jresnet.benchmark import torch_sets

    monkeypatch.setattr(torch_sets, "JITTER", (1.0, 1.0))
    with made_up_set("boxes", 2, 2) as chosen:
        still = RandomCropWithBoxes((CROP, CROP), limit=8, low=1.0, high=1.0)
        ours = still(chosen.data.source("train")[0], np.random.default_rng(0))
        image, target = torch_sets.boxes(chosen)[0]
    theirs = np.asarray(image).transpose(1, 2, 0)
    rows = np.flatnonzero(theirs.reshape(CROP, -1).any(1))  # the rest is padding
    part = slice(rows[0], rows[-1] + 1)
    height = int(ours["size"][0])
    assert rows[-1] + 1 - rows[0] == height
    apart = np.abs(theirs[part].astype(int) - ours["image"][:height].astype(int))
    assert apart.mean() < 3
    count = len(target["boxes"])
    assert count == (ours["class"] != PADDING).sum()
    moved = np.asarray(target["boxes"]) - np.array([0, rows[0]] * 2)
    np.testing.assert_allclose(moved, ours["boxes"][:count], atol=2)


def test_torchvision_s_batches_have_the_same_shapes():
    pytest.importorskip("torchvision", reason="is compared with torchvision")
    from jresnet.benchmark import torch_sets

    with made_up_set("maps", 2, 2) as chosen:
        rows = torch_sets.maps(chosen)
        image, labels = torch_sets.stacked([rows[0], rows[1]])
    assert (image.shape, labels.shape) == ((2, 3, CROP, CROP), (2, 1, CROP, CROP))
    assert set(np.unique(labels)) <= {*range(len(VOC)), IGNORED}
    with made_up_set("boxes", 2, 2) as chosen:
        rows = torch_sets.boxes(chosen)
        image, targets = torch_sets.stacked([rows[0], rows[1]])
    assert image.shape == (2, 3, CROP, CROP)
    assert [set(one) for one in targets] == [{"boxes", "labels"}] * 2
