"""`push`: what others load is what the run evaluated, and nothing is written over."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import yaml

from experiments.cifar10 import cifar10
from jresnet.commands.twins import timm_name
from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.normalisation import IMAGENET
from jresnet.description import rebuilding
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.run.fingerprint import TRAINING, fingerprint
from jresnet.runtime import mesh as meshes
from jresnet.storage import as_json, write_json
from jresnet.train.checkpoint import Checkpoints
from jresnet.train.state import TrainState
from jresnet.weights import files, hub
from jresnet.weights.nets import find_net, load_net
from jresnet.weights.recorded import read_recorded
from tests.commands.conftest import write_image
from tests.models.headed_nets import NETS
from tests.nets import apply, normal, random_variables
from tests.weights.fake_hub import serving

METRICS = {"train": {"loss": 0.25}, "test": {"error": 0.0202, "examples": 360.0}}


def finished_run(folder, experiment, variables, **result):
    """A run's folder, as after its last step, without a training."""
    write_json(folder / TRAINING, as_json(fingerprint(cifar10, experiment)))
    write_json(
        folder / "result.json", {"metrics": METRICS, "seconds": 12.5, "parameters": 1, **result}
    )
    write_json(folder / "config.json", {
        "experiment": "experiments.cifar10", "arguments": {"dataset": "digits"},
        "command": "python -m experiments.cifar10 --dataset digits", "date": "2026-11-30T14:00:00",
        "hardware": "2 CPU cores", "commit": "abc", "versions": {"jax": "0.10.2"},
    })  # fmt: skip
    params = variables["params"]
    kept = {kind: tree for kind, tree in variables.items() if kind != "params"}
    state = TrainState(jnp.asarray(3), params, kept, optax.sgd(0.1).init(params), None)
    state = jax.device_put(state, meshes.replicated(meshes.make_mesh(1)))
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state, {"step": 3})
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of ResNet-8 on grey digits, and its net and variables."""
    experiment = cifar10(dataset="digits", depth=8)
    net = experiment.task.model
    variables = random_variables(net, (8, 8, 1))
    folder = tmp_path_factory.mktemp("runs") / "digits"
    folder.mkdir()
    return finished_run(folder, experiment, variables), net, variables


def test_a_folder_stands_for_the_run(digits, command, tmp_path):
    run, net, variables = digits
    dest = tmp_path / "shared"
    status, out, err = command("push", run, dest)
    assert (status, err) == (0, "")
    assert f"{dest}: model.safetensors with cifar names, config.json and README.md" in out
    assert {path.name for path in dest.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    loaded = load_net(find_net(str(dest)), {}, dest)
    assert loaded.model.backbone == net.backbone
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    named = load_net(find_net("cifar_resnet"), {"depth": 8}, dest)
    jax.tree.map(np.testing.assert_array_equal, named.variables, variables)

    write_image(tmp_path / "a.png")
    results = [command("predict", folder, tmp_path / "a.png") for folder in (run, dest)]
    assert results[0] == results[1]
    assert results[0][0] == 0
    config = json.loads((dest / "config.json").read_text())
    text = json.dumps(config)
    assert "optimizer" not in text
    assert str(run.parent) not in text
    before = {path.name: path.read_bytes() for path in dest.iterdir()}
    status, _, err = command("push", run, dest)
    assert status == 2
    assert "expected a new or empty folder; --replace puts new files" in err
    assert {path.name: path.read_bytes() for path in dest.iterdir()} == before
    (dest / "notes.txt").write_text("stays")
    (dest / "model.safetensors").write_bytes(b"damaged")
    assert command("push", run, dest, "--replace")[0] == 0
    assert (dest / "notes.txt").read_text() == "stays"
    (dest / "notes.txt").unlink()
    assert {path.name: path.read_bytes() for path in dest.iterdir()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    status, _, err = command("push", run, tmp_path / "other", "--replace")
    assert (status, "expected a new or empty folder, it holds config.json" in err) == (2, True)
    status, _, err = command("push", dest, tmp_path / "again")
    assert (status, "expected a run with checkpoints" in err) == (2, True)


def test_the_card_says_what_was_measured(digits, command, tmp_path):
    assert command("push", digits[0], tmp_path / "shared")[0] == 0
    text = (tmp_path / "shared" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "image-classification"
    for line in (
        "| test | error | 0.0202 |",
        "- experiment: `python -m experiments.cifar10`",
        "- data: `digits`",
        "- versions: jax 0.10.2",
        "Images of 8 x 8 x 1.",
        "10 classes: `0`, `1`,",
    ):
        assert line in body, line
    digest = hashlib.sha256((tmp_path / "shared" / "model.safetensors").read_bytes()).hexdigest()
    assert digest in body


@pytest.mark.slow
def test_a_net_of_timm_s_goes_in_timm_s_names(command, tmp_path):
    net = zoo.resnet10t(3)
    experiment = cifar10(dataset="digits", depth=8)
    data = dataclasses.replace(experiment.data, eval_transform=ResizeCenterCrop(40, 32))
    task = dataclasses.replace(experiment.task, model=net, normalize=IMAGENET)
    experiment = dataclasses.replace(experiment, task=task, data=data)
    variables = random_variables(net, (32, 32, 3))
    (tmp_path / "run").mkdir()
    run = finished_run(tmp_path / "run", experiment, variables)
    parts = json.loads((run / TRAINING).read_text()) | {"classes": ["cat", "cow", "dog"]}
    parts["example"]["image"]["shape"] = [32, 32, 3]
    write_json(run / TRAINING, parts)
    status, out, err = command("push", run, tmp_path / "shared")
    assert (status, err) == (0, "")
    assert "with timm names, timm's resnet10t" in out
    state = files.load(tmp_path / "shared" / "model.safetensors")
    # Of timm 1.0's resnet10t, all names of its stem, its first block with a projection, its head.
    expected = {"conv1.0.weight", "conv1.1.running_mean", "conv1.3.weight", "conv1.6.weight",
                "bn1.weight", "layer2.0.conv1.weight", "layer2.0.bn2.running_var",
                "layer2.0.downsample.1.weight", "layer2.0.downsample.2.bias", "fc.weight"}  # fmt: skip
    assert expected <= set(state)
    assert state["conv1.0.weight"].shape == (24, 3, 3, 3)
    config = json.loads((tmp_path / "shared" / "config.json").read_text())
    settings = config["pretrained_cfg"]
    assert (config["architecture"], config["num_features"]) == ("resnet10t", 512)
    assert settings["first_conv"] == "conv1.0"
    assert settings["classifier"] == "fc"
    assert settings["crop_pct"] == 0.8
    assert settings["mean"] == list(IMAGENET.mean)
    assert config["label_names"] == ["cat", "cow", "dog"]
    # The name and the file alone, as a stranger has them.
    path = tmp_path / "shared" / "model.safetensors"
    loaded = load_net(find_net("resnet10t"), {}, path)
    x = normal(2, 32, 32, 3)
    np.testing.assert_allclose(
        apply(loaded.model, loaded.variables, x, train=False),
        apply(net, variables, x, train=False),
        rtol=0, atol=0,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["two outputs", "scanned decoder", "without norms"])
def test_nets_of_any_head_come_back(name, command, tmp_path, monkeypatch):
    monkeypatch.setattr(rebuilding, "_KNOWN", (*rebuilding._KNOWN, "tests.models"))
    net, image = NETS[name]
    experiment = cifar10(dataset="digits", depth=8)
    task = dataclasses.replace(experiment.task, model=net)
    experiment = dataclasses.replace(experiment, task=task)
    variables = random_variables(net, image)
    (tmp_path / "run").mkdir()
    run = finished_run(tmp_path / "run", experiment, variables)
    parts = json.loads((run / TRAINING).read_text()) | {"classes": None}
    parts["example"]["image"]["shape"] = list(image)
    write_json(run / TRAINING, parts)
    dest = tmp_path / "shared"
    assert command("push", run, dest)[0] == 0
    there = load_net(find_net(str(run)), {}, run)
    back = load_net(find_net(str(dest)), {}, dest)
    jax.tree.map(np.testing.assert_array_equal, back.variables, there.variables)


def test_timm_s_name_is_that_of_the_same_net_only():
    assert timm_name(zoo.resnet18(7)) == "resnet18"
    trained = zoo.resnet18(7, dtype=jnp.bfloat16, norm=part(BatchNorm, group=8), frozen=("stem",))
    assert timm_name(trained) == "resnet18"
    assert timm_name(zoo.resnet18(7, stem=zoo.SMALL_STEM)) is None
    assert timm_name(zoo.resnet18(7, norm=part(BatchNorm, epsilon=1e-3))) is None
    assert timm_name(zoo.cifar_resnet(20)) is None
    assert timm_name(NETS["two outputs"][0]) is None


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / "result.json").unlink(), "expected a finished run, result.json"),
        (lambda run: write_json(run / "result.json", {
            "metrics": {}, "seconds": 1, "parameters": 1, "diverged": "at step 3"}), "at step 3"),
        (lambda run: (run / "config.json").unlink(), "expected a run with config.json"),
    ],
)  # fmt: skip
def test_what_is_no_finished_run_is_refused(break_it, message, command, tmp_path, digits):
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").mkdir()
    for name in (TRAINING, "result.json", "config.json"):
        (run / name).write_bytes((digits[0] / name).read_bytes())
    break_it(run)
    status, _, err = command("push", run, tmp_path / "shared")
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "shared").exists()


SESSION = """
import sys
from jresnet.__main__ import main
for command in sys.argv[1].split("; "):
    print("status", main(command.split(" ")), flush=True)
"""


@pytest.mark.slow
def test_a_repository_of_a_hub(digits, tmp_path, command):
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    write_image(tmp_path / "a.png")
    run, picture = digits[0], tmp_path / "a.png"
    steps = [f"push {run} hf://me/digits --private", f"predict hf://me/digits {picture}",
             f"push {run} hf://me/digits", "predict hf://me/nothing a.png",
             f"push {run} hf://me/digits --replace"]  # fmt: skip
    with serving() as server:
        environment = os.environ | {
            "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hub"), "HF_TOKEN": "hf_none",
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", SESSION, "; ".join(steps)],
            capture_output=True, text=True, check=False, timeout=600, env=environment,
        )  # fmt: skip
        assert server.private == {"me/digits": True}
        written = server.models["me/digits"]
        server.refuses = True
        refused = subprocess.run(
            [sys.executable, "-c", SESSION, f"push {run} hf://me/other"],
            capture_output=True, text=True, check=False, timeout=600, env=environment,
        )  # fmt: skip
    assert done.stdout.count("status 0") == 3, done.stdout + done.stderr
    assert done.stdout.count("status 2") == 2
    assert set(written) == {"model.safetensors", "config.json", "README.md"}
    assert b"predict hf://me/digits pictures/" in written["README.md"]
    _, out, _ = command("predict", run, picture)
    assert out in done.stdout
    assert "expected a new repository, this one holds model.safetensors; --replace" in done.stderr
    assert "net 'hf://me/nothing': refused or not reached" in done.stderr
    assert "status 2" in refused.stdout
    assert refused.stderr.count("\n") == 1
    assert "dest=hf://me/other: refused or not reached" in refused.stderr


@pytest.mark.parametrize(
    ("present", "held"),
    [
        ({"pytorch_model.bin": b"x"}, "pytorch_model.bin"),
        ({".gitattributes": b"", "onnx/net.onnx": b"x"}, "onnx/net.onnx"),
        ({"README.md": b"Somebody's card"}, "README.md"),
        ({"config.json": b"{}"}, "config.json"),
        ({".gitattributes": b"", "LICENSE": b"x"}, None),
    ],
)
@pytest.mark.parametrize("replace", [False, True])
def test_a_repository_with_anybody_s_weights_or_card_is_refused(
    present, held, replace, tmp_path, monkeypatch
):
    library = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    for name, data in present.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(library.HfApi, "list_repo_files", lambda self, where: list(present))
    monkeypatch.setattr(library, "hf_hub_download", lambda where, name: str(tmp_path / name))
    if held is None:
        return hub.check_free("me/net", "hf://me/net", replace=replace)
    with pytest.raises(UsageError, match=f"expected a new repository, this one holds {held}$"):
        hub.check_free("me/net", "hf://me/net", replace=replace)


def test_names_of_the_hub(tmp_path, monkeypatch):
    assert hub.repository("runs/x") is None
    assert hub.repository("hf://me/net.a-1") == "me/net.a-1"
    for name in ("hf://me", "hf://me/a/b", "hf:me"):
        with pytest.raises(UsageError, match="expected hf://OWNER/NAME"):
            hub.repository(name)
    assert hub.at_hand("runs/x") == "runs/x"
    monkeypatch.setattr("jresnet.extras.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'jresnet\[hub\]'"):
        hub.check_free("me/net", "hf://me/net")
    assert read_recorded(tmp_path) is None
