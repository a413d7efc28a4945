"""Examples of other kinds than labelled images: boxes, label maps, clips, keypoints, bare arrays."""

import contextlib
import dataclasses
import pickle
import re

import numpy as np
import pytest

from jresnet.data import images
from jresnet.data.buckets import Buckets
from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.load import Load
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.array_set import ArraySet
from jresnet.data.sources.synthetic import Synthetic
from jresnet.data.transform import Labelled, Transform
from jresnet.description import describe
from jresnet.errors import UsageError
from tests.data.kinds import Boxed, Frames, Moving, PaddedBoxes, spec
from tests.data.test_pipeline import assert_equal, join, take

BOXES = PaddedBoxes()
CLIPS = ImageData(
    Moving(), 4, 4, seed=2, threads=2, train_transform=Frames(), eval_transform=Frames()
)
DETECTION = ImageData(Boxed(), 8, 8, seed=2, threads=2, train_transform=BOXES, eval_transform=BOXES)
kinds = pytest.mark.parametrize("data", [DETECTION, CLIPS], ids=["boxes and maps", "clips"])


def transformed(data, split):
    """Every example of a split through its transform, in order."""
    source, transform = data.source(split), data.eval_transform
    return [transform(source[i], np.random.default_rng(0)) for i in range(len(source))]


@kinds
def test_batches_are_what_the_transform_returns(data):
    data.check()
    assert isinstance(data.train_transform, Transform)
    batches = take(data, 12)
    for batch in batches:
        assert {name: (x.shape, x.dtype) for name, x in batch.items()} == {
            name: (x.shape, x.dtype) for name, x in data.example_batch.items()
        }
    assert_equal(take(data, 3, start=7), batches[7:10])


def test_boxes_and_maps_stay_together_and_every_example_comes_once():
    examples = transformed(DETECTION, "train")
    assert len({example["image"].tobytes() for example in examples}) == 37
    batches = take(dataclasses.replace(DETECTION, batch_size=1), 37)
    drawn = {batch["image"].tobytes(): batch for batch in batches}
    for example in examples:
        batch = drawn.pop(example["image"].tobytes())
        assert_equal([{name: x[0] for name, x in batch.items()}], [example])
    assert not drawn


def test_clips_are_cut_anew_each_time_and_their_points_with_them():
    batches = take(CLIPS, 19)
    starts = np.concatenate([batch["start"] for batch in batches])
    assert set(starts.tolist()) == {0, 1, 2}
    clips = [CLIPS.source("train")[i] for i in range(19)]
    for batch in batches:
        for image, points, start in zip(batch["image"], batch["keypoints"], batch["start"], strict=True):  # fmt: skip
            (clip,) = [c for c in clips if np.array_equal(c["clip"][start : start + 4], image)]
            np.testing.assert_array_equal(points[..., :2], clip["points"][start : start + 4])


@kinds
def test_evaluation_counts_each_example_once_and_says_which(data):
    batches = list(data.examples("test"))
    valid, index = (np.concatenate([b[key] for b in batches]) for key in ("valid", "index"))
    size = data.size("test")
    assert valid.tolist() == [1.0] * size + [0.0] * (len(valid) - size)
    assert index.tolist() == [*range(size), *[size - 1] * (len(valid) - size)]
    if data is DETECTION:
        for name in ("image", "map", "boxes", "class"):
            rows = np.concatenate([batch[name] for batch in batches])[:size]
            np.testing.assert_array_equal(rows, [e[name] for e in transformed(data, "test")])


@kinds
def test_the_global_batch_is_that_of_any_number_of_hosts(data):
    expected, evaluated = take(data, 6, start=1), list(data.examples("test"))
    assert_equal(join([take(data, 6, 1, (host, 2)) for host in range(2)]), expected)
    assert_equal(join([list(data.examples("test", (host, 2))) for host in range(2)]), evaluated)


@pytest.mark.slow
@kinds
def test_workers_change_nothing(data):
    assert_equal(take(dataclasses.replace(data, workers=2), 4), take(data, 4))


@kinds
def test_what_is_sent_to_workers_pickles(data):
    split = data._split("train")
    load = pickle.loads(pickle.dumps(split.streamed))
    one, other = (each(3, np.random.default_rng(5)) for each in (load, split.streamed))
    assert_equal([one], [other])


@dataclasses.dataclass(frozen=True)
class Wrong:
    """Promises one array and returns another."""

    arrays: object = None
    promised: tuple = ((4, 4), np.int32)

    def spec(self, info):
        return spec(map=self.promised)

    def __call__(self, example, rng):
        return self.arrays


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"map": np.zeros((4, 5), np.int32)}, r"map is int32 \(4, 5\): expected int32 \(4, 4\)"),
        ({"map": np.zeros((4, 4), np.uint8)}, r"map is uint8 \(4, 4\): expected int32 \(4, 4\)"),
        ({}, r"map is missing: expected int32 \(4, 4\)"),
        (
            {"map": np.zeros((4, 4), np.int32), "mask": np.zeros(2, bool)},
            r"mask is bool \(2,\): expected no such array",
        ),
        ({"map": [[0]]}, r"map is list: expected int32 \(4, 4\)"),
    ],
)
@pytest.mark.parametrize("once", [False, True])
def test_a_spec_that_is_not_kept_is_one_line_that_names_the_example(arrays, message, once):
    wrong = Wrong(arrays)
    data = ImageData(Moving(), 4, train_transform=wrong, eval_transform=wrong, transform_once=once)
    with pytest.raises(UsageError) as caught:
        take(data, 1)
    line = rf"moving train clip \d+: {message}, by the spec of Wrong"
    assert re.fullmatch(line, str(caught.value))


def test_names_that_the_pipeline_adds_are_refused():
    @dataclasses.dataclass(frozen=True)
    class Marking(Wrong):
        def spec(self, info):
            return spec(valid=((), np.float32))

    data = ImageData(Moving(), 4, train_transform=Marking(), eval_transform=Marking())
    with pytest.raises(UsageError, match="spec: 'valid' is an array of every batch"):
        data.check()


@pytest.mark.parametrize("once", [False, True])
def test_examples_that_do_not_fit_are_named_counted_and_replaced(once, caplog):
    size = 250  # of which two may be broken
    dataset = Boxed(train_size=size, test_size=size, damaged=(5,), odd=(6,))
    data = dataclasses.replace(DETECTION, dataset=dataset, transform_once=once)
    taken = take(data, 32)
    whole = dataclasses.replace(DETECTION, dataset=Boxed(size, size))
    source = whole.source("train")
    fifth, sixth, seventh = (BOXES(source[i], np.random.default_rng(0)) for i in (5, 6, 7))
    left_out = [example["image"].tobytes() for example in (fifth, sixth)]
    count = 0
    for batch, intact in zip(taken, take(whole, 32), strict=True):
        for row in range(8):
            replaced = intact["image"][row].tobytes() in left_out
            expected = seventh if replaced else {name: x[row] for name, x in intact.items()}
            assert_equal([{name: x[row] for name, x in batch.items()}], [expected])
            count += replaced
    assert count == 2  # in an epoch of 250 and a few more
    lines = sorted(data.broken())
    assert [line.partition(":")[0] for line in lines] == ["boxed train 5.png", "boxed train 6.png"]
    assert "not a readable image" in lines[0]
    height, width = images.header(source[6]["image"])[:2]
    assert (
        lines[1]
        == f"boxed train 6.png: a map of {height - 1, width} for an image of {height, width}"
    )
    assert sorted(record.message for record in caplog.records) == lines
    batches = list(data.examples("test"))
    broken, index = (np.concatenate([b[key] for b in batches]) for key in ("broken", "index"))
    assert index[broken > 0].tolist() == [5, 6]
    assert sum(batch["valid"].sum() for batch in batches) == size - 2
    assert len(data.broken()) == 4


def test_values_that_the_set_cannot_have_are_named():
    dataset = Boxed(train_size=8)
    info = dataclasses.replace(dataset.info(), num_classes=1, class_names=("dark",))
    load = Load(dataset.open("train", True), (BOXES,), (BOXES.spec(info),), info, Buckets.whole(8))
    of_two = [i for i in range(8) if len(load.source[i]["class"]) == 2]
    assert load.fault(of_two[0]) == f"boxed train {of_two[0]}.png: class 1: expected 0 to 0"


def test_a_set_without_a_class_for_each_image_needs_transforms():
    with pytest.raises(UsageError, match="its images have no class each; expected train_transform"):
        ImageData(Boxed(), 4).check()
    with pytest.raises(UsageError, match=r"dataset='moving'.*expected train_transform"):
        ImageData(Moving(), 4).check()


ROWS = {
    split: {
        "x": np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32),
        "seed": np.arange(n, dtype=np.uint32),
    }
    for split, n in (("train", 23), ("test", 9))
}


def test_arrays_in_memory_are_a_data_set():
    data = ImageData(ArraySet(ROWS), 5, 4, seed=1)
    data.check()
    assert data.example_batch["x"].shape == (5, 3)
    for batch in take(data, 9):
        np.testing.assert_array_equal(batch["x"], ROWS["train"]["x"][batch["seed"]])
    tested = list(data.examples("test"))
    assert np.concatenate([b["seed"] for b in tested]).tolist() == [*range(9), 8, 8, 8]
    resident = dataclasses.replace(data, on_device=True).resident()
    assert resident is not None
    assert_equal([resident], [ROWS["train"]])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({}, "has no splits"),
        ({"train": {"x": np.zeros(3), "y": np.zeros(4)}}, "train has .* expected one number"),
        (
            {"train": {"x": np.zeros((3, 2))}, "test": {"x": np.zeros((3, 1))}},
            r"test has x float64 \(1,\); expected x float64 \(2,\) as train has",
        ),
    ],
)
def test_arrays_that_do_not_agree_are_refused(splits, message):
    with pytest.raises(UsageError, match=message):
        ImageData(ArraySet(splits), 2).check()


@kinds
def test_smoke_is_made_up_of_the_same_arrays(data):
    smoke = data.smoke()
    smoke.check()
    assert smoke.info().class_names == data.info().class_names
    batch = next(smoke.train())
    expected = {name: (x.shape[1:], x.dtype) for name, x in data.example_batch.items()}
    assert {name: (x.shape[1:], x.dtype) for name, x in batch.items()} == expected
    assert sum(b["valid"].sum() for b in smoke.examples("test")) == smoke.size("test") > 0


def test_a_crop_by_itself_is_the_transform_of_a_labelled_image():
    bare = ImageData(
        Synthetic((9, 9, 3), 5, 20, 8), 4, seed=1,
        train_transform=RandomResizedCrop(6), eval_transform=ResizeCenterCrop(6, 6),
    )  # fmt: skip
    wrapped = dataclasses.replace(
        bare,
        train_transform=Labelled(RandomResizedCrop(6)),
        eval_transform=Labelled(ResizeCenterCrop(6, 6)),
    )
    assert_equal(take(wrapped, 6), take(bare, 6))
    # Runs of earlier versions have this in their training.json, and are resumed.
    described = describe(bare)["fields"]["train_transform"]
    assert described == {
        "new": "jresnet.data.crops:RandomResizedCrop",
        "fields": {"size": 6, "scale": [0.08, 1.0], "ratio": [0.75, 4 / 3]},
    }
    plain = ImageData(Synthetic((9, 9, 3), 5, 20, 8), 4)
    explicit = dataclasses.replace(plain, train_transform=Labelled(), eval_transform=Labelled())
    assert_equal(take(explicit, 3), take(plain, 3))
    with contextlib.closing(explicit.train()) as batches:
        assert next(batches).keys() == {"image", "label"}
