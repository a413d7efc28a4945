"""`predict` and `evaluate` of nets that label every pixel, from a checkpoint file."""

import json
import pickle
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from jresnet.data.info import Info
from jresnet.data.normalisation import IMAGENET
from jresnet.data.shorter_side import AtShorterSide
from jresnet.data.sources.known_maps import VOC
from jresnet.models import zoo
from jresnet.models.published import published as published_card
from jresnet.tasks.map_scores import scores_of
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.commands.conftest import write_image
from tests.data.map_folders import label_map
from tests.nets import random_variables

NET = "tiny_unet"


@published_card(1, None, "none", (32, 32, 3))
def tiny_unet(num_classes: int = 21, **backbone: Any):
    return zoo.unet(zoo.resnet18(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8), **backbone), num_classes)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file in the layout of segmentation_models_pytorch, and a function from pixels to classes."""
    net = tiny_unet()
    variables = random_variables(net, (32, 32, 3))
    path = tmp_path_factory.mktemp("weights") / "unet.npz"
    files.save(to_torch(variables, net), path)
    apply = jax.jit(lambda v, x: net.apply(v, IMAGENET(x), train=False).argmax(-1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, NET, tiny_unet, raising=False)
        yield path, lambda pixels: np.asarray(apply(variables, pixels[None]))[0]


def test_pictures_are_labelled_at_the_published_size_of_their_shorter_side(
    published, command, tmp_path
):
    path, labelled = published
    exact = write_image(tmp_path / "in" / "exact.png", 0, (32, 64))
    small = write_image(tmp_path / "in" / "small.png", 1, (32, 16))
    status, out, err = command(
        "predict", NET, "--weights", path, "--resize", "32", tmp_path / "in", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert any(name in out for name in VOC)
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())["files"]
    maps = {
        name.rsplit("/", 1)[-1]: np.asarray(Image.open(tmp_path / "out" / entry["images"]["map"]))
        for name, entry in record.items()
    }
    np.testing.assert_array_equal(maps["exact.png"], labelled(exact))
    larger = np.asarray(Image.fromarray(small).resize((32, 64), Image.Resampling.BILINEAR))
    # The centre of a picture's pixel lies between two of the larger one: either may be taken.
    classes = labelled(larger)
    kin = [classes[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    assert np.any([maps["small.png"] == one for one in kin], 0).all()


def test_scores_of_a_folder_are_those_of_its_maps(published, command, tmp_path):
    path, labelled = published
    matrix = np.zeros((21, 21))
    for split in ("train", "val"):
        pixels = write_image(tmp_path / split / "images" / "a.png", 5, (32, 64))
        labels = np.random.default_rng(6).integers(0, 3, (32, 64), np.uint8)
        label_map(tmp_path / split / "labels" / "a.png", labels)
    np.add.at(matrix, (labels.reshape(-1), labelled(pixels).reshape(-1)), 1)
    words = ("evaluate", NET, "--weights", path, "--dataset", tmp_path, "--resize", "32")
    status, out, err = command(*words)
    assert (status, err) == (0, "")
    printed = {line.split()[2]: float(line.split()[3]) for line in out.splitlines()[2:]}
    expected = scores_of(matrix, VOC)
    assert {name: printed[name] for name in expected} == pytest.approx(expected, rel=1e-3)
    (tmp_path / "classes.txt").write_text("dark\nbright\nother\n")
    status, _, err = command(*words)
    assert (status, err.count("\n")) == (2, 1)
    assert "3 classes, the net has 21" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", "--crop", "32"), "crop=32: expected none, net tiny_unet labels whole"),
        (("evaluate", "--dataset", "x", "--crop", "32"), "crop=32: expected none"),
        (("evaluate", "--dataset", "x", "--views", "ten"), "views='ten': expected one or mirrored"),
    ],
)
def test_flags_of_classifiers_are_refused(published, command, tmp_path, words, message):
    write_image(tmp_path / "a.png")
    name, *flags = words
    rest = [tmp_path / "a.png"] if name == "predict" else []
    status, _, err = command(name, NET, "--weights", published[0], *flags, *rest)
    assert (status, err.count("\n")) == (2, 1)
    assert message in err


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (300, 300), (40, 4000), (1, 7)])
def test_a_picture_of_any_proportions_is_in_one_bucket_and_hardly_padded(size):
    transform = pickle.loads(pickle.dumps(AtShorterSide()))
    info = Info("pictures", 21)
    each = transform.each(info)
    sizes = [one.spec(info)["image"].shape[:2] for one in each]
    assert len(set(sizes)) == len(sizes)
    bucket = sizes[transform.choose(size, sizes)]
    assert min(bucket) == 520
    if max(size) <= 4 * min(size):
        scaled = [side * 520 / min(size) for side in size]
        assert all(0 <= room - side < 32.5 for room, side in zip(bucket, scaled, strict=True))
    image = np.full((*size, 3), 255, np.uint8)
    arrays = each[transform.choose(size, sizes)]({"image": image}, np.random.default_rng(0))
    inside = arrays["image"][..., 0] > 0
    proportions = inside.any(1).sum() / inside.any(0).sum()
    assert proportions == pytest.approx(size[0] / size[1], rel=0.1 if min(size) > 50 else 0.5)
