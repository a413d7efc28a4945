"""Transfer: what is frozen stays, what is given is started from, and the report tells the truth."""

import csv
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.finetune import finetune
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.models import zoo
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.transfer import report, start
from jresnet.studies.transfer.rates import range_test
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from jresnet.weights.run import read_variables
from tests.nets import random_variables
from tests.test_experiments import defaults

NET = zoo.cifar_resnet(8, 7)
SOURCE = random_variables(NET, (32, 32, 3))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A checkpoint of 7 classes, and a set of two: bright and dark grey pictures."""
    folder = tmp_path_factory.mktemp("transfer")
    files.save(to_torch(SOURCE, NET), folder / "source.npz")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, size in (("train", 24), ("test", 11)):
        labels = np.arange(size) % 2
        noise = rng.integers(0, 190, (size, 8, 8))
        arrays[f"{split}_images"] = (noise + 60 * labels[:, None, None]).astype(np.uint8)
        arrays[f"{split}_labels"] = labels
    np.savez(folder / "set.npz", **arrays, class_names=np.array(["dark", "bright"]))
    return folder


def arguments(paths, **changes):
    inputs = {
        "weights": paths / "source.npz",
        "depth": 8,
        "dataset": str(paths / "set.npz"),
        "per_class": (4,),
        "steps": 4,
        "batch_size": 8,
    }
    return {**defaults(finetune), **inputs, **changes}


def test_a_test_split_of_one_class_has_a_line_in_the_table(tmp_path):
    logits = np.array([[1, 0], [2, 0], [0, 1]], np.float32)
    np.savez(tmp_path / "outputs-test.npz", logits=logits, label=np.zeros(3, int))
    result = Result({"test": {"error": 1 / 3}}, 2.0, 10, tmp_path)
    cells = report.row("all", "scratch", [result, result], classes=2)
    assert cells[2:7] == ["66.7 ± 0.0", "nan ± nan", "nan to nan", "nan ± nan", "66.7 ± 0.0"]


@pytest.mark.slow
def test_the_study_from_start_to_report(paths, tmp_path, capsys):
    inputs = arguments(paths, freeze=("stem", "stage1"), rates=("bias$=0",))
    line = run(finetune, inputs, RunOptions(workdir=tmp_path / "run", devices=1))
    printed = capsys.readouterr().out
    folder = tmp_path / "run"
    assert (folder / "report.html").stat().st_size > 30_000
    for label in ("scratch", "finetune", "probe"):
        for count, text in ((4, "4"), (12, "all")):
            actual = json.loads((folder / f"{label}-{text}-seed0" / "result.json").read_text())
            with np.load(folder / f"{label}-{text}-seed0" / "outputs-test.npz") as outputs:
                wrong = (outputs["logits"].argmax(-1) != outputs["label"]).mean()
                assert outputs["label"].tolist() == [i % 2 for i in range(11)]
            assert actual["metrics"]["test"]["error"] == pytest.approx(wrong)
            accuracy = f"{100 * (1 - wrong):.1f}"
            name = {"scratch": "from scratch", "finetune": "fine-tuned", "probe": "linear probe"}
            assert any(
                row.split()[0] == text and name[label] in row and accuracy in row
                for row in printed.splitlines()
                if name[label] in row and not row.startswith(label)
            ), (label, count)
            assert f"{name[label]} {accuracy} %" in line

    tuned = read_variables(folder / "finetune-all-seed0" / "checkpoints")
    for kind in ("params", "batch_stats"):
        for part, before in SOURCE[kind]["backbone"].items():
            same = [
                np.array_equal(a, b)
                for a, b in zip(
                    jax.tree.leaves(before),
                    jax.tree.leaves(tuned[kind]["backbone"][part]),
                    strict=True,
                )
            ]
            assert all(same) if part in ("stem", "stage1") else not all(same), (kind, part)
    # The rule of rates freezes the biases of all norms, and the head's, which started at 0.
    block = tuned["params"]["backbone"]["stage3"]["block1"]["norm1"]
    source = SOURCE["params"]["backbone"]["stage3"]["block1"]["norm1"]
    assert np.array_equal(block["bias"], source["bias"])
    assert not np.array_equal(block["scale"], source["scale"])
    assert (tuned["params"]["head"]["bias"] == 0).all()
    assert tuned["params"]["head"]["kernel"].shape == (64, 2)


def test_bit_s_rule_sets_length_batch_and_resolution(paths):
    study = finetune(**arguments(paths, steps=None, batch_size=None, preset="bit"))
    experiment = study.runs["finetune-all-seed0"]
    assert (experiment.plan.steps, experiment.data.batch_size) == (500, 24)
    assert experiment.data.example_batch["image"].shape == (24, 128, 128, 3)
    study = finetune(**arguments(paths, preset="bit", size=16, steps=50))
    experiment = study.runs["finetune-4-seed0"]
    assert experiment.data.train_transform.resize == 20
    assert experiment.plan.steps == 50


def test_without_weights_there_is_only_scratch(paths):
    study = finetune(**arguments(paths, weights=None))
    assert list(study.runs) == ["scratch-4-seed0", "scratch-all-seed0"]


def test_a_checkpoint_without_head_is_started_from(paths, tmp_path, caplog):
    """A momentum-contrast checkpoint: the query encoder's backbone, no layer of its loss."""
    body = {n: v for n, v in to_torch(SOURCE, NET).items() if not n.startswith("linear.")}
    loss = {"fc.0.weight": np.ones((64, 64)), "fc.2.weight": np.ones((9, 64))}
    state = {f"module.encoder_q.{n}": v for n, v in (body | loss).items()}
    state |= {f"module.encoder_k.{n}": v + 1 for n, v in (body | loss).items()}
    files.save(state, tmp_path / "moco.npz")
    inputs = arguments(paths, weights=tmp_path / "moco.npz", methods=("finetune", "probe"))
    study = finetune(**inputs)
    start = study.runs["finetune-4-seed0"].start
    assert "module.encoder_q.* is taken" in caplog.text
    for kind in ("params", "batch_stats"):
        assert list(start[kind]) == ["backbone"]
        jax.tree.map(
            np.testing.assert_array_equal, start[kind]["backbone"], SOURCE[kind]["backbone"]
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"freeze": ("stage9",)}, "frozen stage9: take some of stem, stage1, stage2, stage3"),
        ({"rates": ("stage7=0.1",)}, "rates 'stage7': no parameter's path has that"),
        ({"rates": ("stage1",)}, "rates 'stage1': expected REGEX=FACTOR"),
        ({"rates": ("stage1=-1",)}, "rates stage1=-1.0: expected a factor of 0 or more"),
        ({"methods": ("distil",)}, "methods distil: expected --teacher, a net trained on this set"),
        ({"weights": None, "methods": ("probe",)}, "methods probe: all but scratch need --weights"),
        ({"per_class": (99,)}, "per_class=99: class 'dark' of 'set' has 12 examples"),
        ({"depth": 14}, "missing: layer1.1.bn1"),
    ],
)
def test_what_cannot_be_is_named(paths, changes, words):
    def check():
        for experiment in finetune(**arguments(paths, **changes)).runs.values():
            experiment.data.check()

    with pytest.raises(UsageError) as error:
        check()
    assert words in str(error.value)


def test_a_run_without_a_record_needs_its_statistics(paths, tmp_path, monkeypatch):
    """The folder stands for a run of an older version, whose weights are those of the file."""
    load, file = start.load_net, paths / "source.npz"
    monkeypatch.setattr(start, "load_net", lambda net, a, _, **k: load(net, a, file, **k))
    call = functools.partial(start.starting_net, tmp_path, "cifar_resnet", {"depth": 8}, 2, ())
    with pytest.raises(UsageError, match=r"keeps no training\.json, .*: give --statistics as it"):
        call(None)
    _, loaded, model = call("dataset")
    assert loaded.recorded is None
    assert model.num_classes == 2


METHODS = ("plain", "lpft", "discriminative", "gradual", "l2sp", "hints")


def test_methods_differ_in_what_they_say(paths):
    """From the head on: rates fall, parts begin later, and L2-SP takes the place of decay."""
    inputs = arguments(paths, methods=METHODS, whole=False, steps=16)
    runs = {label.split("-")[0]: run for label, run in finetune(**inputs).runs.items()}
    assert list(runs) == list(METHODS)
    assert runs["plain"].task.model == zoo.plain(NET.clone(num_classes=2))
    assert runs["l2sp"].constants["start"].keys() == SOURCE["params"]["backbone"].keys()
    assert runs["l2sp"].start.keys() == runs["gradual"].start.keys() == SOURCE.keys()
    assert runs["hints"].start is None
    assert (runs["hints"].task.share, runs["hints"].task.hints) == (0.0, 1.0)
    params = {"backbone": {"stem": 1.0, "stage1": 1.0, "stage3": 1.0}, "head": 1.0}
    params = jax.tree.map(lambda x: {"kernel": jnp.full((1,), x)}, params)
    ones = jax.tree.map(jnp.ones_like, params)

    def moved(method, steps):
        optimizer, now = runs[method].optimizer, params
        state = optimizer.init(params)
        for _ in range(steps):
            updates, state = optimizer.update(ones, state, now)
            now = optax.apply_updates(now, updates)
        change = jax.tree.map(lambda a, b: float(b[0] - a[0]), now, params)
        body = change["backbone"]
        return [one["kernel"] for one in (change["head"], body["stage3"], body["stage1"], body["stem"])]  # fmt: skip

    head, last, first, stem = moved("discriminative", 3)
    assert [head / last, last / first, first / stem] == pytest.approx([2.6, 2.6**2, 2.6], rel=1e-4)
    head, last, first, stem = moved("gradual", 5)  # stage3 begins at step 2, stage1 at 6
    assert head > last > 0
    assert first == stem == 0
    assert min(moved("gradual", 16)) > 0
    assert moved("lpft", 8)[1:] == [0, 0, 0]
    assert min(moved("lpft", 9)) > 0


@pytest.mark.slow
def test_every_method_runs_and_is_measured_on_shifted_pictures(paths, tmp_path, capsys):
    folder = tmp_path / "run"
    inputs = arguments(paths, methods=("probe", *METHODS), whole=False, steps=2, shifted=True)
    run(finetune, inputs, RunOptions(workdir=folder, devices=1))
    printed = capsys.readouterr().out
    for name in ("probe, then fine-tuned", "gradual unfreezing", "L2-SP", "distilled features"):
        assert sum(row.startswith(name) for row in printed.splitlines()) == 1  # on shifted pictures
    rows = list(csv.DictReader((folder / "shifted.csv").read_text().splitlines()))
    assert len(rows) == 7 * 4 * 5
    assert {0 <= float(row["error"]) <= 1 for row in rows} == {True}
    assert (folder / "shifted.png").stat().st_size > 10_000
    # One of these nets teaches another.
    inputs = arguments(paths, methods=("distil",), whole=False, steps=2)
    inputs["teacher"] = folder / "lpft-4-seed0"
    run(finetune, inputs, RunOptions(workdir=tmp_path / "taught", devices=1))
    record = json.loads((tmp_path / "taught" / "distil-4-seed0" / "training.json").read_text())
    assert record["task"]["new"] == "jresnet.tasks.distil:Distil"
    lines = (tmp_path / "taught" / "distil-4-seed0" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["divergence"] > 0


def test_a_range_test_suggests_the_steepest_rate():
    """A valley whose loss falls fastest at 0.01, is lowest at 0.1 and soars from there."""
    rates = np.geomspace(1e-5, 10, 400)
    x = np.log10(rates)
    losses = 2 / (1 + np.exp(4 * (x + 2))) + 0.1 + np.maximum(0, x + 1) ** 2 * 20
    test = range_test(rates, [*losses[:390], np.inf, *losses[391:]])
    assert 0.008 < test.steepest < 0.02  # smoothing looks back
    assert 0.005 < test.tenth < 0.02
    assert test.losses.max() < 4.5 * test.losses[0]
    assert len(test.rates) < 390
    rising = range_test(rates, 1 + np.arange(400.0))
    assert rising.steepest == rates[0]


@pytest.mark.slow
def test_rates_are_looked_for_with_a_rising_rate(paths, tmp_path, capsys):
    inputs = arguments(paths, methods=("finetune",), whole=False, steps=6, find_rate=True)
    line = run(finetune, inputs, RunOptions(workdir=tmp_path / "run", devices=1))
    assert "Steepest at: fine-tuned, 4 " in line
    lines = (tmp_path / "run" / "finetune-4-seed0" / "metrics.jsonl").read_text().splitlines()
    rates = [record["learning_rate"] for record in map(json.loads, lines) if record["split"] == "train"]  # fmt: skip
    np.testing.assert_allclose(rates[:6], np.geomspace(1e-5, 10, 6)[: len(rates)], rtol=1e-4)
