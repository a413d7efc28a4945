"""Training on images of three sizes: one program a bucket, killed and resumed, on 1 and 8 devices."""

import collections
import dataclasses

import jax
import pytest

from jresnet.data.buckets import Bucketed
from jresnet.data.fit import Fit
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from tests.data.test_buckets import SIZES, Boxed, Labels
from tests.train.test_feed import leaves, log
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.test_program import compilations
from tests.train.toy import classify, train

CROPS = Bucketed(tuple(Fit((*size, 3)) for size in SIZES))
DATA = ImageData(
    Labels(Boxed(48, 21)), 8, 8, train_transform=CROPS, eval_transform=CROPS, threads=2
)
PLAN = {"steps": 8, "eval_every": 4, "save_every": 2, "log_every": 2}


@dataclasses.dataclass(frozen=True)
class Dying(ImageData):
    """Data of a process that dies when the sixth batch is wanted."""

    def train(self, start=0, host=(0, 1)):
        for number, batch in enumerate(super().train(start, host), start):
            if number == 5:
                raise Killed
            yield batch


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with compilations() as names:
        fitted = train(folder, data=DATA, task=classify(), **PLAN)
    return fitted, log(folder), collections.Counter(names)


def test_one_program_a_bucket_for_training_and_one_for_evaluation(undisturbed):
    shapes = [batch["image"].shape[1:] for batch, _ in zip(DATA.train(), range(8), strict=False)]
    assert len(set(shapes)) == 3  # the eight steps meet all of them
    counted = undisturbed[2]
    assert counted["train_step"] == counted["eval_step"] == 3


def test_killed_and_resumed_to_the_same_bits_with_no_program_more(undisturbed, tmp_path):
    fitted, lines, _ = undisturbed
    fields = {field.name: getattr(DATA, field.name) for field in dataclasses.fields(DATA)}
    with pytest.raises(Killed):
        train(tmp_path, data=Dying(**fields), task=classify(), **PLAN)
    with compilations() as names:
        resumed = train(tmp_path, data=DATA, task=classify(), **PLAN)
    assert_bit_equal(resumed.state, fitted.state)
    assert resumed.metrics == fitted.metrics
    assert log(tmp_path) == lines
    counted = collections.Counter(names)
    assert counted["train_step"] == counted["eval_step"] == 3


def test_one_device_equals_eight(undisturbed, tmp_path):
    fitted, lines, _ = undisturbed
    eight = train(tmp_path, data=DATA, task=classify(), devices=8, **PLAN)
    for ours, theirs in zip(leaves(eight.state.params), leaves(fitted.state.params), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-2, abs=1e-4)
    for key, line in log(tmp_path).items():
        assert line == pytest.approx(lines[key], rel=2e-3, abs=1e-4)


def test_several_steps_a_dispatch_need_one_shape(tmp_path):
    with pytest.raises(UsageError, match="steps_per_dispatch=2: expected 1, the batches have 3"):
        train(tmp_path, data=DATA, task=classify(), **PLAN, steps_per_dispatch=2)
    assert jax.tree.leaves(list((tmp_path / "checkpoints").glob("[0-9]*"))) == []
