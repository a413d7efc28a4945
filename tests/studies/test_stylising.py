"""Style transfer from the command line: pictures as people have them, and the files it leaves."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from experiments.style import style
from jresnet.data.deep_pictures import DeepPicture, read_picture
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.feature_net import (
    colour_feature_net,
    fresh_feature_net,
    net_in_words,
    read_feature_net,
)
from jresnet.studies.stylising.pictures import (
    Photo,
    read_photos,
    resized,
    result_file,
    sample_content,
    sample_style,
)
from jresnet.tasks.style_losses import SoftmaxAll
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.data.conftest import encode, photograph
from tests.nets import random_variables
from tests.test_experiments import defaults


def arguments(**changes):
    return {**defaults(style), "size": 32, "depth": 8, "steps": 2, **changes}


def write(path, data):
    path.write_bytes(data)
    return path


def film():
    stream = io.BytesIO()
    frames = [Image.fromarray(photograph(20, 20, period)) for period in (7, 9)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (film(), "a film of 2 pictures; expected one"),
        (encode(photograph(20, 20))[:200], "not a readable picture"),
        (b"no picture", "not a readable picture"),
        (encode(photograph(8, 300)), "32 x 1 pixels at size=32, expected at least 16 x 16"),
    ],
)
def test_bad_pictures_are_refused_in_one_line(tmp_path, data, words):
    path = write(tmp_path / "a.png", data)
    with pytest.raises(UsageError, match="content=") as error:
        read_photos("content", [path], 32)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"styles=.*none\.png: not a readable picture"):
        read_photos("styles", [tmp_path / "none.png"], 32)


def test_pictures_are_resized_by_their_longer_side_and_have_names_of_their_own(tmp_path):
    (tmp_path / "x").mkdir()
    paths = [tmp_path / "a b.png", tmp_path / "x" / "a b.png"]
    for path, size in zip(paths, [(40, 60), (60, 40)], strict=True):
        path.write_bytes(encode(photograph(*size)))
    one, other = read_photos("content", paths, 48)
    assert one.pixels.shape == (32, 48, 3)
    assert other.pixels.shape == (48, 32, 3)
    assert (one.name, other.name) == ("a_b", "a_b-2")
    assert one.pixels.dtype == np.float32
    whole = read_photos("content", paths[:1], 60)[0].pixels
    np.testing.assert_array_equal(np.rint(255 * whole), photograph(40, 60))
    flat = resized(np.full((9, 7, 3), 0.25, np.float32), 20, 5)
    np.testing.assert_allclose(flat, 0.25, rtol=1e-6)
    assert flat.shape == (20, 5, 3)


def test_results_keep_alpha_bits_and_exif():
    deep = (photograph(20, 30).astype(np.uint16) << 8) + 7
    alpha = np.full((20, 30), 2**15, np.uint16)
    photo = Photo("a", np.zeros((10, 15, 3), np.float32), DeepPicture(deep, alpha, b"", b""))
    result = np.linspace(0, 1, 10 * 15 * 3, dtype=np.float32).reshape(10, 15, 3)
    again = read_picture(result_file(result, photo))
    assert again.pixels.dtype == np.uint16
    np.testing.assert_allclose(again.pixels / 65535, result, atol=1e-5)
    assert np.abs(again.alpha.astype(int) - 2**15).max() <= 1
    grey = Photo("a", photo.pixels, DeepPicture(photograph(20, 30)[..., :1]))
    assert read_picture(result_file(result, grey)).pixels.shape == (10, 15, 3)


def test_pictures_do_not_take_the_names_of_a_run_s_folders(tmp_path):
    names = ("256x171", "page", "Page", "pages")
    paths = [write(tmp_path / f"{name}.png", encode(photograph(20, 20))) for name in names]
    photos = read_photos("content", paths, 32)
    assert [photo.name for photo in photos] == ["256x171-2", "page-2", "Page-2", "pages"]


def test_samples_need_no_files():
    assert sample_content(32).pixels.shape == (32, 30, 3)
    waves = sample_style(32).pixels
    assert waves.shape == (32, 32, 3)
    assert waves.std((0, 1)).min() > 0.2


@pytest.mark.slow
def test_a_run_leaves_a_picture_for_each_content(tmp_path):
    names = {"a.png": (32, 24), "b.png": (64, 48), "c.png": (24, 32)}
    for name, size in names.items():
        (tmp_path / name).write_bytes(encode(photograph(*size, 11)))
    content = tuple(tmp_path / name for name in names)
    options = RunOptions(workdir=tmp_path / "run", devices=1)
    chosen = arguments(content=content, smoothing="softmax-all", keep_colour=True, blend=(2.0,))
    study = style(**chosen)
    # Pictures of one size are one run.
    assert list(study.runs) == ["24x32", "c"]
    assert study.runs["24x32"].task.count == 2
    assert study.runs["c"].task.criterion.smoothing == SoftmaxAll()
    line = run(style, chosen, options)
    assert line.startswith("Style loss fell to")
    for name in names:
        result = read_picture((tmp_path / "run" / name).read_bytes())
        assert max(result.pixels.shape) == 32
    page = (tmp_path / "run" / "report.html").read_text()
    assert "content layer stage2, smoothing softmax-all" in page
    assert "random weights" in page
    result = json.loads((tmp_path / "run" / "c" / "result.json").read_text())
    assert set(result["metrics"]["test"]) == {"loss", "style", "content", "variation"}


def test_arguments_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"blend=1\.0 2\.0: expected 1, one a style picture"):
        style(**arguments(blend=(1.0, 2.0)))
    with pytest.raises(UsageError, match="style_layers=stage4: expected one of stem, stage1"):
        style(**arguments(style_layers=("stem", "stage4")))
    with pytest.raises(UsageError, match="content_layer=pool: expected one of stem"):
        style(**arguments(content_layer="pool"))


def test_feature_nets(tmp_path, golden):
    body = colour_feature_net(golden / "cifar_resnet20_state.npz", "cifar_resnet")
    assert body.layers == ("stem", "stage1", "stage2", "stage3")
    assert body.backbone.depths == (3, 3, 3)
    read = read_feature_net(golden / "cifar_resnet20_state.npz", "cifar_resnet", {"depth": 20})
    assert set(read.variables) == {"params", "batch_stats"}
    with pytest.raises(UsageError, match="expected none, the net resnet18 has no depth to choose"):
        fresh_feature_net("resnet18", {"depth": 20})
    assert net_in_words(None, "resnet18") == "resnet18 with random weights"
    assert net_in_words(tmp_path / "a.npz", "resnet18") == "resnet18 with weights of a.npz"
    assert net_in_words(tmp_path, "resnet18") == f"net of the run {tmp_path.name}"
    one, same, other = (fresh_feature_net("cifar_resnet", {"depth": 8}, seed) for seed in (0, 0, 1))
    kernel = lambda net: np.asarray(net.variables["params"]["stem"]["conv"]["kernel"])  # noqa: E731
    np.testing.assert_array_equal(kernel(one), kernel(same))
    assert not np.array_equal(kernel(one), kernel(other))


def test_a_grey_net_is_refused(tmp_path):
    net = zoo.cifar_resnet(8)
    files.save(to_torch(random_variables(net, (32, 32, 1)), net), tmp_path / "grey.npz")
    with pytest.raises(UsageError, match="expected a net of 3 channels, this one takes 1"):
        colour_feature_net(tmp_path / "grey.npz", "cifar_resnet", 8)


def test_the_first_layer_is_the_map_before_the_stem_s_pool():
    net = fresh_feature_net("resnet18").before_pool()
    assert net.layers == ("before_pool", "stage1", "stage2", "stage3", "stage4")
    net.check("style_layers", "stem")  # after the pool, by its name
    with pytest.raises(UsageError, match="layer=stage5: expected one of before_pool, stem, stage1"):
        net.check("layer", "stage5")
    assert fresh_feature_net("cifar_resnet", {"depth": 8}).before_pool().layers[0] == "stem"
    study = style(**arguments(net="resnet18", depth=None))
    (experiment,) = study.runs.values()
    assert experiment.task.criterion.style == net.layers
    assert experiment.constants["grams"]["before_pool"].shape == (1, 64, 64)
