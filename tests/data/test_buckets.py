"""Buckets: examples of mixed size, one shape of batches a bucket."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest

from jresnet.data.buckets import (
    Bucketed,
    Buckets,
    measured,
    nearest_proportions,
    smallest_that_holds,
)
from jresnet.data.features import FeatureData
from jresnet.data.fit import Fit
from jresnet.data.order import BucketOrder
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from tests.data.kinds import SIZES, Boxed, PaddedBoxes
from tests.data.test_pipeline import assert_equal, join, take

BUCKETED = Bucketed(tuple(PaddedBoxes(*size) for size in SIZES))
DATA = ImageData(
    Boxed(), 4, 4, seed=2, threads=2, train_transform=BUCKETED, eval_transform=BUCKETED
)
ONCE = dataclasses.replace(DATA, transform_once=True)
both = pytest.mark.parametrize("data", [DATA, ONCE], ids=["streamed", "in memory"])


def sizes_of(data, split="train"):
    """(height, width) of each example as it is stored."""
    return [tuple(size) for size in measured(data.source(split), "image").tolist()]


def test_proportions_and_room_choose_a_bucket():
    buckets = [(30, 40), (40, 30), (40, 40)]
    assert [nearest_proportions(size, buckets) for size in ((3, 4), (600, 401), (50, 51))] == [0, 1, 2]  # fmt: skip
    assert nearest_proportions((9, 300, 400), [(9, *bucket) for bucket in buckets]) == 0
    assert [smallest_that_holds(size, buckets) for size in ((30, 30), (31, 30), (31, 31), (50, 2))] == [0, 1, 2, 2]  # fmt: skip


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("sizes", [(37, 21, 3), (8, 8), (1, 50), (5, 0, 6), (2, 1)])
def test_each_bucket_gives_whole_permutations_cut_into_batches(sizes, repeats):
    number = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    buckets = Buckets.grouped(number, len(sizes))
    order = BucketOrder(buckets, 4, seed=5, repeats=repeats)
    epochs = 12
    steps = sum(epochs * repeats * size // 4 for size in sizes)
    dealt = collections.defaultdict(list)
    for step in range(steps):
        rows = [order[4 * step + row] for row in range(4)]
        (bucket,) = set(number[rows].tolist())
        dealt[bucket] += rows
    for bucket, size in enumerate(sizes):
        # All that twelve epochs give but the remainder, which opens the next batch.
        assert len(dealt[bucket]) == 4 * (epochs * repeats * size // 4)
        stream = dealt[bucket]
        for first in range(0, len(stream) // (size * repeats or 1)):
            epoch = stream[first * size * repeats : (first + 1) * size * repeats]
            counts = collections.Counter(epoch)
            assert set(counts) == set(buckets.members[bucket].tolist())
            assert set(counts.values()) == {repeats}


@pytest.mark.slow
def test_the_order_is_a_function_of_seed_and_step():
    buckets = Buckets.grouped(np.arange(50) % 3, 3)
    order = BucketOrder(buckets, 4, seed=5)
    forwards = [order[place] for place in range(400)]
    other = BucketOrder(buckets, 4, seed=5)
    assert [other[place] for place in reversed(range(400))] == forwards[::-1]
    assert [BucketOrder(buckets, 4, seed=6)[place] for place in range(400)] != forwards
    # Buckets take turns at random, and no two epochs are alike.
    turns = [order.batch(step)[0] for step in range(100)]
    assert turns[:12] != sorted(turns[:12])
    assert turns[:12] != turns[12:24]
    # A run that is resumed after an upgrade goes on with the same examples.
    assert forwards[:12] == [48, 27, 21, 15, 25, 4, 28, 34, 23, 2, 14, 44]


@both
def test_a_batch_has_one_of_the_shapes_and_every_example_lies_in_that_of_its_size(data):
    data.check()
    shapes = {batch["image"].shape for batch in data.example_batches}
    assert shapes == {(4, *size, 3) for size in SIZES}
    stored = sizes_of(data)
    assert set(stored) == set(SIZES)
    source, transforms = data.source("train"), data._split("train").transforms
    images = {
        transforms[SIZES.index(stored[i])](source[i], np.random.default_rng(0))["image"].tobytes()
        for i in range(37)
    }
    met = collections.Counter()
    for batch in take(data, 30):
        assert batch["image"].shape in shapes
        assert {name: x.dtype for name, x in batch.items()} == {
            name: x.dtype for name, x in data.example_batch.items()
        }
        met.update(image.tobytes() for image in batch["image"])
    assert set(met) == images
    assert max(met.values()) - min(met.values()) <= 2  # 120 rows of 37 examples in three buckets


@both
def test_hosts_and_where_it_starts_change_nothing(data):
    expected, evaluated = take(data, 14), list(data.examples("test"))
    assert_equal(take(data, 5, 9), expected[9:])
    for count in (2, 4):
        assert_equal(join([take(data, 5, 9, (h, count)) for h in range(count)]), expected[9:])
        assert_equal(
            join([list(data.examples("test", (h, count))) for h in range(count)]), evaluated
        )


def test_in_memory_is_the_same_as_streamed():
    assert_equal(take(ONCE, 20), take(DATA, 20))
    assert_equal(list(ONCE.examples("test")), list(DATA.examples("test")))
    with pytest.raises(UsageError, match="not held in memory in one bucket"):
        dataclasses.replace(ONCE, on_device=True).resident()


@both
@pytest.mark.parametrize("size", [1, 21])
def test_evaluation_meets_each_example_once_bucket_by_bucket(data, size):
    data = dataclasses.replace(data, dataset=Boxed(test_size=size))
    stored = sizes_of(data, "test")
    batches = list(data.examples("test"))
    shapes = [batch["image"].shape for batch in batches]
    assert len(shapes) == sum(-(-stored.count(kind) // 4) for kind in SIZES)
    assert sum(a != b for a, b in itertools.pairwise(shapes)) == len(set(shapes)) - 1
    index = np.concatenate([b["index"][b["valid"] > 0] for b in batches])
    assert sorted(index.tolist()) == list(range(size))
    source, transforms = data.source("test"), data._split("test").transforms
    for batch in batches:
        for row, place in enumerate(batch["index"].tolist()):
            transform = transforms[SIZES.index(stored[place])]
            expected = transform(source[place], np.random.default_rng(0))
            assert_equal([{name: batch[name][row] for name in expected}], [expected])


def test_a_broken_file_has_a_stand_in_of_its_bucket(caplog):
    size = 250
    data = dataclasses.replace(DATA, dataset=Boxed(size, size, damaged=(40, 41)))
    stored = sizes_of(data)
    assert stored[40] == stored[41] == (0, 0)
    batches = take(data, 80)
    assert sorted(line.partition(":")[0] for line in data.broken()) == [
        "boxed train 40.png", "boxed train 41.png",
    ]  # fmt: skip
    kinds = {name: {x.shape for x in (batch[name] for batch in batches)} for name in batches[0]}
    assert len(kinds["image"]) == 3
    tested = list(data.examples("test"))
    broken, index = (np.concatenate([b[key] for b in tested]) for key in ("broken", "index"))
    assert index[broken > 0].tolist() == [40, 41]
    assert sum(b["valid"].sum() for b in tested) == size - 2


def test_an_empty_bucket_has_no_program_and_no_batches():
    data = dataclasses.replace(DATA, dataset=Boxed(sizes=SIZES[:2]))
    data.check()
    assert [b["image"].shape for b in data.example_batches] == [(4, *s, 3) for s in SIZES[:2]]
    assert {b["image"].shape for b in take(data, 20)} == {(4, *s, 3) for s in SIZES[:2]}
    assert sum(b["valid"].sum() for b in data.examples("test")) == 21


class Counted:
    """A source that counts how often it is read."""

    def __init__(self, source, known=None):
        self.source, self.reads = source, collections.Counter()
        if known is not None:
            self.sizes = lambda: np.array(known)

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.source[index]

    def describe(self, index):
        return self.source.describe(index)


@dataclasses.dataclass(frozen=True, eq=False)
class Watched:
    dataset: Boxed
    sources: dict
    known: bool = False

    def info(self):
        return self.dataset.info()

    def open(self, split, encoded=False):
        source = self.dataset.open(split, encoded)
        known = measured(source, "image") if self.known else None
        return self.sources.setdefault(split, Counted(source, known))


@pytest.mark.parametrize("known", [False, True])
def test_headers_are_read_once_and_not_where_the_source_has_an_index(known):
    watched = Watched(Boxed(), {}, known)
    data = dataclasses.replace(DATA, dataset=watched)
    data.check()
    _ = data.example_batches
    first = data._split("train").buckets
    assert watched.sources["train"].reads == ({} if known else dict.fromkeys(range(37), 1))
    assert first.number.tolist() == DATA._split("train").buckets.number.tolist()


def test_features_of_images_in_buckets_lie_in_the_split_s_order():
    crops = Bucketed(tuple(Fit((*size, 3)) for size in SIZES))
    dataset = Labels(Boxed())
    data = ImageData(dataset, 4, 4, train_transform=crops, eval_transform=crops, threads=2)
    features = FeatureData(data, lambda x: np.asarray(x, np.float32).mean((1, 2)))
    index = np.concatenate([b["index"] for b in features.examples("test")])
    assert index.tolist() == [*range(21), 20, 20, 20]
    labels = np.concatenate([b["label"] for b in features.examples("test")])[:21]
    assert labels.tolist() == [dataset.open("test", True)[i]["label"] for i in range(21)]


@dataclasses.dataclass(frozen=True)
class Labels:
    """The images of boxes with the number of their boxes as a class."""

    dataset: Boxed

    def info(self):
        return dataclasses.replace(self.dataset.info(), num_classes=3, class_names=("0", "1", "2"), class_of="image")  # fmt: skip

    def open(self, split, encoded=False):
        return LabelSource(self.dataset.open(split, encoded))


@dataclasses.dataclass(frozen=True)
class LabelSource:
    source: object

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        example = self.source[index]
        return {"image": example["image"], "label": len(example["boxes"])}

    def describe(self, index):
        return self.source.describe(index)
