"""A run that paints pictures: `predict` keeps what a file has, blends, and tells what it cannot read."""

import io
import json

import jax
import numpy as np
import pytest
from PIL import Image

from jresnet.data import png16
from jresnet.data.deep_pictures import read_picture
from jresnet.data.normalisation import IMAGENET
from jresnet.data.sources.pictures import Pictures
from jresnet.models import zoo
from jresnet.recipes.restyling import RECIPES
from jresnet.run.launch import launch
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from jresnet.weights.run import read_variables
from tests.commands.conftest import write_image
from tests.data.conftest import photograph
from tests.models.headed_nets import backbone
from tests.nets import random_variables
from tests.tasks.test_stylise import CONSTANT

NET = zoo.restyler(4, 1)
RECIPE = RECIPES["small"].changed(steps=2, batch_size=2, patch=16, eval_batch_size=1)
LAYERS = {"style": ("stem", "stage1"), "content": "stage1"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder, of a net that has seen a few pictures."""
    folder = tmp_path_factory.mktemp("runs")
    for split in ("train", "test"):
        for number, size in enumerate([(40, 50), (12, 30)]):
            write_image(folder / "set" / split / f"{number}.png", pixels=photograph(*size, 30))

    def restyling():
        style = photograph(32, 32, 9) / np.float32(255)
        loss, known = RECIPE.criterion(
            CONSTANT["net"], [style], backbone=backbone(), normalize=IMAGENET, **LAYERS
        )
        data = RECIPE.data(Pictures(folder / "set"))
        return RECIPE.experiment(NET, data, loss, known)

    launch(restyling, ["--devices", "1", "--pictures", "3", "--workdir", str(folder / "run")])
    return folder / "run"


def expected(run, picture):
    """The net on a whole picture in [0, 1], `[H, W, 3]`."""
    variables = read_variables(run / "checkpoints")
    painted = jax.jit(lambda x: NET.apply(variables, x, train=False))(picture[None])
    return np.clip(np.asarray(painted[0]), 0, 1)


def predicted(command, run, tmp_path, *words):
    status, _, err = command("predict", run, *words, "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    pictures = {
        name: read_picture((tmp_path / "out" / entry["written"]["styled.png"]).read_bytes())
        for name, entry in record["files"].items()
    }
    return status, err, record, pictures


def test_a_run_leaves_losses_and_pairs_of_pictures(run):
    test = json.loads((run / "result.json").read_text())["metrics"]["test"]
    assert set(test) == {"loss", "style", "content", "variation", "change", "original/style"}
    pictures = json.loads((run / "pictures" / "pictures.json").read_text())
    assert "style loss" in json.dumps(pictures)


def test_pictures_of_all_sizes_stay_as_large_and_strength_blends(run, command, tmp_path):
    sizes = [(40, 50), (17, 9), (32, 64)]
    low = [write_image(tmp_path / f"{n}.png", n, size) for n, size in enumerate(sizes)]
    paths = [tmp_path / f"{n}.png" for n in range(len(low))]
    status, err, record, pictures = predicted(command, run, tmp_path, *paths, "--strength", "0.6")
    assert (status, err) == (0, "")
    for file, image in zip(paths, low, strict=True):
        picture = image / np.float32(255)
        whole = 255 * (0.6 * expected(run, picture) + 0.4 * picture)
        assert np.abs(pictures[str(file)].pixels - whole).max() < 0.6, file
    entry = record["files"][str(paths[0])]
    assert (entry["size"], entry["bits"]) == ([50, 40], 8)
    assert (tmp_path / "out" / entry["drawing"]).is_file()


def test_alpha_16_bits_and_exif_are_kept_and_grey_gets_the_style_s_colours(run, command, tmp_path):
    image = photograph(24, 30, 40)
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    alpha = np.zeros((24, 30), np.uint8)
    alpha[:, 15:] = 255
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "alpha.png", exif=tags)
    Image.fromarray(image[..., 0]).save(tmp_path / "grey.png", icc_profile=b"a grey profile")
    deep = image.astype(np.uint16) * 257
    (tmp_path / "deep.png").write_bytes(png16.encode(deep))
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn to the right
    Image.fromarray(image).save(tmp_path / "turned.jpg", quality=98, exif=turned)
    paths = [tmp_path / name for name in ("alpha.png", "grey.png", "deep.png", "turned.jpg")]
    status, err, record, pictures = predicted(command, run, tmp_path, *paths)
    assert (status, err) == (0, "")
    clear, grey, many, upright = (pictures[str(path)] for path in paths)
    np.testing.assert_array_equal(clear.alpha, alpha)
    written = tmp_path / "out" / record["files"][str(paths[0])]["written"]["styled.png"]
    with Image.open(io.BytesIO(written.read_bytes())) as opened:
        assert opened.getexif()[0x010F] == "a camera"
    assert grey.pixels.shape == (24, 30, 3)
    assert grey.profile == b""
    three = expected(run, image[..., :1].repeat(3, -1) / np.float32(255))
    assert np.abs(grey.pixels - 255 * three).max() < 0.6
    assert many.pixels.dtype == np.uint16
    assert np.abs(many.pixels / 65535 - expected(run, image / np.float32(255))).max() < 1e-3
    assert upright.pixels.shape == (30, 24, 3)
    assert record["files"][str(paths[3])]["size"] == [24, 30]


def test_what_cannot_be_read_is_told_in_a_line_each_and_the_rest_is_painted(run, command, tmp_path):
    write_image(tmp_path / "good.png", 1, (16, 16))
    write_image(tmp_path / "dot.png", 1, (1, 1))
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    frames = [Image.fromarray(photograph(8, 8, n + 5)) for n in range(2)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "text.png").write_text("no picture")
    names = ("cut.png", "film.gif", "good.png", "dot.png", "text.png", "no.png")
    status, err, record, pictures = predicted(command, run, tmp_path, *(tmp_path / n for n in names))  # fmt: skip
    assert status == 1
    assert list(pictures) == [str(tmp_path / "good.png"), str(tmp_path / "dot.png")]
    told = err.strip().splitlines()
    assert len(told) == 4 == len(record["skipped"])
    for name, line in zip(("cut.png", "film.gif", "text.png", "no.png"), told, strict=True):
        assert line.startswith("skipped ")
        assert name in line


def test_strength_is_for_painters_alone(run, command, tmp_path):
    write_image(tmp_path / "a.png")
    status, _, err = command("predict", run, tmp_path / "a.png", "--strength", "1.5")
    assert (status, err.count("\n")) == (2, 1)
    assert "strength=1.5: expected" in err
    net = zoo.cifar_resnet(8)
    files.save(to_torch(random_variables(net, (32, 32, 3)), net), tmp_path / "c.npz")
    arguments = ["cifar_resnet", "--depth", "8", "--weights", tmp_path / "c.npz"]
    status, _, err = command("predict", *arguments, tmp_path / "a.png", "--strength", "0.5")
    assert (status, err.count("\n")) == (2, 1)
    assert "strength=0.5: expected none, task Classify paints no pictures" in err


def test_evaluate_tells_how_much_pictures_change(run, command):
    result = json.loads((run / "result.json").read_text())["metrics"]["test"]
    status, out, err = command("evaluate", run, "--batch-size", "1")
    assert (status, err) == (0, "")
    assert float(out.split("change")[1].split()[0]) == pytest.approx(result["change"], rel=1e-3)


@pytest.mark.slow
def test_a_checkpoint_of_pytorch_s_example_paints(command, tmp_path):
    net = zoo.johnson()
    variables = random_variables(net, (16, 16, 3))
    files.save(to_torch(variables, net), tmp_path / "mosaic.npz")
    image = write_image(tmp_path / "a.png", 3, (14, 20))
    arguments = ["johnson", "--weights", tmp_path / "mosaic.npz"]
    status, _, err = command("predict", *arguments, tmp_path / "a.png", "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    (path,) = (tmp_path / "out").glob("*.styled.png")
    whole = jax.jit(lambda x: net.apply(variables, x, train=False))(image[None] / np.float32(255))
    off = read_picture(path.read_bytes()).pixels - np.clip(255 * np.asarray(whole[0]), 0, 255)
    assert np.abs(off).max() < 0.7
    status, _, err = command("predict", *arguments, tmp_path / "a.png", "--resize", "64")
    assert "resize=64: expected none, net johnson paints pictures anew" in err
