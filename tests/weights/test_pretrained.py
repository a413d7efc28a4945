"""The treatment of pictures that a repository of a model hub tells, as timm writes it."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from jresnet.data.normalisation import IMAGENET
from jresnet.errors import UsageError
from jresnet.weights import pretrained, remote
from tests.commands.conftest import checkpoint, command, write_image  # noqa: F401 - fixtures

# The entries of timm's resnet50.a1_in1k.
SETTINGS = {
    "input_size": [3, 224, 224], "test_input_size": [3, 288, 288], "crop_pct": 0.95,
    "test_crop_pct": 1.0, "interpolation": "bicubic", "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 1000,
}  # fmt: skip
NAME = Path("hf://timm/resnet50.a1_in1k")


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """A function that makes a record the `config.json` of any repository."""

    def told(record):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(record))
        monkeypatch.setattr(remote, "beside", lambda weights, name: path)
        return path

    return told


def test_sizes_are_timms(repository):
    # timm: the shorter side is floor(224 / 0.95) = 235 pixels.
    repository({"architecture": "resnet50", "pretrained_cfg": SETTINGS})
    one = pretrained.read_pretrained(NAME)
    assert one is not None
    assert (one.square.resize, one.square.crop, one.square.interpolation) == (235, 224, "bicubic")
    assert one.normalize == IMAGENET
    assert "--resize 235 --crop 224 --mean 0.485 0.456 0.406" in one.told()
    assert one.told().endswith("--resize 288 --crop 288")
    repository(SETTINGS | {"test_input_size": None})  # as timm wrote it at first
    flat = pretrained.read_pretrained(NAME)
    assert flat is not None
    assert flat == one._replace(larger=None)


def test_pixels_are_those_of_pillows_bicubic_resize(repository):
    repository({"pretrained_cfg": SETTINGS | {"input_size": [3, 32, 32], "crop_pct": 0.8}})
    one = pretrained.read_pretrained(NAME)
    assert one is not None
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    whole = np.array(Image.fromarray(pixels).resize((53, 40), Image.Resampling.BICUBIC))
    assert np.array_equal(one.square(pixels), whole[4:36, 10:42])


@pytest.mark.parametrize(
    "change",
    [
        {"crop_mode": "squash"}, {"interpolation": "lanczos"}, {"input_size": [3, 224, 192]},
        {"crop_pct": "all"}, {"std": [0, 0, 0]}, {"mean": [0.5]}, {"crop_pct": 1.2},
    ],
)  # fmt: skip
def test_a_treatment_that_is_not_known_is_refused(repository, change):
    repository({"pretrained_cfg": SETTINGS | change})
    with pytest.raises(
        UsageError, match=r"config.json is not understood .* give --resize"
    ) as error:
        pretrained.read_pretrained(NAME)
    assert "'hf://timm/resnet50.a1_in1k'" in str(error.value)
    assert "\n" not in str(error.value)


def test_others_tell_nothing(repository, tmp_path):
    assert pretrained.read_pretrained(Path("https://example.org/net.pth")) is None
    assert pretrained.read_pretrained(tmp_path / "net.pth") is None
    repository({"model_type": "resnet", "num_channels": 3})  # transformers'
    assert pretrained.read_pretrained(NAME) is None


def test_commands_treat_pictures_as_the_repository_tells(
    repository, monkeypatch, tmp_path, checkpoint, command  # noqa: F811
):  # fmt: skip
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors.numpy.save(checkpoint.state))
    monkeypatch.setattr(remote, "local", lambda path: file)
    # Statistics of its own, and an enlarged picture.
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    settings = {"input_size": [3, 32, 32], "crop_pct": 0.8, "mean": mean, "std": std}
    repository({"pretrained_cfg": SETTINGS | settings | {"interpolation": "bilinear"}})
    write_image(tmp_path / "a.png", size=(60, 80))
    words = ("predict", "cifar_resnet", "--depth", "8", tmp_path / "a.png", "--weights")
    status, out, err = command(*words, NAME)
    assert status == 0
    assert err.startswith("hf://timm/resnet50.a1_in1k: pictures as its config.json tells: --resize")
    flags = ("--resize", 40, "--crop", 32, "--mean", *mean, "--std", *std)
    assert out == command(*words, file, *flags)[1]
    assert out != command(*words, file)[1]
    # Flags come before the repository, one by one or all.
    status, narrow, err = command(*words, NAME, "--resize", 32)
    assert narrow == command(*words, file, "--resize", 32, *flags[2:])[1] != out
    assert "config.json" in err
    assert command(*words, NAME, *flags) == (0, out, "")


@pytest.mark.parametrize("scheme", ["ftp", "s4"])
def test_addresses_elsewhere_are_refused_with_those_that_are_taken(scheme, command):  # noqa: F811
    status, _, err = command("predict", "resnet18", "--weights", f"{scheme}://h/x.pth", "a.png")
    assert status == 2
    assert "expected a path on this machine, hf://OWNER/MODEL, https://HOST/FILE" in err
