"""`embed`: features as the backbone gives them, nearest neighbours, and files that are broken."""

import numpy as np
import pytest
from PIL import Image

from jresnet.commands import neighbours, predict_pictures
from jresnet.data.normalisation import IMAGENET
from jresnet.models import zoo
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from jresnet.weights.layouts import TORCHVISION
from tests.commands.conftest import FLAGS, write_image
from tests.nets import apply, random_variables, read_arrays

NET = (*FLAGS, "--shortcut", "B")


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    """ResNet-8 as Barlow Twins saves it: without a head, beside a projector."""
    net = zoo.cifar_resnet(8, shortcut="B")
    variables = random_variables(net, (32, 32, 3))
    state = to_torch(variables, net, TORCHVISION)
    body = {f"module.backbone.{n}": v for n, v in state.items() if not n.startswith("fc.")}
    path = tmp_path_factory.mktemp("headless") / "net.safetensors"
    files.save(body | {"module.projector.0.weight": np.zeros((2, 2), np.float32)}, path)
    return path, net, variables


def test_features_are_the_pooled_last_stage(headless, command, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_pictures, "BATCH", 3)  # four images: the second batch is padded
    path, net, variables = headless
    names = ["in/b.png", "in/a.png", "in/c/d.png", "in/e.png"]
    pixels = {str(tmp_path / name): write_image(tmp_path / name, i) for i, name in enumerate(names)}
    Image.fromarray(pixels[str(tmp_path / "in/a.png")]).save(tmp_path / "in/twin.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"no picture")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"not opened")
    out = tmp_path / "features.npz"
    arguments = ["embed", *NET, "--weights", path, tmp_path / "in", film, "--out", out]
    status, printed, err = command(*arguments, "--pictures", 2, "--neighbours", 2)
    assert status == 1
    assert err.count("\n") == 2
    assert f"skipped {tmp_path / 'in/broken.jpg'}" in err
    assert f"skipped {film}: a film, expected a picture" in err
    assert f"{out}: 5 files, 64 features each (stage3, pooled); 2 files skipped" in printed
    arrays = read_arrays(out)
    order = ["in/a.png", "in/b.png", "in/c/d.png", "in/e.png", "in/twin.png"]
    assert arrays["names"].tolist() == [str(tmp_path / name) for name in order]
    assert arrays["weights"] == str(path)

    images = np.stack([pixels[str(tmp_path / name)] for name in order[:4]])
    features = apply(net, variables, IMAGENET(images), train=False, method="features")
    expected = np.asarray(features["stage3"]).mean((1, 2))
    np.testing.assert_allclose(arrays["features"][:4], expected, rtol=0, atol=2e-4)
    rows = [line.split() for line in printed.splitlines()[2:]]
    assert rows[0] == [str(tmp_path / "in/a.png"), str(tmp_path / "in/twin.png"), "1.000"]
    with Image.open(out.with_suffix(".png")) as drawn:
        assert drawn.width > 3 * 128
    before = out.read_bytes()
    status, _, err = command(*arguments)
    assert status == 2
    assert "this file exists already" in err
    assert out.read_bytes() == before


def test_another_feature_by_index(headless, command, tmp_path):
    path, net, variables = headless
    pixels = write_image(tmp_path / "a.png")
    out = tmp_path / "stem.npz"
    status, printed, _ = command(
        "embed", *NET, "--weights", path, tmp_path / "a.png", "--out", out, "--index", "0",
        "--pictures", "0",
    )  # fmt: skip
    assert (status, printed.count("\n")) == (0, 1)
    features = apply(net, variables, IMAGENET(pixels[None]), train=False, method="features")
    np.testing.assert_allclose(
        read_arrays(out)["features"], np.asarray(features["stem"]).mean((1, 2)), atol=2e-4
    )
    assert not out.with_suffix(".png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--index", "7"], "index=7: expected numbers from -4 to 3"),
        (["--out", "a.npy"], "out=a.npy: expected a name that ends in .npz"),
        (["--neighbours", "0"], "neighbours=0: expected a whole number from 1"),
        (["film.mp4"], "images=film.mp4: expected pictures, this is a film"),
        (["nowhere.png"], "images: expected pictures, none of 1 files can be read"),
    ],
)
def test_bad_arguments_write_nothing(headless, command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    usual = [] if "--out" in arguments else ["--out", "a.npz"]
    named = [] if arguments[0][0] != "-" else ["nowhere.png"]
    status, _, err = command("embed", *NET, "--weights", headless[0], *named, *arguments, *usual)
    assert status == 2
    assert message in err
    assert not list(tmp_path.iterdir())


def test_nearest_by_cosine_whatever_the_length():
    features = np.array([[1, 0], [10, 1], [0, 2], [-3, 0], [0, 0]], np.float32)
    ((first, one), (second, two), *rest), (zero, *_) = neighbours.nearest(features, [0, 4], 9)
    assert [first, second] == [1, 2]
    np.testing.assert_allclose([one, two], [10 / np.sqrt(101), 0], atol=1e-6)
    assert [row for row, _ in rest] == [4, 3]
    assert zero[1] == 0
    assert neighbours.spread(10, 4) == [0, 2, 5, 7]
    assert neighbours.spread(3, 9) == [0, 1, 2]
