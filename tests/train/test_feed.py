"""Sets that lie on the device, and several steps a dispatch: the same training."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.runtime.mesh import make_mesh
from jresnet.train.feed import Feed
from jresnet.train.loop import Plan
from tests.train.toy import DATA, train

ON_DEVICE = dataclasses.replace(DATA, on_device=True)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def log(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {(line.pop("step"), line.pop("split")): line for line in lines}


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed")
    return train(folder, log_every=2), log(folder)


@pytest.mark.parametrize(
    ("devices", "together"), [(8, 1), (1, 2)], ids=["eight devices", "two steps a dispatch"]
)
def test_the_same_training_as_with_batches_from_the_host(tmp_path, streamed, devices, together):
    fitted, lines = streamed
    resident = train(
        tmp_path, data=ON_DEVICE, devices=devices, log_every=2, steps_per_dispatch=together
    )
    for ours, theirs in zip(
        leaves(resident.state.params), leaves(fitted.state.params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    ours = log(tmp_path)
    assert ours.keys() == lines.keys()
    for key, line in lines.items():
        assert ours[key] == pytest.approx(line, rel=1e-3)


@pytest.mark.parametrize("host", [(0, 1), (1, 2)])
def test_rows_are_those_of_the_batches(host):
    arrays = ON_DEVICE.resident()
    assert arrays is not None
    assert len(arrays["label"]) == 72
    rows, batches = ON_DEVICE.rows(3, host), ON_DEVICE.train(3, host)
    for _ in range(6):  # into the second epoch
        row, batch = next(rows)["row"], next(batches)
        for name, values in arrays.items():
            np.testing.assert_array_equal(values[row], batch[name])


def test_only_numbers_of_rows_are_moved_to_the_device():
    feed = Feed(ON_DEVICE, make_mesh(1), steps=3)
    (shapes,) = feed.shapes
    assert {name: (x.shape, x.dtype) for name, x in shapes.items()} == {"row": ((3, 16), np.int32)}
    batches = next(feed.batches(0, (0, 1)))
    np.testing.assert_array_equal(
        feed.first(batches)["image"], next(DATA.train(0, (0, 1)))["image"]
    )


def test_sets_stay_on_the_host_of_a_cpu_unless_asked_for():
    assert DATA.resident() is None
    (shapes,) = Feed(DATA, make_mesh(1)).shapes
    assert shapes["image"].shape == (16, 8, 8, 3)


@pytest.mark.parametrize("field", ["steps", "eval_every", "save_every", "log_every"])
def test_what_is_due_between_the_steps_of_a_dispatch_is_refused(field):
    fields = {"steps": 8, "eval_every": 8, "save_every": 8, "log_every": 8, field: 6}
    with pytest.raises(UsageError, match=f"{field}=6: expected a multiple of steps_per_dispatch=4"):
        Plan(**fields, steps_per_dispatch=4)
