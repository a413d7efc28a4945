"""Small batches on many devices: filled up, with every example counted once and the same results."""

import json

import jax
import numpy as np
import pytest

from experiments.restyle import restyle
from experiments.style import style
from experiments.upscale import upscale
from jresnet.data.one_batch import OneBatch
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.errors import UsageError
from jresnet.run import readiness
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.runtime.mesh import make_mesh
from jresnet.train.data import changes_for_devices, for_devices
from jresnet.weights.run import read_variables
from tests.data.conftest import encode, photograph
from tests.test_experiments import SMALL, defaults

SET = ImageData(Synthetic((4, 4, 3), 5, 24, 9), 4, eval_batch_size=3, fill=True)


def test_rows_are_repeated_in_training_and_counted_once_in_evaluation():
    data = for_devices(SET, 8)
    assert (data.batch_size, data.eval_batch_size) == (8, 8)
    assert changes_for_devices(SET, data, 8) == (
        "batch_size 4 becomes 8, eval_batch_size 3 becomes 8, filled up for 8 devices"
    )
    one, eight = next(SET.train(3)), next(data.train(3))
    shapes = {name: (x.shape, x.dtype) for name, x in data.example_batch.items()}
    assert shapes == {name: (x.shape, x.dtype) for name, x in eight.items()}
    for name, rows in one.items():
        np.testing.assert_array_equal(eight[name][::2], rows)
        np.testing.assert_array_equal(eight[name][1::2], rows)
    batches = list(data.examples("test"))
    assert [len(batch["valid"]) for batch in batches] == [8, 8]
    index = np.concatenate([batch["index"][batch["valid"] > 0] for batch in batches])
    assert sorted(index) == list(range(9))


def test_batches_that_divide_and_those_that_were_asked_for_stay():
    assert for_devices(SET, 1) is SET
    assert changes_for_devices(SET, SET, 1) == ""
    whole = ImageData(SET.dataset, 8, eval_batch_size=16, fill=True)
    assert for_devices(whole, 8) is whole
    strict = ImageData(SET.dataset, 4, eval_batch_size=3)
    assert for_devices(strict, 8) is strict
    pictures = np.zeros((3, 4, 4, 3), np.uint8)
    assert for_devices(OneBatch(pictures, ("a", "b", "c")), 8).batch_size == 8
    assert for_devices(OneBatch(pictures, ("a", "b", "c"), 3), 8).batch_size == 3


@pytest.mark.parametrize("function", [upscale, restyle, style])
def test_defaults_can_begin_on_eight_devices(function):
    small = {"depth": 8} if function is not upscale else {"plain": False}
    experiment = next(iter(function(**defaults(function) | small).runs.values()))
    readiness.check([(experiment.task, experiment.data, experiment.plan)], make_mesh(8))


def test_a_batch_that_was_asked_for_is_still_refused():
    experiment = next(iter(style(**defaults(style) | {"depth": 8, "batch_size": 3}).runs.values()))
    with pytest.raises(UsageError, match="batch_size=3: expected a multiple of the 8 devices"):
        readiness.check([(experiment.task, experiment.data, experiment.plan)], make_mesh(8))


@pytest.mark.slow
@pytest.mark.parametrize("function", [upscale, style])
def test_one_device_and_eight_give_the_same(function, tmp_path):
    arguments = defaults(function) | SMALL[function.__name__] | {"steps": 3}
    if function is upscale:
        for split, sizes in (("train", [(40, 40)] * 2), ("test", [(30, 36), (41, 33), (20, 24)])):
            for number, size in enumerate(sizes):
                path = tmp_path / "set" / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode(photograph(*size, 17)))
        arguments |= {"dataset": tmp_path / "set", "patch": 8, "batch_size": 8}
    results = []
    for devices in (1, 8):
        folder = tmp_path / str(devices)
        run(function, arguments, RunOptions(workdir=folder, devices=devices, pictures=0))
        (path,) = folder.rglob("result.json")
        results.append((json.loads(path.read_text())["metrics"]["test"], read_variables(path.parent / "checkpoints")["params"]))  # fmt: skip
    (one, params), (eight, others) = results
    assert one.keys() == eight.keys()
    for name, value in one.items():
        assert eight[name] == pytest.approx(value, rel=2e-3), name
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), params, others)
