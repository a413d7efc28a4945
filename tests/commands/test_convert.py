"""`convert`: the same tensors in another file, or nothing written."""

import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.commands.conftest import FLAGS
from tests.nets import random_variables
from tests.weights.torch_files import tensors, torch_legacy

MODEL = ("--model", *FLAGS)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_names_and_bits_stay(checkpoint, command, tmp_path, ending):
    # What torch code leaves in checkpoints: DataParallel's prefix, batch counters.
    state = {f"module.{name}": value for name, value in checkpoint.state.items()}
    state["module.bn1.num_batches_tracked"] = np.int64(9)
    files.save(state, tmp_path / "in.safetensors")
    out = tmp_path / f"out.{ending}"
    status, printed, err = command("convert", tmp_path / "in.safetensors", out, *MODEL)
    assert (status, err) == (0, "")
    parameters = sum(v.size for name, v in checkpoint.state.items() if "running" not in name)
    assert printed == (
        f"{out}: {len(checkpoint.state)} tensors with cifar names, {parameters:,} parameters\n"
    )
    written = files.load(out)
    assert written.keys() == checkpoint.state.keys()
    for name, value in checkpoint.state.items():
        assert written[name].dtype == np.float32
        assert written[name].tobytes() == value.tobytes(), name


def test_the_layout_is_the_input_s_or_as_asked(checkpoint, command, tmp_path):
    status, _, _ = command(
        "convert", checkpoint.path, tmp_path / "a.npz", *MODEL, "--layout", "torchvision"
    )
    assert status == 0
    named = files.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(named["fc.weight"], checkpoint.state["linear.weight"])
    status, _, _ = command("convert", tmp_path / "a.npz", tmp_path / "b.npz", *MODEL)
    assert status == 0
    assert files.load(tmp_path / "b.npz").keys() == named.keys()


def test_a_layout_without_names_for_the_net(command, tmp_path):
    net = zoo.resnet10t(3)
    files.save(to_torch(random_variables(net, (64, 64, 3)), net), tmp_path / "in.npz")
    out = tmp_path / "out.npz"
    status, _, err = command(
        "convert", tmp_path / "in.npz", out, "--model=resnet10t", "--layout", "torchvision"
    )
    assert status == 2
    assert "layout 'torchvision' has no names for this net" in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "model", "message"),
    [
        ("there.npz", MODEL, "there.npz: expected a new name"),
        ("out.pth", MODEL, "expected a name that ends in .safetensors or .npz"),
        ("none/out.npz", MODEL, "expected a folder that exists"),
        ("out.npz", ("--model", "resnet18"), "and net resnet18: the checkpoint"),
        ("out.npz", ("--model", "cifar_resnet"), "missing: layer1.1.bn1.running_mean"),
        ("out.npz", (), "net missing: take one of cifar_resnet"),
    ],
)
def test_what_does_not_fit_writes_nothing(out, model, message, checkpoint, command, tmp_path):
    (tmp_path / "there.npz").write_bytes(b"mine")
    status, printed, err = command("convert", checkpoint.path, tmp_path / out, *model)
    assert (status, printed) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.npz"]
    assert (tmp_path / "there.npz").read_bytes() == b"mine"


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def test_a_training_checkpoint_says_which_weights_are_taken(checkpoint, command, tmp_path, caplog):
    """timm's average, in a compiled net, in the form before torch 1.6."""
    average = prefixed(checkpoint.state, "_orig_mod.")
    state, storages = tensors(average | {"old": np.zeros(1)}, None)
    content = {"state_dict": {"old": state.pop("old")}, "state_dict_ema": state, "epoch": 3}
    path = torch_legacy(tmp_path / "last.pth.tar", content, storages)
    status, printed, err = command("convert", path, tmp_path / "out.npz", *MODEL)
    assert (status, err) == (0, "")
    # Without pytest's handlers, Python's last resort prints it on stderr.
    assert caplog.messages == [
        "the checkpoint's average is taken: its 'state_dict_ema', as timm does"
    ]
    assert f"{len(checkpoint.state)} tensors with cifar names" in printed
    written = files.load(tmp_path / "out.npz")
    for name, value in checkpoint.state.items():
        assert written[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("name", ["predict", "evaluate", "convert", "export"])
def test_a_checkpoint_without_head_is_refused_in_one_line(checkpoint, command, tmp_path, name):
    body = {n: v for n, v in checkpoint.state.items() if not n.startswith("linear.")}
    path = tmp_path / "body.npz"
    files.save(prefixed(body, "backbone."), path)
    arguments = {
        "predict": (*FLAGS, "--weights", path, tmp_path),
        "evaluate": (*FLAGS, "--weights", path, "--dataset", "digits"),
        "export": (*FLAGS, "--weights", path, "--out", tmp_path / "out.jax"),
        "convert": (path, tmp_path / "out.npz", *MODEL),
    }
    status, _, err = command(name, *arguments[name])
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "has no head, fc.weight; experiments.finetune trains one" in err


def test_a_folder_of_checkpoints_is_a_table_and_a_list_of_what_was_left_out(
    checkpoint, command, tmp_path
):
    source, rng = tmp_path / "in", np.random.default_rng(0)
    files_of = {"a.npz", "deep/b.safetensors"}
    (source / "deep").mkdir(parents=True)
    for name in files_of:
        files.save(checkpoint.state, source / name)
    whole = (source / "a.npz").read_bytes()
    for number in range(40):  # cut, and with bytes of other values
        data = bytearray(whole[: rng.integers(1, len(whole))])
        data[rng.integers(len(data))] ^= 255
        (source / f"broken{number:02}{('.npz', '.pth', '.bin')[number % 3]}").write_bytes(data)
    (source / "notes.txt").write_text("x")
    (source / ".hidden.npz").write_bytes(whole)
    out = tmp_path / "out"
    status, printed, err = command("convert", source, out, *MODEL)
    assert status == 1
    rows = [line.split()[0] for line in printed.splitlines()[2:]]
    assert rows == ["a.npz", "deep/b.safetensors"]
    assert len(err.splitlines()) == 40
    assert all(line.startswith("skipped weights") and "broken" in line for line in err.splitlines())
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == ["a.safetensors", "deep/b.safetensors"]
    for name in written:
        assert files.load(out / name).keys() == checkpoint.state.keys()

    status, _, err = command("convert", source, out, *MODEL)
    assert (status, "expected a new or an empty folder" in err) == (2, True)
    (tmp_path / "empty").mkdir()
    status, _, err = command("convert", tmp_path / "empty", tmp_path / "more", *MODEL)
    assert (status, "expected a run, or files in .safetensors" in err) == (2, True)
