"""Transfer: what is frozen stays, what is given is started from, and the report tells the truth."""

import functools
import json

import jax
import numpy as np
import pytest

from experiments.finetune import finetune
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.transfer import start
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
