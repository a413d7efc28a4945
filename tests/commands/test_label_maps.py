"""Published nets that label every pixel, by command: `predict` and `evaluate` on files of weights."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jresnet.__main__ import main
from jresnet.commands import evaluate, label_maps, predict
from jresnet.data.normalisation import IMAGENET
from jresnet.data.with_map import AtOwnSize
from jresnet.models import zoo
from jresnet.weights import to_torch
from tests.commands.conftest import write_image
from tests.nets import random_variables

NAME = "unet_resnet18"
SIZE = (40, 56)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file of weights in torch's layout, a set of maps, and the classes that the net gives."""
    folder = tmp_path_factory.mktemp("published")
    net = zoo.unet_resnet18(2)
    variables = random_variables(net, (64, 64, 3))
    np.savez(folder / "unet.npz", **to_torch(variables, net))
    truth, predicted = [], []
    for number in range(3):
        pixels = write_image(folder / "val" / "images" / f"{number}.png", number, SIZE)
        padded = np.zeros((1, 64, 64, 3), np.uint8)
        padded[0, : SIZE[0], : SIZE[1]] = pixels
        logits = net.apply(variables, IMAGENET(padded), train=False)
        predicted.append(np.asarray(logits).argmax(-1)[0, : SIZE[0], : SIZE[1]])
        labels = (pixels[..., 0] > 127).astype(np.uint8)
        truth.append(labels)
        path = folder / "val" / "labels" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path)
    return folder, np.stack(truth), np.stack(predicted)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(label_maps, "WHOLE", AtOwnSize(base=(64, 64)))


def test_predict_writes_the_map_of_each_picture(published, tmp_path, inside):
    folder, _, predicted = published
    names = tmp_path / "names.txt"
    names.write_text("dark\nbright\n")
    status, out, err = inside(
        main, "predict", NAME, "--weights", folder / "unet.npz", "--labels", names,
        "--out", tmp_path / "maps", folder / "val" / "images",
    )  # fmt: skip
    assert status == 0, err
    assert "dark" in out or "bright" in out
    record = json.loads((tmp_path / "maps" / "predictions.json").read_text())
    assert record["net"] == NAME
    written = sorted(path for path in (tmp_path / "maps").rglob("*.png") if "map" in path.name)
    assert len(written) == 3, sorted((tmp_path / "maps").rglob("*"))
    for path, expected in zip(written, predicted, strict=True):
        agree = np.asarray(Image.open(path)) == expected
        assert agree.mean() > 0.999  # logits that are nearly equal


def test_evaluate_scores_whole_pictures(published, inside):
    folder, truth, predicted = published
    status, out, err = inside(
        main, "evaluate", NAME, "--weights", folder / "unet.npz", "--dataset", folder, "--views",
        "mirrored",
    )  # fmt: skip
    assert status == 0, err
    values = dict(line.split()[-2:] for line in out.splitlines() if "test" in line)
    hits = [((truth == c) & (predicted == c)).sum() for c in (0, 1)]
    unions = [((truth == c) | (predicted == c)).sum() for c in (0, 1)]
    assert float(values["mean_iou"]) == pytest.approx(np.divide(hits, unions).mean(), abs=2e-3)
    assert "views/mean_iou" in values


@pytest.mark.parametrize(
    ("command", "flags", "said"),
    [
        (predict, ["--crop", "8", "x.png"], "crop=8: expected none, net unet_resnet18 takes whole"),
        (evaluate, ["--views", "ten"], "views='ten': expected one or mirrored"),
        (evaluate, ["--out", "x.npz"], "out=x.npz: expected none"),
    ],
)
def test_flags_of_classifiers_are_refused(published, inside, command, flags, said):
    folder, _, _ = published
    name = command.__name__.rpartition(".")[2]
    extra = ["--dataset", folder] if name == "evaluate" else []
    arguments = [name, NAME, "--weights", folder / "unet.npz", *extra, *flags]
    status, _, err = inside(main, *arguments)
    assert status != 0
    assert said in err
    assert jax.device_count() == 8


def test_a_set_of_other_classes_is_refused(published, tmp_path, inside):
    folder, _, _ = published
    for split in ("images", "labels"):
        (tmp_path / "train" / split).mkdir(parents=True)
    write_image(tmp_path / "train" / "images" / "a.png", 0, (8, 9))
    Image.fromarray(np.arange(72, dtype=np.uint8).reshape(8, 9) % 5).save(
        tmp_path / "train" / "labels" / "a.png"
    )
    arguments = ["evaluate", NAME, "--weights", folder / "unet.npz", "--dataset", tmp_path]
    status, _, err = inside(main, *arguments)
    assert status != 0
    assert "5 classes; expected 2, as the net has" in err
