"""Shardings by rule: what each device holds, the same numbers, checkpoints on any layout."""

import collections
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
from jresnet.models import zoo
from jresnet.models.scan import unstack
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.run.readiness import check_sharding
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import MEMORY
from jresnet.train import checksums as sums
from jresnet.train.checkpoint import Checkpoints
from jresnet.train.feed import Feed
from jresnet.train.loop import Plan, fit
from jresnet.train.setup import compiled, initialisation, spread
from jresnet.train.sharding import lay_out, variable_shardings
from jresnet.train.state import create, starting_from
from jresnet.train.step import make_train_step
from jresnet.weights.run import checksum, read_variables
from tests.nets import random_variables
from tests.tasks import toys
from tests.train.sharded import RULES, sharded
from tests.train.test_loop import assert_bit_equal
from tests.train.toy import DATA, classify

SPLITS = {"train": toys.identities(64, 1), "test": toys.identities(19, 2)}
PLAN = Plan(4, seed=1, eval_every=2, save_every=2, log_every=1, ema_decay=0.5)
MESHES = ((8, 4), (8, 8), (8, 1), (1, 1), (2, 2))


def train(folder, devices=1, model=1, task=None, rules=RULES, splits=None, **changes):
    task, mesh = task or toys.Identify(), make_mesh(devices, model)
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
        assert {shard.data.shape for shard in shards} == {(toys.FEATURES, toys.CLASSES // model)}
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
    assert losses[0] > np.log(toys.CLASSES)  # a margin makes it harder than chance
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
        assert leaf.addressable_shards[0].data.shape[1] == toys.CLASSES // restored[1]
    on = train(tmp_path / "run", *restored, steps=6)
    assert int(on.state.step) == 6
    assert_close(on.state, longer.state)


def test_variables_are_read_on_one_device_whoever_saved_them(runs):
    for folder, fitted in runs.values():
        variables = read_variables(folder / "checkpoints")
        assert isinstance(variables["params"]["head"]["kernel"], np.ndarray)
        assert_bit_equal(variables, fitted.state.average)


def program(devices, model, rules=RULES):
    task, optimizer, mesh = toys.Identify(), optax.adam(1e-2), make_mesh(devices, model)
    data = toys.in_memory(SPLITS)
    example = spread(data.example_batch, mesh)
    _, state = initialisation(task, optimizer, 0.5, example, mesh, rules)
    step: Any
    step, _ = compiled(
        lambda key, _: make_train_step(task, optimizer, key, ema_decay=0.5),
        jax.random.key(0),
        state,
        Feed(data, mesh),
    )
    (program,) = step.programs.values()
    return program


@pytest.mark.parametrize("mesh", [(8, 4), (8, 8)])
def test_no_device_ever_has_the_whole_class_matrix(mesh):
    step, whole = program(*mesh), program(mesh[0], 1)
    matrix = toys.FEATURES * toys.CLASSES * 4
    memory, other = step.memory_analysis(), whole.memory_analysis()
    saved = 4 * (matrix - matrix // mesh[1])  # the matrix, two moments, the average
    assert other.alias_size_in_bytes - memory.alias_size_in_bytes == saved
    batch = 16 * (toys.FEATURES + 1) * 4  # rows are spread over the devices of `data`
    rows = batch // (mesh[0] // mesh[1]) - batch // mesh[0]
    assert other.argument_size_in_bytes - memory.argument_size_in_bytes == saved - rows
    # Neither the matrix nor logits of all classes; of the unsharded program both are found.
    shapes = re.compile(rf"f32\[(?:\d+,)*{toys.CLASSES}(?:,\d+)*\]")
    assert not shapes.findall(step.as_text())
    assert shapes.findall(whole.as_text())


def test_the_default_rules_are_the_program_without_rules():
    def lines(rules):
        text = program(8, 1, rules).as_text()
        return [
            re.sub(r", metadata=\{.*?\}", "", line) for line in text.splitlines() if " = " in line
        ]

    assert lines(()) == lines(RULES)  # an axis of one device


def test_the_loss_over_sharded_classes_is_that_of_the_whole():
    task = toys.Identify()
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


# Rules --------------------------------------------------------------------------------------------


def variables(task=None):
    task = task or toys.Identify()
    shapes = {
        n: jax.ShapeDtypeStruct((16, *x.shape[1:]), x.dtype) for n, x in SPLITS["train"].items()
    }
    return jax.eval_shape(task.init, jax.random.key(0), shapes)


def specs(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.sharding.spec
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if leaf.sharding.spec != P()
    }


def test_the_first_rule_that_is_found_decides_and_the_rest_is_whole():
    rules = [("params/dense1", P()), ("dense./kernel", P("model")), ("kernel", P(None, "model"))]
    layout = variable_shardings(variables(), rules, make_mesh(8, 4))["params"]
    assert layout["dense1"]["kernel"].spec == P()
    assert layout["dense2"]["kernel"].spec == P("model")
    assert layout["head"]["kernel"].spec == P(None, "model")
    assert layout["dense2"]["bias"].spec == P()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([("haed", P())], r"sharding=('haed', P()): expected a regex found in a path such as params/head/kernel"),
        ([("head", P()), ("head/kernel", P("model"))],
         r"sharding=('head/kernel', P('model',)): expected a regex found in a path that no earlier rule takes"),
        ([("(", P())], "sharding=('(', P()): expected a regular expression (missing )"),
        ([("head", P("modle"))], "sharding=('head', P('modle',)): expected axes 'data' or 'model', or None, for params/head/kernel (16, 10000)"),
        ([("head", P(None, None, "model"))], "expected at most 2 entries for params/head/kernel (16, 10000)"),
        ([("head", P("model", "model"))], "expected 'data' or 'model' once each for params/head/kernel"),
        ([("dense2/bias", P(("data", "model"))), ("head", P(None, ("data", "model")))], None),
        ([("dense1/bias", P("model")), ("head", P(P.UNCONSTRAINED))], "expected axes"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_followed_is_one_line(rules, words):
    def lay():
        variable_shardings(variables(), rules, make_mesh(8, 4))

    if words is None:
        return lay()
    with pytest.raises(UsageError) as caught:
        lay()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_axis_that_does_not_divide_says_what_would():
    with pytest.raises(UsageError) as caught:
        variable_shardings(variables(), RULES, make_mesh(3, 3))
    assert str(caught.value) == (
        "sharding=('head/kernel$', P(None, 'model')): expected dimension 1 to be a multiple of 3, "
        "the devices of 'model', such as 9999 or 10002, for params/head/kernel (16, 10000)"
    )
    with pytest.raises(
        UsageError, match=r"^model_parallel=3: expected a divisor of the 8 devices: 1, 2, 4, 8$"
    ):
        make_mesh(8, 3)


def test_a_run_is_refused_before_its_folder_is_made(tmp_path, caplog):
    options = RunOptions(workdir=tmp_path / "run", devices=3, model_parallel=3)
    with pytest.raises(UsageError, match="expected dimension 1 to be a multiple of 3"):
        run(sharded, {"steps": 2, "every": 2}, options)
    assert not list(tmp_path.iterdir())
    bare = dataclasses.replace(sharded().runs["heads"], sharding=())
    check_sharding({"heads": bare}, make_mesh(8, 4))
    assert "model_parallel=4: the experiment shards nothing" in caplog.text


def scanned(rules):
    task = dataclasses.replace(classify(), model=zoo.cifar_resnet(26, scan=True))
    example = spread(DATA.example_batch, make_mesh(8, 4))
    optimizer = optax.sgd(0.1, momentum=0.9)
    return initialisation(task, optimizer, 0.9, example, make_mesh(8, 4), rules)[1]


def test_rules_are_of_the_unrolled_net_and_stacked_blocks_follow_where_they_agree():
    spec = P(None, None, None, "model")
    state = scanned(
        [
            (r"stage3/block\d/conv2/kernel", spec),
            (r"batch_stats.*stage3/block[234]/norm1", P("model")),
        ]
    )
    stacked = P(None, *spec)
    assert specs(state.params) == {
        "backbone/stage3/block1/conv2/kernel": spec,
        "backbone/stage3/blocks/conv2/kernel": stacked,
    }
    assert specs(state.opt_state) == {f"0/trace/{k}": v for k, v in specs(state.params).items()}
    assert set(specs(state.model_state).values()) == {P(None, "model")}
    assert len(specs(state.model_state)) == 2
    assert specs(state.average) == {
        f"params/{k}": v for k, v in specs(state.params).items()
    } | specs(state.model_state)
    with pytest.raises(
        UsageError,
        match="expected a rule that lays out params/backbone/stage3/block3/conv2/kernel too, which a scan stacks in one array with",
    ):
        scanned([("params.*stage3/block2/conv2/kernel", spec)])


def test_a_scanned_net_keeps_its_layout_through_a_checkpoint(tmp_path):
    rules = [(r"stage3/block\d/conv2/kernel", P(None, None, None, "model"))]
    abstract = scanned(rules)
    state = jax.tree.map(
        lambda s: jax.device_put(
            np.random.default_rng(0).normal(size=s.shape).astype(s.dtype), s.sharding
        ),
        abstract,
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, {})
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(abstract)
    assert restored is not None
    assert_bit_equal(restored.state, state)
    kernel = restored.state.params["backbone"]["stage3"]["blocks"]["conv2"]["kernel"]
    assert kernel.sharding.spec == P(None, None, None, None, "model")
    unrolled = read_variables(tmp_path)["params"]["backbone"]["stage3"]
    assert_bit_equal(
        unrolled["block3"]["conv2"]["kernel"],
        np.asarray(state.average["params"]["backbone"]["stage3"]["blocks"]["conv2"]["kernel"][1]),
    )


@pytest.mark.parametrize("scan", [False, True])
def test_a_start_from_given_variables_is_laid_out_too(scan):
    task = dataclasses.replace(classify(), model=zoo.cifar_resnet(26, scan=scan))
    mesh = make_mesh(8, 4)
    example = spread(DATA.example_batch, mesh)
    rules = [(r"stage3/block\d/conv2/kernel", P(None, None, None, "model"))]
    initialise, abstract = initialisation(task, optax.adam(0.1), 0.9, example, mesh, rules)
    start = random_variables(zoo.cifar_resnet(26), (8, 8, 3))
    state = starting_from(start, initialise(jax.random.key(0)))
    assert specs(state) == specs(abstract) != {}
    assert_bit_equal(unstack(state.params), start["params"])
    assert_bit_equal(unstack(state.average), start)


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


def test_moments_of_each_group_and_of_factored_ones_lie_as_they_can():
    task = toys.Identify()
    groups = optax.partition(
        {"head": optax.adam(0.1), "rest": optax.sgd(0.1, momentum=0.9)},
        lambda params: {name: "head" if name == "head" else "rest" for name in params},
    )
    for optimizer, expected in (
        (groups, 2),
        (optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(), 3),
        (optax.adafactor(0.1, min_dim_size_to_factor=8), 0),
    ):
        shapes = jax.eval_shape(
            lambda key, optimizer=optimizer: create(
                task,
                optimizer,
                key,
                {n: jnp.asarray(x[:16]) for n, x in SPLITS["train"].items()},
                False,
            ),
            jax.random.key(0),
        )
        laid = specs(lay_out(shapes, RULES, make_mesh(8, 4)).opt_state)
        assert collections.Counter(laid.values()) == collections.Counter(
            [P(None, "model")] * expected
        )


def test_memory_is_spread_over_data(tmp_path):
    splits = {
        split: {"seed": np.arange(size, dtype=np.uint32)}
        for split, size in (("train", 16), ("test", 19))
    }
    fitted = {
        devices: train(
            tmp_path / str(devices),
            devices,
            task=toys.Catch(),
            splits=splits,
            rules=[(f"^{MEMORY}/worlds", P("data"))],
        )
        for devices in (1, 8)
    }
    worlds = fitted[8].state.model_state[MEMORY]["worlds"]
    assert {shard.data.shape for shard in worlds.addressable_shards} == {(toys.WORLDS // 8, 3)}
    assert_bit_equal(fitted[8].state.model_state, fitted[1].state.model_state)
    assert_close(fitted[8].state.params, fitted[1].state.params)
    shutil.copytree(tmp_path / "8", tmp_path / "again")
    again = train(
        tmp_path / "again",
        2,
        task=toys.Catch(),
        splits=splits,
        rules=[(f"^{MEMORY}/worlds", P("data"))],
    )
    assert_bit_equal(again.state, fitted[8].state)


# Checkpoints --------------------------------------------------------------------------------------


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
