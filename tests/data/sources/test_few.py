"""A few examples of each class."""

import numpy as np
import pytest

from jresnet.data.pipeline import ImageData
from jresnet.data.sources.few import PerClass
from jresnet.data.sources.synthetic import Synthetic
from jresnet.errors import UsageError

WHOLE = Synthetic((4, 4, 3), 5, train_size=43, test_size=10)


def examples(count, seed=0):
    source = PerClass(WHOLE, count, seed).open("train")
    return [source[i] for i in range(len(source))]


def key(example):
    return example["label"], example["image"].tobytes()


def test_each_class_has_as_many_and_none_twice():
    drawn = examples(3)
    assert np.bincount([e["label"] for e in drawn]).tolist() == [3] * 5
    assert len({key(e) for e in drawn}) == 15
    assert PerClass(WHOLE, 3).info().sizes == {"train": 15, "test": 10}


def test_less_is_contained_in_more_and_seeds_draw_differently():
    few, more = ({key(e) for e in examples(n)} for n in (2, 6))
    assert few < more
    assert few != {key(e) for e in examples(2, seed=1)}
    assert few == {key(e) for e in examples(2)}


def test_the_test_split_stays_whole_and_batches_come_from_the_few():
    data = ImageData(PerClass(WHOLE, 2), 5)
    data.check()
    assert (data.size("train"), data.size("test")) == (10, 10)
    batches = data.train()
    seen = {image.tobytes() for _ in range(2) for image in next(batches)["image"]}
    assert seen == {image for _, image in map(key, examples(2))}


@pytest.mark.parametrize("count", [0, 9])
def test_a_class_with_too_few_is_named(count):
    with pytest.raises(UsageError, match=rf"per_class={count}: class '3' .* has 8 examples|take 1"):
        PerClass(WHOLE, count).open("train")
