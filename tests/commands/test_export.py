"""`export`: a file that jax runs where neither flax nor jresnet is at hand."""

import datetime
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jresnet.commands import export as module
from jresnet.errors import UsageError
from jresnet.weights import files
from jresnet.weights.fold import fold
from tests.commands.conftest import FLAGS
from tests.models.headed_nets import NETS
from tests.nets import apply, normal, random_variables

LOAD = """
import pathlib, sys
import jax, jax.export
import numpy as np
exported = jax.export.deserialize(bytearray(pathlib.Path("net.jax").read_bytes()))
assert exported.platforms == ("cpu", "cuda", "tpu"), exported.platforms
with np.load("images.npz") as images:
    np.savez("logits.npz", **{name: exported.call(x) for name, x in images.items()})
assert "flax" not in sys.modules and "jresnet" not in sys.modules
"""


def close(value, wanted):
    np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.fixture
def serialise():
    """Without flatbuffers jax can neither write nor read an exported function."""
    pytest.importorskip("flatbuffers")


@pytest.mark.usefixtures("serialise")
def test_jax_alone_runs_the_file(checkpoint, command, tmp_path):
    out = tmp_path / "net.jax"
    arguments = ["export", *FLAGS, "--weights", checkpoint.path, "--out", out]
    status, printed, err = command(*arguments)
    assert (status, err) == (0, "")
    assert f"{out}: " in printed
    assert f"jax {jax.__version__} wrote it. Versions up to 6 months younger" in printed
    last = datetime.date.fromisoformat(printed.partition("is until ")[2][:10])
    assert 180 <= (last - datetime.date.today()).days <= 184
    _, folded = fold(checkpoint.net, checkpoint.variables)
    beside = files.load(tmp_path / "net-folded.safetensors")
    expected = traverse_util.flatten_dict(folded, sep="/")
    jax.tree.map(np.testing.assert_array_equal, beside, dict(expected))
    assert "float32[batch, 32, 32, 3] to float32[batch, 7] on cpu, cuda, tpu" in printed
    images = {str(n): np.asarray(normal(n, 32, 32, 3, seed=n)) for n in (1, 3)}
    np.savez(tmp_path / "images.npz", **images)
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=tmp_path,
        env={**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "logits.npz") as logits:
        for n, x in images.items():
            close(logits[n], apply(checkpoint.net, checkpoint.variables, x, train=False))

    before = out.read_bytes()
    status, _, err = command(*arguments)
    assert status == 2
    assert "exists already" in err
    assert out.read_bytes() == before


@pytest.mark.usefixtures("serialise")
def test_batch_and_image_are_flags(checkpoint, command, tmp_path):
    weights = tmp_path / "net.safetensors"  # stays beside the files of the same name
    files.save(checkpoint.state, weights)
    before = weights.read_bytes()
    arguments = ["export", *FLAGS, "--weights", weights, "--out", tmp_path / "net.jax"]
    status, printed, _ = command(*arguments, "--batch", "2", "--image", "24", "16", "3")
    assert status == 0
    assert "float32[2, 24, 16, 3] to float32[2, 7]" in printed
    assert weights.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {
        "net.jax", "net-folded.safetensors", "net.safetensors",
    }  # fmt: skip


def test_the_function_holds_the_weights_and_takes_any_batch(checkpoint):
    exported = module.exported_net(checkpoint.net, checkpoint.variables, None, (32, 32, 3))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert len(exported.in_avals) == 1
    for n in (1, 4):
        x = normal(n, 32, 32, 3)
        close(exported.call(x), apply(checkpoint.net, checkpoint.variables, x, train=False))


@pytest.mark.parametrize("name", ["two outputs", "decoder"])
def test_nets_of_any_output_are_exported(name):
    net, image = NETS[name]
    variables = random_variables(net, image)
    exported = module.exported_net(net, variables, None, image)
    x = normal(3, *image)
    jax.tree.map(close, exported.call(x), apply(net, variables, x, train=False))
    if name == "two outputs":
        output = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        assert module.outputs_text(output) == (
            "aux float32[batch, 16, 16, 5], out float32[batch, 16, 16, 5]"
        )


class OneByOne(nn.Module):
    """A net that counts its images while it is traced."""

    backbone: nn.Module

    @nn.compact
    def __call__(self, x, *, train):
        y = self.backbone(x, train=train)["stage2"]
        return [y[i] for i in range(x.shape[0])]


def test_a_net_that_cannot_be_exported_is_refused_in_one_line():
    net = OneByOne(NETS["decoder"][0].backbone)
    variables = random_variables(net, (8, 8, 3))
    with pytest.raises(UsageError, match=r"net OneByOne cannot be exported .*--batch") as caught:
        module.exported_net(net, variables, None, (8, 8, 3))
    assert "\n" not in str(caught.value)
    assert len(module.exported_net(net, variables, 2, (8, 8, 3)).out_avals) == 2


def test_the_kind_of_file_is_its_ending_or_a_flag():
    weights = Path("net.npz")
    named = module.Export(weights=weights, format="onnx")
    assert module.file_of(named, "resnet18") == Path("resnet18.onnx")
    both = module.Export(weights=weights, out=Path("a.jax"), format="jax")
    assert module.file_of(both, "resnet18") == Path("a.jax")
    with pytest.raises(UsageError, match=r"out missing: expected a file that ends in \.jax"):
        module.file_of(module.Export(weights=weights), "resnet18")
    with pytest.raises(UsageError, match=r"out=a\.jax: expected a name that ends in \.onnx"):
        module.file_of(module.Export(weights=weights, out=Path("a.jax"), format="onnx"), "net")


def test_flatbuffers_are_asked_for(checkpoint, command, tmp_path, monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "net.jax"
    status, _, err = command("export", *FLAGS, "--weights", checkpoint.path, "--out", out)
    assert status == 2
    assert "export needs the package flatbuffers" in err


@pytest.mark.usefixtures("serialise")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "net.bin"], "out=net.bin: expected a name that ends in .jax or .onnx"),
        (
            ["--out", "none/net.jax"],
            "out=none/net.jax: expected a folder that exists, none does not",
        ),
        (["--out", "net.jax", "--batch", "0"], "batch=0: expected a whole number from 1"),
        (["--out", "net.jax", "--image", "32", "32"], "image 32 32: take 2 sizes of 1 or more"),
        (["--out", "net.jax", "--image", "32", "32", "1"], "and 3, the channels of the checkpoint"),
    ],
)
def test_bad_arguments_write_nothing(
    arguments, message, checkpoint, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    status, printed, err = command("export", *FLAGS, "--weights", checkpoint.path, *arguments)
    assert (status, printed) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
