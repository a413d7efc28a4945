"""A run that enlarges pictures: `predict` keeps what a file has, `evaluate` gives the run's scores."""

import collections
import dataclasses
import io
import json
from fractions import Fraction
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from jresnet.commands.predict_pictures import rows_of
from jresnet.data import png16
from jresnet.data.augment.resize import resize
from jresnet.data.deep_pictures import read_picture
from jresnet.data.films import frames
from jresnet.data.sources.pictures import Pictures
from jresnet.models import zoo
from jresnet.models.published import published
from jresnet.recipes.upscaling import RECIPES
from jresnet.run.launch import launch
from jresnet.tasks.case import Case
from jresnet.tasks.tiles import Tiles
from jresnet.tasks.upscale import Upscale, tiles_for
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from jresnet.weights.run import read_variables
from tests.commands.conftest import write_image
from tests.data.conftest import photograph
from tests.films import moving_square, write_film
from tests.models.edsr_by_hand import BASICSR, edsr_by_hand
from tests.nets import random_variables
from tests.train.test_program import compilations

NET = zoo.srresnet(2, 1, 4, norm=False, ends=3)
RECIPE = RECIPES["small"].changed(steps=2, batch_size=2, patch=8)
SIZES = [(40, 50), (34, 64), (20, 17)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder, of a net that has seen a few pictures."""
    folder = tmp_path_factory.mktemp("runs")
    for split in ("train", "test"):
        for number, size in enumerate(SIZES):
            write_image(folder / "set" / split / f"{number}.png", pixels=photograph(*size, 30))

    def upscaling():
        data = RECIPE.data(Pictures(folder / "set"), 2)
        experiment = RECIPE.experiment(NET, data)
        # Tiles so small that pictures of these sizes have several.
        task = dataclasses.replace(experiment.task, tiles=Tiles(2 * NET.reach + 8, NET.reach))
        return dataclasses.replace(experiment, task=task)

    launch(upscaling, ["--devices", "1", "--pictures", "3", "--workdir", str(folder / "run")])
    return folder / "run"


def expected(run, low):
    """The net on a whole picture in [0, 1], `[H, W, 3]`."""
    variables = read_variables(run / "checkpoints")
    picture = jax.jit(lambda x: NET.apply(variables, x, train=False))(low[None])
    return np.clip(np.asarray(picture[0]), 0, 1)


def predicted(command, run, tmp_path, *files):
    status, _, err = command("predict", run, *files, "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    pictures = {
        name: read_picture((tmp_path / "out" / entry["written"]["x2.png"]).read_bytes())
        for name, entry in record["files"].items()
    }
    return status, err, record, pictures


def test_pictures_of_all_sizes_are_enlarged_by_few_programs_and_without_seams(run, command, tmp_path):  # fmt: skip
    lows = [
        write_image(tmp_path / f"{n}.png", n, size) for n, size in enumerate([*SIZES, (33, 60)])
    ]
    files = [tmp_path / f"{n}.png" for n in range(len(lows))]
    with compilations() as names:
        status, err, record, pictures = predicted(command, run, tmp_path, *files)
    assert (status, err) == (0, "")
    assert collections.Counter(names)["predict"] == 1  # all are padded to 64 x 64
    for file, low in zip(files, lows, strict=True):
        whole = 255 * expected(run, low / np.float32(255))
        off = np.abs(pictures[str(file)].pixels - whole)
        assert off.max() < 0.51, file  # rounding alone
    entry = record["files"][str(files[0])]
    assert entry["size"] == [50, 40]
    assert entry["enlarged"] == [100, 80]
    assert (tmp_path / "out" / entry["drawing"]).is_file()


def test_a_batch_holds_fewer_pictures_the_larger_results_and_features_are():
    def rows(net, height, width):
        case = Case("a", {"image": np.zeros((height, width, 3), np.uint8)})
        return rows_of(case, 32, Upscale(net, tiles=tiles_for(net)))

    two, eight = (zoo.srresnet(scale, 1, 3, norm=False) for scale in (2, 8))
    assert (rows(two, 512, 512), rows(eight, 512, 512)) == (8, 1)
    large = zoo.edsr_large(4)
    assert tiles_for(large).side == 256
    assert tiles_for(zoo.edsr_baseline(4)).side == 192
    assert (rows(large, 512, 512), rows(large, 64, 64)) == (1, 1)
    assert rows_of(Case("a", {"image": np.zeros((512, 512, 3))}), 99, None) == 32


def test_alpha_grey_16_bits_and_exif_are_kept(run, command, tmp_path):
    image = photograph(24, 30, 40)
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    alpha = np.zeros((24, 30), np.uint8)
    alpha[:, 15:] = 255
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "alpha.png", exif=tags)
    Image.fromarray(image[..., 0]).save(tmp_path / "grey.png")
    deep = image.astype(np.uint16) * 257 + 3
    (tmp_path / "deep.png").write_bytes(png16.encode(deep))
    files = [tmp_path / f"{name}.png" for name in ("alpha", "grey", "deep")]
    status, err, record, pictures = predicted(command, run, tmp_path, *files)
    assert (status, err) == (0, "")
    clear, grey, many = (pictures[str(file)] for file in files)
    assert clear.alpha is not None
    assert clear.alpha.shape == (48, 60)
    assert (clear.alpha[:, :20] == 0).all()
    assert (clear.alpha[:, 40:] == 255).all()
    tagged = (tmp_path / "out" / record["files"][str(files[0])]["written"]["x2.png"]).read_bytes()
    with Image.open(io.BytesIO(tagged)) as opened:
        assert opened.getexif()[0x010F] == "a camera"
    assert grey.pixels.shape == (48, 60, 1)
    three = expected(run, image[..., :1].repeat(3, -1) / np.float32(255))
    # The mean of colours that were rounded, rounded once more.
    assert np.abs(grey.pixels[..., 0] - 255 * three.mean(-1)).max() <= 1
    assert many.pixels.dtype == np.uint16
    whole = 65535 * expected(run, (deep / 65535).astype(np.float32))
    assert np.abs(many.pixels - whole).max() < 2


def test_what_cannot_be_enlarged_is_told_in_a_line_each_and_the_rest_is_made(run, command, tmp_path):  # fmt: skip
    write_image(tmp_path / "good.png", 1, (16, 16))
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    shown = [Image.fromarray(photograph(8, 8, n + 5)) for n in range(2)]
    shown[0].save(tmp_path / "film.gif", save_all=True, append_images=shown[1:])
    (tmp_path / "text.png").write_text("no picture")
    files = [tmp_path / name for name in ("cut.png", "film.gif", "good.png", "text.png", "no.png")]
    status, err, record, pictures = predicted(command, run, tmp_path, *files)
    assert status == 1
    assert list(pictures) == [str(tmp_path / "good.png")]
    told = err.strip().splitlines()
    assert len(told) == 4 == len(record["skipped"])
    for name, line in zip(("cut.png", "film.gif", "text.png", "no.png"), told, strict=True):
        assert line.startswith("skipped ")
        assert name in line
    assert "a film of 2 pictures; expected one" in err


def test_every_frame_of_a_film_is_enlarged_up_to_where_it_is_damaged(run, command, tmp_path):
    pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
    pictures = np.stack([photograph(32, 48, 20 + 3 * number) for number in range(6)])
    name = "a film.of 10:30 " + 50 * "o"
    film = write_film(tmp_path / "a.mp4", pictures).rename(tmp_path / f"{name}.mp4")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(write_film(tmp_path / "b.avi", moving_square(30), "mjpeg").read_bytes()[:9000])
    still = write_image(tmp_path / "still.png", 1, (16, 16))
    files = [film, cut, tmp_path / "still.png"]
    status, err, record, enlarged = predicted(command, run, tmp_path, *files)
    assert status == 1
    names = [str(film / f"{name[:40]}-{number:06d}.png") for number in range(1, 7)]
    assert [place for place in enlarged if place.startswith(str(film))] == names
    for place, frame in zip(names, frames(film), strict=True):
        off = np.abs(enlarged[place].pixels - 255 * expected(run, frame / np.float32(255)))
        assert off.max() < 0.51
    whole = [place for place in enlarged if place.startswith(str(cut))]
    assert 0 < len(whole) < 30
    assert list(record["skipped"]) == [str(cut)]
    assert f"after {len(whole)}" in err
    np.testing.assert_equal(
        enlarged[str(files[2])].pixels.shape[:2], np.multiply(2, still.shape[:2])
    )


def test_films_need_an_extra_that_is_named(run, command, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "a.mp4").write_bytes(b"")
    status, _, err = command("predict", run, tmp_path / "a.mp4")
    assert status == 2
    assert "av is not installed: pip install 'jresnet[video]'" in err


def test_evaluate_gives_the_run_s_scores_and_crops_were_drawn(run, command):
    result = json.loads((run / "result.json").read_text())["metrics"]["test"]
    status, out, err = command("evaluate", run, "--batch-size", "1")
    assert (status, err) == (0, "")
    lines = (line.split() for line in out.splitlines()[2:])
    printed = {words[2]: float(words[3]) for words in lines}
    assert printed == pytest.approx(result, rel=1e-3)
    record = json.loads((run / "pictures" / "pictures.json").read_text())
    assert {picture["group"] for picture in record["pictures"]} == {"worst", "median", "best"}


def test_a_published_net_enlarges_pictures_by_a_file_of_its_weights(command, tmp_path):
    net = zoo.edsr_baseline(2)
    variables = random_variables(net, (8, 8, 3))
    files.save(to_torch(variables, net), tmp_path / "edsr.npz")
    low = write_image(tmp_path / "a.png", 3, (14, 20))
    arguments = ["edsr_baseline", "--scale", "2", "--weights", tmp_path / "edsr.npz"]
    status, out, err = command("predict", *arguments, tmp_path / "a.png", "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert "20 x 14" in out
    assert "40 x 28" in out
    (path,) = (tmp_path / "out").glob("*.x2.png")
    whole = jax.jit(lambda x: net.apply(variables, x, train=False))(low[None] / np.float32(255))[0]
    off = read_picture(path.read_bytes()).pixels - np.clip(255 * np.asarray(whole), 0, 255)
    assert np.abs(off).max() < 0.6
    status, _, err = command("predict", *arguments, tmp_path / "a.png", "--resize", "64")
    assert (status, err.count("\n")) == (2, 1)
    assert "resize=64: expected none, net edsr_baseline enlarges pictures" in err


@published(1, None, "none", (8, 8, 3))
def tiny_edsr(scale: int = 2, **backbone: Any):
    return zoo.edsr(scale, 2, 8, **backbone)


def test_evaluate_gives_the_psnr_of_a_published_net_by_basicsr_s_names(command, tmp_path, monkeypatch):  # fmt: skip
    monkeypatch.setattr(zoo, "tiny_edsr", tiny_edsr, raising=False)
    net = tiny_edsr(2)
    variables = random_variables(net, (8, 8, 3))
    # Results near the mean colour, of which few are cut at 0 and 255.
    variables["params"]["head"]["out"]["kernel"] *= 0.1
    state = to_torch(variables, net)
    files.save(state, tmp_path / "edsr.npz")
    sides, weights = [(40, 50), (33, 42)], np.array([65.481, 128.553, 24.966]) / 255
    expected = []
    for number, size in enumerate(sides):
        pixels = photograph(*size, 30)
        write_image(tmp_path / "Set5" / f"{number}.png", pixels=pixels)
        truth = pixels[: size[0] // 2 * 2].astype(np.float32)
        low = np.asarray(resize(truth[None], Fraction(1, 2), "matlab"))[0]
        large = np.rint(edsr_by_hand(state, BASICSR, low, 2, 2).clip(0, 255))
        error = ((large - truth) @ weights)[2:-2, 2:-2]
        expected.append(10 * np.log10(255**2 / np.square(error).mean()))
    words = ["evaluate", "tiny_edsr", "--scale", "2", "--weights", tmp_path / "edsr.npz"]
    words += ["--dataset", tmp_path / "Set5"]
    status, out, err = command(*words)
    assert (status, err) == (0, "")
    printed = {line.split()[2]: float(line.split()[3]) for line in out.splitlines()[2:]}
    assert printed["psnr_y"] == pytest.approx(np.mean(expected), abs=0.01)
    assert printed["bicubic/psnr_y"] > printed["psnr_y"] > 5
    status, _, err = command(*words, "--crop", "32")
    assert (status, err.count("\n")) == (2, 1)
    assert "crop=32: expected none" in err
    status, _, err = command(*words[:-1], tmp_path / "none")
    assert (status, err.count("\n")) == (2, 1)
    assert "none': no such folder" in err
