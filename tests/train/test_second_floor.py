"""Boxes and maps, two players, an agent with its world, a teacher: all on the one step and loop."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.data.normalisation import IMAGENET
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.resolve import default_data_dir, open_split
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.with_boxes import FitWithBoxes
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import MEMORY, summarize
from jresnet.tasks.detect import Detect
from jresnet.train.loop import Plan, fit
from jresnet.train.state import create
from jresnet.train.step import make_eval_step, make_train_step
from jresnet.weights.run import read_variables
from tests.models.tiny_detectors import tiny
from tests.tasks import catch, players, toys
from tests.train.test_loop import Killed, assert_bit_equal

PLAN = Plan(6, seed=1, eval_every=3, save_every=2, log_every=2)


def digits(count=64):
    source = open_split("digits", "train", default_data_dir())
    return {"image": np.stack([source[i]["image"] for i in range(count)])}


def rates(g, d):
    """A rate for each player."""
    transforms = {"g": optax.adam(g, b1=0.5), "d": optax.adam(d, b1=0.5)}
    return optax.partition(transforms, lambda params: {"g": "g", "d": "d"})


def kernel():
    return np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)


def detector():
    """A small Mask R-CNN."""
    return Detect(
        tiny("mask").clone(num_classes=4), IMAGENET, classes=("circle", "square", "triangle")
    )


def objects_data():
    shapes = ShapeObjects(48, 19)
    learnt, tested = (
        FitWithBoxes(limit=4, cells=14, training=training, runs=None if training else 129)
        for training in (True, False)
    )
    return ImageData(shapes, 16, 16, train_transform=learnt, eval_transform=tested, threads=1)


def cases():
    rng = np.random.default_rng(0)
    x = {
        s: {"x": rng.normal(size=(n, 4)).astype(np.float32)}
        for s, n in (("train", 48), ("test", 19))
    }
    seeds = {"seed": np.arange(19, dtype=np.uint32)}
    return {
        "scene": (toys.Scene(), toys.scene_data(), optax.adam(1e-2), None),
        "objects": (detector(), objects_data(), optax.sgd(1e-3), None),
        "players": (players.TwoPlayers(), toys.in_memory({"train": digits(), "test": digits(19)}), rates(2e-3, 1e-3), None),
        "catch": (catch.Catch(), toys.in_memory({"train": {"seed": np.arange(16, dtype=np.uint32)}, "test": seeds}), optax.adam(5e-3), None),
        "imitate": (toys.Imitate(), toys.in_memory(x), optax.sgd(0.3), {"kernel": kernel()}),
    }  # fmt: skip


def train(name, folder, plan=PLAN, devices=1, data=None, optimizer=None):
    task, usual_data, usual, constants = cases()[name]
    optimizer, data = optimizer or usual, data or usual_data
    mesh = make_mesh(devices)
    return fit(task, optimizer, data, plan, folder, name, mesh, constants=constants)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@dataclasses.dataclass(frozen=True)
class Dying(ImageData):
    """Data of a process that dies when the fifth batch is wanted."""

    def train(self, start=0, host=(0, 1)):
        for number, batch in enumerate(super().train(start, host), start):
            if number == 4:
                raise Killed
            yield batch


def fields(data):
    return {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, {name: train(name, folder / name) for name in cases()}


@pytest.mark.parametrize("name", cases())
def test_killed_and_resumed_to_the_same_bits(name, undisturbed, tmp_path):
    with pytest.raises(Killed):
        train(name, tmp_path, data=Dying(**fields(cases()[name][1])))
    assert (tmp_path / "checkpoints" / "2").is_dir()
    resumed = train(name, tmp_path)
    folder, fitted = undisturbed
    assert_bit_equal(resumed.state, fitted[name].state)
    assert resumed.metrics == fitted[name].metrics
    assert (tmp_path / "metrics.jsonl").read_bytes() == (
        folder / name / "metrics.jsonl"
    ).read_bytes()


@pytest.mark.parametrize("name", cases())
def test_one_device_equals_eight(name, undisturbed, tmp_path):
    folder, fitted = undisturbed
    eight = train(name, tmp_path, devices=8)
    assert jax.tree.leaves(eight.state.params)[0].sharding.num_devices == 8
    for one, other in zip(lines(folder / name), lines(tmp_path), strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"split"}:
            assert one[key] == pytest.approx(other[key], rel=2e-3, abs=2e-4), key
    assert eight.metrics.keys() == fitted[name].metrics.keys()


@pytest.mark.slow
def test_scenes_from_worker_processes_are_the_same_training(undisturbed, tmp_path):
    fitted = train("scene", tmp_path, data=toys.scene_data(workers=2))
    assert_bit_equal(fitted.state, undisturbed[1]["scene"].state)


def test_a_scene_is_learnt_with_its_boxes_and_its_map(undisturbed, tmp_path):
    before = undisturbed[1]["scene"].metrics["test"]
    after = train(
        "scene", tmp_path, dataclasses.replace(PLAN, steps=120, eval_every=None, save_every=None)
    )
    assert set(before) == {"loss", "off", "miou", "median_off"}
    assert after.metrics["test"]["miou"] > 0.9 > before["miou"]
    assert after.metrics["test"]["median_off"] < 0.75 * before["median_off"]
    record = lines(tmp_path)[0]
    assert set(record) == {"step", "split", "loss", "off", "miou"}  # a matrix became a number
    timing = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert any("scenes_per_second" in record for record in timing)


def test_metrics_of_padded_rows_and_of_any_batch_size_are_those_of_each_example():
    task, data, *_ = cases()["scene"]
    variables = task.init(jax.random.key(0), next(data.examples("test", (0, 1))))
    step, nothing = make_eval_step(task)
    results = []
    for size in (1, 16, 19):
        sums = None
        collector = task.collector()
        for batch in dataclasses.replace(data, eval_batch_size=size).examples("test", (0, 1)):
            sums, outputs = jax.jit(step)(variables, batch, sums or nothing(variables, batch))
            real = np.asarray(outputs.pop("valid")) > 0
            collector.add({k: np.asarray(v)[real] for k, v in outputs.items()})
        assert sums["examples"][0] == 19
        results.append(summarize(task, sums) | collector.result())
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-5)


def test_sums_and_outputs_are_one_pass_of_the_net():
    task, data, *_ = cases()["scene"]
    batch = next(data.examples("test", (0, 1)))
    variables = task.init(jax.random.key(0), batch)
    step, nothing = make_eval_step(task)
    compiled = jax.jit(step).lower(variables, batch, nothing(variables, batch)).compile()
    alone = jax.jit(task.evaluate).lower(variables, batch).compile()
    counts = [program.as_text().count("convolution(") for program in (compiled, alone)]
    assert counts[0] == counts[1] > 0


def test_two_players_in_one_scalar_have_each_its_own_gradient():
    task, *_ = cases()["players"]
    images = jnp.asarray(digits(16)["image"]) / 255.0
    params = task.init(jax.random.key(0), {"image": images})["params"]
    z = jax.random.normal(jax.random.key(1), (16, task.noise))

    def losses(params):
        return task.players(params, images, z)

    def open_losses(params):
        return task.players(params, images, z, frozen=lambda x: x)

    both = jax.grad(lambda p: sum(losses(p)).mean())(params)
    painter = jax.grad(lambda p: open_losses(p)[0].mean())(params)["g"]
    critic = jax.grad(lambda p: open_losses(p)[1].mean())(params)["d"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), both["g"], painter)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), both["d"], critic)
    # With a rate of 0 one of them stands still.
    step = make_train_step(task, rates(0.0, 1e-3), jax.random.key(0))
    state = create(task, rates(0.0, 1e-3), jax.random.key(0), {"image": images}, ema=False)
    after, _ = jax.jit(step)(state, digits(16))
    assert_bit_equal(after.params["g"], state.params["g"])
    assert any(
        (a != b).any()
        for a, b in zip(
            jax.tree.leaves(after.params["d"]), jax.tree.leaves(state.params["d"]), strict=True
        )
    )


def test_the_critic_learns_to_tell_digits_from_paint(tmp_path):
    plan = dataclasses.replace(PLAN, steps=60, eval_every=None, save_every=None)
    fitted = train("players", tmp_path, plan, optimizer=rates(0.0, 1e-2))
    assert fitted.metrics["test"]["critic"] < 0.7  # by chance 2 log 2, which is 1.39


def test_an_agent_learns_the_game_that_its_memory_holds(tmp_path):
    plan = dataclasses.replace(PLAN, steps=250, eval_every=None, save_every=None, log_every=50)
    fitted = train("catch", tmp_path, plan)
    returns = [r["return"] for r in lines(tmp_path) if r["split"] == "train"]
    assert returns[0] < 0.2
    assert fitted.metrics["test"]["return"] > 0.9
    memory = fitted.state.model_state[MEMORY]
    assert memory["frames"] == 250 * catch.WORLDS * catch.TURNS


def test_memory_is_saved_whole_and_neither_averaged_nor_read_with_the_net(tmp_path):
    plan = dataclasses.replace(PLAN, ema_decay=0.5)
    fitted = train("catch", tmp_path, plan)
    assert fitted.state.average is not None
    assert MEMORY not in fitted.state.average
    assert_bit_equal(fitted.state.evaluated[MEMORY], fitted.state.model_state[MEMORY])
    assert set(read_variables(tmp_path / "checkpoints")) == {"params"}
    assert_bit_equal(train("catch", tmp_path, plan).state, fitted.state)


def test_a_constant_is_neither_trained_nor_saved(undisturbed, tmp_path):
    folder, fitted = undisturbed
    assert set(fitted["imitate"].state.params) == {"kernel"}
    assert fitted["imitate"].state.model_state == {}
    assert set(read_variables(folder / "imitate" / "checkpoints")) == {"params"}
    plan = dataclasses.replace(PLAN, steps=120, eval_every=None, save_every=None)
    learnt = train("imitate", tmp_path, plan).state.params["kernel"]
    np.testing.assert_allclose(learnt, kernel(), atol=1e-3)


def test_an_array_that_nothing_makes_numbers_of_is_refused():
    with pytest.raises(
        TypeError, match="metrics confusion are arrays: expected a task with a summary"
    ):
        summarize(toys.Imitate(), {"confusion": (np.eye(2), np.ones(()))})
