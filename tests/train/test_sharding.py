"""Shardings by rule: what each device holds, the same numbers, checkpoints on any layout."""

import dataclasses
import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from jresnet.errors import UsageError
from jresnet.runtime.mesh import make_mesh, put_batch
from jresnet.tasks.base import MEMORY
from jresnet.train import checksums as sums
from jresnet.train.feed import Feed
from jresnet.train.loop import Plan, fit
from jresnet.train.setup import compiled, initialisation, spread
from jresnet.train.sharding import variable_shardings
from jresnet.train.step import make_eval_step, make_train_step
from jresnet.weights.run import checksum, read_variables
from tests.tasks import catch, identities, toys
from tests.train.sharded import RULES
from tests.train.test_loop import assert_bit_equal
from tests.train.toy import DATA, classify

SPLITS = {"train": identities.identities(64, 1), "test": identities.identities(19, 2)}
PLAN = Plan(4, seed=1, eval_every=2, save_every=2, log_every=1, ema_decay=0.5)
MESHES = ((8, 4), (8, 8), (8, 1), (1, 1), (2, 2))


def train(folder, devices=1, model=1, task=None, rules=RULES, splits=None, **changes):
    task, mesh = task or identities.Identify(), make_mesh(devices, model)
    plan = dataclasses.replace(PLAN, **changes)
    data = toys.in_memory(splits or SPLITS)
    return fit(task, optax.adam(1e-2), data, plan, folder, "toy", mesh, sharding=rules)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_close(one, other):
    """To what another order of addition makes of it."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5), one, other)


def class_matrices(state):
    """The class matrix, its two moments, its average."""
    moments = state.opt_state[0]
    trees = (state.params, moments.mu, moments.nu, state.average["params"])
    return [tree["head"]["kernel"] for tree in trees]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder and outcome of the same training on several meshes."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        mesh: (folder / "x".join(map(str, mesh)), train(folder / "x".join(map(str, mesh)), *mesh))
        for mesh in MESHES
    }


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """Six steps on one device."""
    return train(tmp_path_factory.mktemp("longer"), steps=6)


@pytest.mark.parametrize("mesh", MESHES)
def test_each_device_holds_its_share_of_the_classes_moments_and_average_too(runs, mesh):
    devices, model = mesh
    for leaf in class_matrices(runs[mesh][1].state):
        shards = leaf.addressable_shards
        assert len(shards) == devices
        assert {shard.data.shape for shard in shards} == {
            (identities.FEATURES, identities.CLASSES // model)
        }
    dense = runs[mesh][1].state.params["dense1"]["kernel"]
    assert dense.sharding.is_fully_replicated


@pytest.mark.parametrize("mesh", MESHES)
def test_losses_metrics_and_state_are_those_of_one_device(runs, mesh):
    (folder, fitted), (alone, expected) = runs[mesh], runs[1, 1]
    for one, other in zip(records(folder), records(alone), strict=True):
        assert (one.pop("split"), one["step"]) == (other.pop("split"), other["step"])
        assert one == pytest.approx(other, rel=1e-4)
    assert_close(fitted.state, expected.state)
    losses = [record["loss"] for record in records(alone) if record["split"] == "train"]
    assert losses[0] > np.log(identities.CLASSES)  # a margin makes it harder than chance
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("saved", [(8, 4), (8, 8)])
@pytest.mark.parametrize("restored", [(1, 1), (2, 2), (2, 1), (8, 4)])
def test_saved_on_eight_it_is_restored_on_fewer_to_the_bit_and_goes_on(
    runs, longer, saved, restored, tmp_path
):
    folder, fitted = runs[saved]
    shutil.copytree(folder, tmp_path / "run")
    again = train(tmp_path / "run", *restored)
    assert_bit_equal(again.state, fitted.state)
    for leaf in class_matrices(again.state):
        assert leaf.addressable_shards[0].data.shape[1] == identities.CLASSES // restored[1]
    on = train(tmp_path / "run", *restored, steps=6)
    assert int(on.state.step) == 6
    assert_close(on.state, longer.state)


def test_variables_are_read_on_one_device_whoever_saved_them(runs):
    for folder, fitted in runs.values():
        variables = read_variables(folder / "checkpoints")
        assert isinstance(variables["params"]["head"]["kernel"], np.ndarray)
        assert_bit_equal(variables, fitted.state.average)


def program(devices, model, rules=RULES, steps=1):
    """The compiled train step, or the program of several of them."""
    task, optimizer, mesh = identities.Identify(), optax.adam(1e-2), make_mesh(devices, model)
    data = toys.in_memory(SPLITS)
    example = spread(data.example_batch, mesh)
    _, state = initialisation(task, optimizer, 0.5, example, mesh, rules)
    step: Any
    step, _ = compiled(
        lambda key, _: make_train_step(task, optimizer, key, ema_decay=0.5),
        jax.random.key(0),
        state,
        Feed(data, mesh, steps),
    )
    (program,) = step.programs.values()
    return program


WHOLE = re.compile(rf"f32\[(?:\d+,)*{identities.CLASSES}(?:,\d+)*\]")


@pytest.mark.parametrize(("mesh", "steps"), [((8, 4), 1), ((8, 8), 1), ((8, 4), 2)])
def test_no_device_ever_has_the_whole_class_matrix(mesh, steps):
    step, whole = program(*mesh, steps=steps), program(mesh[0], 1, steps=steps)
    matrix = identities.FEATURES * identities.CLASSES * 4
    memory, other = step.memory_analysis(), whole.memory_analysis()
    saved = 4 * (matrix - matrix // mesh[1])  # the matrix, two moments, the average
    assert other.alias_size_in_bytes - memory.alias_size_in_bytes == saved
    batch = steps * 16 * (identities.FEATURES + 1) * 4  # rows are spread over the devices of `data`
    rows = batch // (mesh[0] // mesh[1]) - batch // mesh[0]
    assert other.argument_size_in_bytes - memory.argument_size_in_bytes == saved - rows
    # Neither the matrix nor logits of all classes; of the unsharded program both are found.
    assert not WHOLE.findall(step.as_text())
    assert WHOLE.findall(whole.as_text())


def test_an_evaluation_gathers_no_class_matrix_either():
    task, mesh = identities.Identify(), make_mesh(8, 4)
    batch = {name: rows[:16] for name, rows in SPLITS["test"].items()}
    batch["valid"] = np.ones(16, np.float32)
    variables = task.init(jax.random.key(0), batch)
    step, empty = make_eval_step(task)
    laid = jax.device_put(variables, variable_shardings(variables, RULES, mesh))
    rows = put_batch(batch, mesh)
    text: Any = jax.jit(step).lower(laid, rows, empty(laid, rows)).compile().as_text()
    assert not WHOLE.findall(text)
    assert f"{identities.CLASSES // 4}]" in text


def test_the_default_rules_are_the_program_without_rules():
    def lines(rules):
        text = program(8, 1, rules).as_text()
        return [
            re.sub(r", metadata=\{.*?\}", "", line) for line in text.splitlines() if " = " in line
        ]

    assert lines(()) == lines(RULES)  # an axis of one device


def test_the_loss_over_sharded_classes_is_that_of_the_whole():
    task = identities.Identify()
    batch = {name: jnp.asarray(rows[:16]) for name, rows in SPLITS["train"].items()}
    variables = task.init(jax.random.key(0), batch)

    def gradient(variables, batch):
        loss = lambda params: task.loss({"params": params}, batch, jax.random.key(0))[0]  # noqa: E731
        return jax.value_and_grad(loss)(variables["params"])

    expected = jax.jit(gradient)(variables, batch)
    for devices, model in ((8, 4), (8, 8)):
        layout = variable_shardings(variables, RULES, make_mesh(devices, model))
        laid = jax.device_put(variables, layout)
        value, gradients = jax.jit(gradient)(laid, batch)
        assert float(value) == pytest.approx(float(expected[0]), rel=1e-6)
        assert gradients["head"]["kernel"].sharding.spec == P(None, "model")
        assert_close(gradients, expected[1])


@pytest.mark.parametrize("steps_per_dispatch", [1, 2])
def test_a_classifier_with_a_sharded_head_has_the_same_losses(tmp_path, steps_per_dispatch):
    plan = {"accumulate": 2, "steps_per_dispatch": steps_per_dispatch, "log_every": 2}
    for name, devices, model in (("1", 1, 1), ("8", 8, 2)):
        fit(
            classify(),
            optax.sgd(0.1, momentum=0.9),
            DATA,
            dataclasses.replace(PLAN, **plan),
            tmp_path / name,
            mesh=make_mesh(devices, model),
            sharding=[("head/kernel", P(None, "model")), ("head/bias", P("model"))],
        )
    for one, other in zip(records(tmp_path / "1"), records(tmp_path / "8"), strict=True):
        assert one["error"] == other["error"]
        assert one["loss"] == pytest.approx(other["loss"], rel=2e-4)


def test_memory_is_spread_over_data(tmp_path):
    splits = {
        split: {"seed": np.arange(size, dtype=np.uint32)}
        for split, size in (("train", 16), ("test", 19))
    }
    fitted = {
        devices: train(
            tmp_path / str(devices),
            devices,
            task=catch.Catch(),
            splits=splits,
            rules=[(f"^{MEMORY}/worlds", P("data"))],
        )
        for devices in (1, 8)
    }
    worlds = fitted[8].state.model_state[MEMORY]["worlds"]
    assert {shard.data.shape for shard in worlds.addressable_shards} == {(catch.WORLDS // 8, 3)}
    assert_bit_equal(fitted[8].state.model_state, fitted[1].state.model_state)
    assert_close(fitted[8].state.params, fitted[1].state.params)
    shutil.copytree(tmp_path / "8", tmp_path / "again")
    again = train(
        tmp_path / "again",
        2,
        task=catch.Catch(),
        splits=splits,
        rules=[(f"^{MEMORY}/worlds", P("data"))],
    )
    assert_bit_equal(again.state, fitted[8].state)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.int8, bool])
@pytest.mark.parametrize("shape", [(6, 5), (), (3, 0)])
def test_checksums_of_parts_are_those_of_the_whole(shape, dtype):
    rng = np.random.default_rng(0)
    whole = (rng.normal(size=shape) * 9).astype(dtype)
    assert checksum(whole) == zlib.crc32(whole.tobytes())
    for count in (1, 2, 3, 4):
        owner = rng.integers(0, count, shape)
        parts = [
            checksum(np.where(owner == one, whole, np.zeros((), dtype))) for one in range(count)
        ]
        assert sums._combine(tuple(parts), whole.nbytes) == checksum(whole)


def test_a_url_is_no_folder_of_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("gs://bucket/run", "s3://bucket/run"):
        with pytest.raises(UsageError, match="expected a path on this machine, not a URL"):
            train(Path(folder))
    assert not list(tmp_path.iterdir())
