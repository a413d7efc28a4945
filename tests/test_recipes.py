"""Recipes: their numbers, and each of them run end to end on real pictures in ImageNet's layout."""

import dataclasses
import typing
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.imagenet import imagenet
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.files import SUFFIXES
from jresnet.models.block import BASIC
from jresnet.models.heads import Classifier
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.models.resnet import ResNet, Stem, StemConv
from jresnet.recipes.imagenet import RECIPES, RecipeName
from jresnet.runtime.mesh import make_mesh
from jresnet.train import loop
from jresnet.train.loop import fit
from jresnet.weights.run import read_variables

PICTURES = Path(__file__).parents[1].parent / "shared" / "data" / "cats_dogs"
NAMES = typing.get_args(RecipeName)
EPOCH = {name: 1_281_167 // recipe.batch_size for name, recipe in RECIPES.items()}


# Peak after the warm-up, rate at half of the epochs and just before the last step.
@pytest.mark.parametrize(
    ("name", "peak", "half", "end"),
    [
        ("goyal", 0.1, 0.01, 1e-4),
        ("he2015", 0.1, 0.001, 1e-4),
        ("nvidia90", 0.256, 0.128 * (1 + np.cos(np.pi * 40 / 85)), 0),
        ("nvidia250", 0.256, 0.128 * (1 + np.cos(np.pi * 120 / 245)), 0),
        ("mlperf_lars", 10.0, 10 * (21 / 37) ** 2, 0),
        ("bag_of_tricks", 0.4, 0.2 * (1 + np.cos(np.pi * 95 / 195)), 0),
        ("resnet_rs", 0.1, 0.05 * (1 + np.cos(np.pi * 170 / 345)), 0),
        ("rsb_a1", 5e-3, 2.5e-3 * (1 + np.cos(np.pi * 295 / 595)), 0),
        ("rsb_a2", 5e-3, 2.5e-3 * (1 + np.cos(np.pi * 145 / 295)), 0),
        ("rsb_a3", 8e-3, 4e-3 * (1 + np.cos(np.pi * 45 / 95)), 0),
        ("torchvision_v2", 0.5, 0.25 * (1 + np.cos(np.pi * 295 / 595)), 0),
    ],
)
def test_rates(name, peak, half, end):
    recipe, epoch = RECIPES[name], EPOCH[name]
    schedule = recipe.rates(recipe.batch_size, epoch)
    steps = recipe.epochs * epoch
    actual = [float(schedule(s)) for s in (recipe.warmup_epochs * epoch, steps // 2, steps - 1)]
    assert actual == pytest.approx([peak, half, end], rel=2e-4, abs=1e-5 * peak)
    assert float(recipe.rates(2 * recipe.batch_size, epoch)(epoch * 5)) == pytest.approx(
        2 * peak, rel=2e-3
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_command_builds_each(name):
    experiment = imagenet(recipe=name)
    recipe = RECIPES[name]
    assert experiment.plan.steps == recipe.epochs * EPOCH[name]
    assert experiment.data.batch_size == recipe.batch_size
    assert experiment.task.model.backbone.drop_path == recipe.drop_path
    assert experiment.data.train_transform.image_shape == (recipe.train_size, recipe.train_size, 3)
    help_text = imagenet.__doc__
    assert name in help_text


def test_arguments_replace_the_recipe_s():
    experiment = imagenet(
        "goyal", epochs=45, batch_size=512, train_size=128, test_size=160, batch_norm_group=16
    )
    epoch = 1_281_167 // 512
    assert experiment.plan.steps == 45 * epoch
    recipe = dataclasses.replace(RECIPES["goyal"], epochs=45, drops=(15, 30, 40), warmup_epochs=2)
    rates = recipe.rates(512, epoch)
    assert [float(rates(epoch * e)) for e in (2, 15, 30, 40)] == pytest.approx(
        [0.2, 0.02, 0.002, 2e-4]
    )
    assert (experiment.data.eval_transform.resize, experiment.data.eval_transform.crop) == (
        183,
        160,
    )
    assert experiment.task.model.backbone.norm == part(BatchNorm, group=16)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """24 pictures of cats and dogs to train on and 10 to test, 48 pixels wide."""
    if not PICTURES.is_dir():
        pytest.skip(f"the pictures are not at {PICTURES}")
    folder = tmp_path_factory.mktemp("imagenet")
    for split, count in (("train", 12), ("test", 5)):
        for name in ("cat", "dog"):
            target = folder / {"test": "val"}.get(split, split) / name
            target.mkdir(parents=True)
            files = sorted(p for p in (PICTURES / split / name).iterdir() if p.suffix in SUFFIXES)
            for file in files[:count]:
                Image.open(file).convert("RGB").resize((48, 40)).save(target / file.name)
    return folder


def small(num_classes):
    """Two blocks."""
    stem = part(Stem, convs=(StemConv(8, 3, 2),), pool=None)
    return Classifier(ResNet((1, 1), BASIC, (8, 16), (1, 2), stem=stem), num_classes)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_runs_on_real_pictures(name, pictures, tmp_path, monkeypatch):
    if name != "rsb_a2":  # one compilation less; what they show is tests/train/test_observed.py's
        monkeypatch.setattr(loop, "input_pictures", lambda *args: None)
    recipe = dataclasses.replace(
        RECIPES[name], epochs=2, warmup_epochs=1, train_size=24, test_resize=32, test_size=24,
        batch_norm_group=None if RECIPES[name].batch_norm_group is None else 8,
    )  # fmt: skip
    if name == "he2015":
        crop = recipe.train_crop
        recipe = dataclasses.replace(recipe, train_crop=lambda size: crop(size, (26, 40)))
    data = ImageData(str(pictures), 8, eval_batch_size=8)
    experiment = recipe.experiment(small, data, jnp.float32)
    plan = dataclasses.replace(experiment.plan, eval_every=None, save_every=None)
    experiment = dataclasses.replace(experiment, plan=plan)
    experiment.data.check()
    fitted = fit(
        experiment.task, experiment.optimizer, experiment.data, experiment.plan, tmp_path,
        mesh=make_mesh(1),
    )  # fmt: skip
    assert int(fitted.state.step) == 2 * 3
    assert np.isfinite(fitted.metrics["test"]["loss"])
    assert (fitted.state.average is not None) == (recipe.ema_decay is not None)
    assert read_variables(tmp_path / "checkpoints")["params"]["head"]["kernel"].shape == (16, 2)
