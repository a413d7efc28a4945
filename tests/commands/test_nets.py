"""`summary` of nets of any head, and of runs with what they trained by."""

import dataclasses
import json
import re

import jax
import optax
import pytest

from experiments.cifar10 import cifar10
from jresnet.benchmark.footprint import footprint
from jresnet.commands.nets import table_of_parts
from jresnet.commands.step_memory import recorded_step, step_footprint, usual_step
from jresnet.description import rebuilding
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.run.fingerprint import TRAINING, fingerprint, settle
from jresnet.storage import as_json, write_json
from jresnet.train.state import create
from jresnet.train.step import make_train_step
from jresnet.weights import files
from jresnet.weights.recorded import read_recorded
from tests.models.headed_nets import NETS
from tests.models.tiny_detectors import tiny
from tests.nets import random_variables
from tests.train.test_checkpoint import save


@pytest.mark.parametrize("name", NETS)
def test_the_table_has_each_part_once_and_all_parameters(name):
    net, image = NETS[name]
    rows = table_of_parts(net, image)
    names = [part for part, *_ in rows]
    assert len(set(names)) == len(names)
    total = sum(leaf.size for leaf in jax.tree.leaves(random_variables(net, image)["params"]))
    assert sum(int(count.replace(",", "")) for *_, count in rows if count) == total


def test_the_table_of_a_net_of_two_outputs():
    rows = {name: shape for name, shape, _ in table_of_parts(*NETS["two outputs"])}
    assert list(rows) == ["stem", "stage1", "stage2", "classifier", "aux_classifier", "output"]
    assert rows["stage2"] == "4x4x16"
    assert rows["aux_classifier"] == "8x8x5"
    assert rows["output"] == "out 16x16x5, aux 16x16x5"


def test_the_table_of_a_classifier_is_features_and_head():
    rows = table_of_parts(zoo.cifar_resnet(8, preactivation=True), (32, 32, 3))
    assert [name for name, *_ in rows] == [
        "stem", "stage1", "stage2", "stage3", "backbone/norm", "head",
    ]  # fmt: skip
    assert rows[-1] == ("head", "10", "650")


@pytest.fixture
def record(tmp_path):
    """A function that writes the record of an experiment as its run does, and reads it."""

    def write(experiment):
        settle(tmp_path, "run", fingerprint(cifar10, experiment))
        return read_recorded(tmp_path)

    return write


def test_the_memory_of_a_run_s_step_is_that_of_its_own_task_and_optimizer(record):
    experiment = cifar10(dataset="digits", depth=8, batch_size=32)
    adam = dataclasses.replace(experiment, optimizer=optax.adam(1e-3))
    for each in (experiment, adam):
        recorded = record(each)
        step = recorded_step(recorded)
        needed = step_footprint(step, 32)
        key = jax.random.key(0)
        batch = experiment.data.example_batch
        state = jax.eval_shape(
            lambda batch, each=each, key=key: create(
                each.task, each.optimizer, key, batch, each.plan.ema_decay is not None
            ),
            {name: jax.ShapeDtypeStruct((32, *x.shape[1:]), x.dtype) for name, x in batch.items()},
        )
        program = make_train_step(each.task, each.optimizer, key)
        expected = footprint(program, state, batch)
        assert needed.arguments == pytest.approx(expected.arguments, rel=0.001)
        assert needed.working == pytest.approx(expected.working, rel=0.02)
        (recorded.folder / TRAINING).unlink()


def test_an_optimizer_of_the_run_s_own_code_is_replaced_and_said_so(record, capsys):
    def double(updates, state, params=None):
        return jax.tree.map(lambda x: 2 * x, updates), state

    doubling = optax.GradientTransformation(lambda params: (), double)
    experiment = dataclasses.replace(cifar10(dataset="digits", depth=8), optimizer=doubling)
    step = recorded_step(record(experiment))
    assert "counted with SGD and momentum: " in capsys.readouterr().err
    assert step_footprint(step, 4).total > 0


def test_constants_and_other_nets_than_classifiers_have_no_step(record):
    recorded = record(cifar10(dataset="digits", depth=8))
    parts = json.loads((recorded.folder / TRAINING).read_text())
    write_json(recorded.folder / TRAINING, as_json(parts | {"constants": {"arrays": 1}}))
    with pytest.raises(UsageError, match="has constants"):
        recorded_step(read_recorded(recorded.folder))
    with pytest.raises(UsageError, match="batch: expected a classifier, a net for label maps or a"):
        usual_step(tiny(), (64, 64, 3))


def test_a_step_of_the_zoo_is_told_with_and_without_recomputation(command):
    said = {}
    for how in ((), ("--scan", "--remat", "blocks"), ("--dtype", "bfloat16", "--remat", "blocks")):
        _, out, _ = command("summary", "cifar_resnet", "--batch", "64", *how)
        said[how] = float(re.search(r"takes about ([0-9.]+) GiB", out)[1])
    whole, *less = said.values()
    assert max(less) < 0.6 * whole
    maps = step_footprint(usual_step(zoo.unet_resnet18(depths=(1,) * 4), (64, 64, 3)), 2)
    assert maps.arguments < maps.total
    for flag in ("--scan", "--remat=blocks", "--dtype=bfloat16", "--compile"):
        status, _, err = command("summary", "cifar_resnet", flag)
        assert status == 2
        assert "expected --batch too" in err


def test_commands_take_a_run_of_any_head(tmp_path, command, monkeypatch):
    monkeypatch.setattr(rebuilding, "_KNOWN", (*rebuilding._KNOWN, "tests.models"))
    net, _ = NETS["two outputs"]
    experiment = cifar10(dataset="digits", depth=8)
    experiment = dataclasses.replace(
        experiment, task=dataclasses.replace(experiment.task, model=net)
    )
    parts = as_json(fingerprint(cifar10, experiment)) | {"classes": None}
    parts["example"]["image"]["shape"] = [8, 8, 3]
    run = tmp_path / "run"
    save(run / "checkpoints", 1, net=net)
    write_json(run / TRAINING, parts)

    status, out, err = command("summary", run)
    assert (status, err) == (0, "")
    assert ["aux_classifier", "4x4x5", "163"] in [line.split() for line in out.splitlines()]
    assert "out 8x8x5, aux 8x8x5" in out

    status, out, _ = command("convert", run, tmp_path / "net.npz")
    assert status == 0
    assert "with torchvision under backbone. names" in out
    assert "aux_classifier.logits.weight" in files.load(tmp_path / "net.npz")

    pytest.importorskip("flatbuffers")
    status, out, _ = command("export", run, "--out", tmp_path / "net.jax")
    assert status == 0
    assert "to aux float32[batch, 8, 8, 5], out float32[batch, 8, 8, 5] on cpu" in out
