"""A run that labels pictures of mixed sizes in windows: its programs, `predict` and `evaluate`."""

import collections
import json

import jax
import numpy as np
import pytest
from PIL import Image

from jresnet.data.normalisation import IMAGENET
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.with_map import AtOwnSize
from jresnet.description import rebuilding
from jresnet.recipes.segmentation import SegmentRecipe
from jresnet.run.launch import launch
from jresnet.tasks.windows import Windows
from jresnet.weights.run import read_variables
from tests.commands.conftest import write_image
from tests.tasks.test_segment import Pixelwise
from tests.train.test_program import compilations

SIZES = [(16, 16), (24, 32), (20, 30), (16, 10), (40, 20), (23, 31)]
BUCKETS = {(16, 16), (24, 32), (48, 24)}
RECIPE = SegmentRecipe(4, 2, 1e-2, (16, 16), ((16, 16),))


def folder_of_maps(folder):
    for split in ("train", "val"):
        for number, size in enumerate(SIZES):
            pixels = write_image(folder / split / "images" / f"{number}.png", number, size)
            labels = (pixels[..., 0] > 127).astype(np.uint8)
            path = folder / split / "labels" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(path)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run's folder, and the programs that were compiled for it."""
    folder = tmp_path_factory.mktemp("runs")
    maps = LabelMaps(folder_of_maps(folder / "maps"), ("dark", "bright"))

    def labelling():
        data = RECIPE.data(maps, True, batch_size=2, eval_batch_size=2)
        windows = Windows(RECIPE.crop, margin=1)
        return RECIPE.experiment(Pixelwise(), data, boundaries=True, windows=windows)

    with compilations() as names:
        arguments = ["--devices", "1", "--pictures", "0", "--workdir", str(folder / "run")]
        launch(labelling, arguments)
    return folder / "run", collections.Counter(names)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(rebuilding, "_KNOWN", (*rebuilding._KNOWN, "tests"))


def test_sizes_are_few_and_hold_every_image_or_say_that_they_do_not(caplog):
    bucketed = AtOwnSize(base=(16, 16))
    sizes = [each.size for each in bucketed.transforms]
    assert len(sizes) == len(set(sizes)) == 121
    assert max(sizes) == (512, 512)
    assert sizes[bucketed.choose((130, 20), sizes)] == (192, 24)
    assert not caplog.messages
    assert sizes[bucketed.choose((600, 20), sizes)] == (512, 512)
    told = "images of 600 x 20 pixels (height x width) are scaled down to fit 512 x 512"
    assert caplog.messages == [told]


def test_an_epoch_of_mixed_sizes_compiles_a_program_a_bucket(trained):
    _, counted = trained
    assert counted["train_step"] == 1
    assert counted["eval_step"] == len(BUCKETS)


def test_pictures_are_predicted_at_their_own_size_by_a_program_a_bucket(trained, command, tmp_path):
    run, _ = trained
    pixels = [
        write_image(tmp_path / "in" / f"{number}.png", number, size)
        for number, size in enumerate(SIZES)
    ]
    with compilations() as names:
        status, _, err = command("predict", run, tmp_path / "in", "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert collections.Counter(names)["predict"] == len(BUCKETS)
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())["files"]
    variables = read_variables(run / "checkpoints")
    for picture, record in zip(pixels, results.values(), strict=True):
        labels = np.asarray(Image.open(tmp_path / "out" / record["images"]["map"]))
        assert labels.shape == picture.shape[:2]
        logits = Pixelwise().apply(variables, IMAGENET(picture[None]), train=False)
        whole = np.asarray(jax.device_get(logits))[0].argmax(-1)
        inside = np.s_[:-1, :-1]  # beyond the last pixels lies black, and not the net's padding
        np.testing.assert_array_equal(labels[inside], whole[inside])


@pytest.mark.slow
def test_evaluate_gives_the_run_s_metrics_and_those_of_views(trained, command):
    run, _ = trained
    result = json.loads((run / "result.json").read_text())["metrics"]["test"]
    assert result["missed/bright"] == 0
    assert result["hausdorff95/dark"] >= 0
    status, out, err = command("evaluate", run, "--batch-size", "2")
    assert (status, err) == (0, "")
    assert printed(out) == pytest.approx(result, rel=1e-3)
    status, out, err = command(
        "evaluate", run, "--views", "mirrored", "--scales", "1", "1.5", "--batch-size", "2"
    )
    assert (status, err) == (0, "")
    views = printed(out)
    assert {name: views[name] for name in result} == pytest.approx(result, rel=1e-3)
    assert 0 < views["views/mean_iou"] < 1


def printed(out):
    return {line.split()[2]: float(line.split()[3]) for line in out.splitlines()[2:]}


def test_views_of_classifiers_are_refused(trained, command):
    status, _, err = command("evaluate", trained[0], "--views", "ten")
    assert (status, err.count("\n")) == (2, 1)
    assert "views='ten': expected one or mirrored" in err
