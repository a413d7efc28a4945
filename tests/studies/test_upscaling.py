"""The study of enlarged pictures: its nets and twins, what they start from, its losses, its page."""

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.upscale import upscale
from jresnet.data.patches import RandomPatch, WholePictures
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.models import zoo
from jresnet.models.block import BASIC
from jresnet.models.headed import backbone_of
from jresnet.models.published import abstract_variables
from jresnet.models.shortcuts import NoShortcut
from jresnet.models.upsample import enlarge
from jresnet.recipes.upscaling import RECIPES
from jresnet.report import gallery
from jresnet.report.drawing import labelled, side_by_side
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.upscaling.crops import compared
from jresnet.studies.upscaling.nets import build, family, plain_twin, read_start, small
from jresnet.studies.upscaling.report import Facts, cells, conclude, statement
from jresnet.studies.upscaling.trainings import read_features
from jresnet.tasks.picture_losses import Absolute, Squared
from jresnet.tasks.upscale import Upscale
from jresnet.tasks.upscale_adversarial import JUDGE, UpscaleAdversarially
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from jresnet.weights.run import read_variables
from tests.data.conftest import encode, photograph
from tests.nets import random_variables
from tests.test_experiments import defaults


def arguments(**changes):
    usual = {"blocks": (1,), "width": 4, "steps": 2, "batch_size": 2, "patch": 8, "plain": False}
    return {**defaults(upscale), **usual, **changes}


def folder_of(place):
    for split, sizes in (("train", [(40, 40), (12, 50)]), ("test", [(30, 36), (32, 48), (41, 33)])):
        for number, size in enumerate(sizes):
            path = place / split / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(photograph(*size, 17)))
    return place


def test_nets_and_their_twins():
    nets = family("small", 2, (1, 3), 8, plain=True)
    assert list(nets) == ["small-1", "plain small-1", "small-3", "plain small-3"]
    for title, net in nets.items():
        body = backbone_of(net)
        assert (body.shortcut == NoShortcut or isinstance(body.shortcut(), NoShortcut)) == title.startswith("plain")  # fmt: skip
        assert (body.branch == BASIC) == title.startswith("plain")
        assert body.widths == (8,)
    shapes = [jax.tree.map(np.shape, abstract_variables(nets[n], (8, 8, 3))) for n in ("small-3", "plain small-3")]  # fmt: skip
    assert shapes[0] == shapes[1]
    assert list(family("edsr_large", 4, (), None, plain=False)) == ["edsr_large"]
    assert plain_twin(zoo.edsr_large()).backbone.gate is None


def test_arguments_that_a_net_lacks_are_refused():
    with pytest.raises(UsageError, match="blocks=3: expected none, net srresnet"):
        family("srresnet", 2, (3,), None, plain=False)
    with pytest.raises(UsageError, match="width=8: expected none, net edsr_large"):
        build("edsr_large", 2, None, 8)
    with pytest.raises(UsageError, match=r"test_pictures=.*: expected dataset too"):
        upscale(**arguments(test_pictures="Set5"))


def test_a_small_net_begins_as_bicubic_nearly():
    net = small(2, 4)
    x = np.clip(photograph(12, 12, 9), 1, 254)[None] / np.float32(255)
    variables = jax.jit(lambda key: net.init(key, x, train=False))(jax.random.key(0))
    picture = jax.jit(lambda v: net.apply(v, x, train=False))(variables)
    assert np.abs(np.asarray(picture) - enlarge(x, 2, "bicubic")).mean() < 0.03


def test_a_run_is_of_one_scale_and_recipe(tmp_path, caplog):
    study = upscale(**arguments(dataset=folder_of(tmp_path), scale=4, ensemble=True, kind="pillow"))
    (experiment,) = study.runs.values()
    assert experiment.data.train_transform == RandomPatch(32)
    assert experiment.data.eval_transform == WholePictures(scale=4)
    assert experiment.task.model.scale == 4
    assert experiment.task.criterion == Absolute()
    assert (experiment.task.ensemble, experiment.task.kind) == (True, "pillow")
    assert experiment.task.tiles.margin == experiment.task.model.reach
    assert "1 of 2 pictures to train on are smaller than a patch of 32 x 32 pixels" in caplog.text
    (usual,) = upscale(**arguments(loss="l2")).runs.values()
    assert usual.task.criterion == Squared()
    assert type(usual.task) is Upscale


@pytest.mark.parametrize(
    ("recipe", "rates"),
    [
        ("srresnet", {0: 1e-4, 999_999: 1e-4}),
        ("edsr", {0: 1e-4, 199_999: 1e-4, 200_000: 5e-5, 299_999: 5e-5}),
    ],
)
def test_published_recipes(recipe, rates):
    chosen = RECIPES[recipe]
    for step, rate in rates.items():
        assert float(chosen.rate()(step)) == pytest.approx(rate)
    assert chosen.batch_size == 16


def test_basicsr_s_weights_start_a_net_and_those_of_another_are_refused(tmp_path):
    net = zoo.msrresnet(2, 1, 4)
    variables = random_variables(net, (8, 8, 3))
    path = tmp_path / "net.npz"
    files.save(to_torch(variables, net), path)
    started = read_start(path, net, "msrresnet")
    jax.tree.map(np.testing.assert_array_equal, started, variables)
    with pytest.raises(UsageError, match=r"net\.npz'.*: not of net edsr") as error:
        read_start(path, zoo.edsr(2, 1, 4), "edsr")
    assert "\n" not in str(error.value)


def test_features_of_a_classifier_are_read(tmp_path):
    body = zoo.cifar_resnet(20, num_classes=10)
    files.save(to_torch(random_variables(body, (32, 32, 3)), body), tmp_path / "c.npz")
    loss, constants = read_features(tmp_path / "c.npz", "cifar_resnet", "stage1", 0.5, 1.0, "l2")
    assert loss.backbone == body.backbone
    assert (loss.weight, loss.pixels, loss.pixel_loss) == (0.5, 1.0, Squared())
    assert set(constants) == {"params", "batch_stats"}
    with pytest.raises(
        UsageError, match="feature=stage4: expected one of stem, stage1, stage2, stage3"
    ):
        read_features(tmp_path / "c.npz", "cifar_resnet", "stage4", 0.5, 1.0, "l2")
    with pytest.raises(UsageError, match=r"c\.npz"):  # another depth than the file's
        read_features(tmp_path / "c.npz", "cifar_resnet", "stage1", 0.5, 1.0, "l2", depth=56)


def test_the_table_has_gains_over_bicubic_and_spreads():
    test = {
        "psnr_y": 32.0,
        "ssim_y": 0.9,
        "psnr_rgb": 30.0,
        "ssim_rgb": 0.88,
        "bicubic/psnr_y": 30.0,
    }
    assert cells([test], test) == ["32.00", "+2.00", "0.9000", "30.00", "0.8800"]
    other = {**test, "psnr_y": 33.0}
    assert cells([test, other], test)[:2] == ["32.50 ± 0.71", "+2.50"]
    del test["ssim_y"]
    assert cells([test], test)[2] == "nan"
    words = statement(Facts(2, "Set5", "the absolute error"), {"small-4": [other]})
    assert "bicubic 30.00 dB, small-4 33.00 dB (+3.00)" in words


def test_every_net_s_crops_stand_beside_each_other(tmp_path):
    shades = {"a": 90, "b": 200}
    for net, shade in shades.items():
        folder = tmp_path / net
        folder.mkdir()
        entries = []
        for index in (7, 3) if net == "a" else (3, 5):
            crops = [np.full((48, 60, 3), value, np.uint8) for value in (1, 2, shade, index)]
            words = f"reduced, bicubic 2{index}.00 dB, result 30.00 dB, truth"
            entries.append(gallery.Entry("worst", index, f"{index}.png", 30.0 + index, side_by_side(crops), words))  # fmt: skip
        gallery.write(folder, "test", entries, ())
    rows = compared({net: tmp_path / net for net in shades}, tmp_path / "crops")
    (row,) = rows.pictures  # both have drawn number 3 alone
    assert row.caption == "reduced, bicubic 23.00 dB, a 33.00 dB, b 33.00 dB, truth"
    pixels = np.asarray(Image.open(row.path))
    assert [int(pixels[0, 62 * n + 30, 0]) for n in range(5)] == [1, 2, 90, 200, 3]
    names = pixels[48:, :60]
    assert (names < 128).any()
    assert (names[:, 0] == 255).all()
    # More are rows of equal length, so that they can be seen on a page.
    many = labelled([np.full((48, 60, 3), n, np.uint8) for n in range(7)], 7 * [""])
    places = [(row, 62 * column) for row in (0, 48 + 40 + 2) for column in range(4)]
    assert [int(many[place][0]) for place in places] == [*range(7), 255]
    assert many.shape == (2 * (48 + 40) + 2, 4 * 60 + 3 * 2, 3)
    (tmp_path / "c").mkdir()
    assert compared({"a": tmp_path / "a", "c": tmp_path / "c"}, tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_the_net_that_training_began_with_has_a_column_where_its_crop_is_the_same(tmp_path):
    def draw(name, crops):
        folder = tmp_path / name
        folder.mkdir()
        entries = []
        for index, (bicubic, ours, truth) in crops.items():
            parts = [np.full((48, 60, 3), value, np.uint8) for value in (1, bicubic, ours, truth)]
            words = "reduced, bicubic 20.00 dB, result 30.00 dB, truth"
            entries.append(gallery.Entry("worst", index, f"{index}.png", float(ours), side_by_side(parts), words))  # fmt: skip
        gallery.write(folder, "test", entries, ())
        return folder

    ours = draw("ours", {0: (2, 40, 9), 1: (3, 41, 9), 2: (4, 42, 9)})
    start = draw("first", {0: (2, 50, 9), 1: (3, 51, 8)})  # number 1 is of another picture
    rows = compared({"small-4": ours}, tmp_path / "crops", start)
    assert rows.title == "Reduced, bicubic, start, small-4, truth"
    captions = [row.caption for row in rows.pictures]
    assert captions[0] == "reduced, bicubic 20.00 dB, start 50.00 dB, small-4 40.00 dB, truth"
    assert captions[1] == "reduced, bicubic 20.00 dB, small-4 41.00 dB, truth"
    pixels = np.asarray(Image.open(rows.pictures[0].path))
    assert [int(pixels[0, 62 * n + 30, 0]) for n in range(5)] == [1, 2, 50, 40, 9]
    file = tmp_path / "weights.pth"
    assert compared({"small-4": ours}, tmp_path / "crops", file).title.count("start") == 0


def test_the_adversarial_weight_is_an_argument():
    (usual,) = upscale(**arguments(adversarial=True)).runs.values()
    (other,) = upscale(**arguments(adversarial=True, adversarial_weight=0.02)).runs.values()
    assert (usual.task.adversarial, other.task.adversarial) == (1e-3, 0.02)


def test_the_judge_is_srgan_s_and_a_narrow_one_for_small_machines():
    assert RECIPES["srresnet"].judge() == zoo.srgan_discriminator()
    (usual,) = upscale(**arguments(adversarial=True)).runs.values()
    assert usual.task.judge.widths == (16, 16, 32, 32, 64, 64, 128, 128)
    assert usual.task.judge.dense == 256
    (wide,) = upscale(**arguments(adversarial=True, judge_width=64)).runs.values()
    assert wide.task.judge == zoo.srgan_discriminator()


def test_the_judge_has_a_rate_of_its_own():
    def rates(recipe):
        """Sizes of Adam's updates under a constant gradient after a ramp, which are the rates."""
        params = {"backbone": np.ones(1), JUDGE: np.ones(1)}
        optimizer = recipe.optimizer(two_players=True)
        _, state = optimizer.update(params, optimizer.init(params), params)
        updates, _ = optimizer.update(params, state, params)
        return {name: -float(leaf[0]) for name, leaf in updates.items()}

    small = RECIPES["small"].changed(steps=10)  # a ramp of one step
    assert rates(small) == pytest.approx({"backbone": 2e-3, JUDGE: 1e-4}, rel=1e-4)
    published = RECIPES["srresnet"].changed(learning_rate=3e-4)
    assert rates(published) == pytest.approx({"backbone": 3e-4, JUDGE: 3e-4}, rel=1e-4)
    chosen = published.changed(judge_rate=2e-5)
    assert rates(chosen) == pytest.approx({"backbone": 3e-4, JUDGE: 2e-5}, rel=1e-4)


@pytest.mark.slow
def test_a_study_against_a_judge_goes_on_from_a_run_without(tmp_path):
    folder, first, second = (tmp_path / name for name in ("set", "first", "second"))
    one = RunOptions(workdir=first, devices=1)
    line = run(upscale, arguments(dataset=folder_of(folder), ensemble=True), one)
    assert "small-1 " in line
    page = (first / "report.html").read_text()
    for words in ("Crops x2", "over bicubic", "self-ensemble", "Reduced, bicubic, small-1, truth"):
        assert words in page
    source = first / "small-1-seed0"
    inputs = arguments(dataset=folder, weights=source, adversarial=True)
    study = upscale(**inputs)
    (experiment,) = study.runs.values()
    assert isinstance(experiment.task, UpscaleAdversarially)
    stored = read_variables(source / "checkpoints")
    jax.tree.map(np.testing.assert_array_equal, experiment.start, stored)
    run(upscale, inputs, RunOptions(workdir=second, devices=1))
    assert "Reduced, bicubic, start, small-1, truth" in (second / "report.html").read_text()
    trained = read_variables(second / "small-1-seed0" / "checkpoints")
    assert set(trained["params"]) == {"backbone", "head", "discriminator"}
    again = read_start(second / "small-1-seed0", experiment.task.model, "small-1")
    with pytest.raises(UsageError, match=r"not of net small-2: params/backbone/.* is missing"):
        read_start(second / "small-1-seed0", small(2, 2, 4), "small-2")
    assert set(again["params"]) == {"backbone", "head"}
    # The features of a classifier, with the constants that no run keeps.
    body = zoo.cifar_resnet(20, num_classes=5)
    files.save(to_torch(random_variables(body, (32, 32, 3)), body), tmp_path / "c.npz")
    third = arguments(dataset=folder, features=tmp_path / "c.npz", features_net="cifar_resnet")
    result = run(upscale, third, RunOptions(workdir=tmp_path / "third", devices=1))
    assert "that of stage2 of a trained net" in result


def test_results_without_pictures_make_a_page(tmp_path):
    test = {"psnr_y": 32.0, "ssim_y": 0.9, "psnr_rgb": 30.0, "ssim_rgb": 0.88}
    test |= {f"bicubic/{name}": value - 1 for name, value in test.items()}
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.jsonl").write_text('{"step": 1, "split": "test", "loss": 1.0, "psnr_y": 32.0}\n')  # fmt: skip
    results = {"a-seed0": Result({"test": test}, 1.0, 5, tmp_path / "a")}
    for judged in (False, True):
        conclusion = conclude(Facts(2, "set", "x", judged), tmp_path, results, {})
        assert conclusion.page is not None
        page = conclusion.page.read_text()
        assert "bicubic" in page
        assert ("those of the net and of the discriminator" in page) == judged
