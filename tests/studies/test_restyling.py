"""The study of nets that paint pictures: styles, content pictures, arguments, its page."""

import jax
import numpy as np
import pytest

from experiments.restyle import restyle
from jresnet.data.patches import MiddlePatch, RandomPatch
from jresnet.data.sources.pictures import Pictures, Unsplit, chosen_pictures, enough
from jresnet.data.sources.sample_pictures import SamplePictures
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.models import zoo
from jresnet.models.headed import backbone_of
from jresnet.models.shortcuts import NoShortcut
from jresnet.recipes.restyling import RECIPES
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.restyling.report import Facts, conclude, row, statement
from jresnet.studies.restyling.trainings import build, chosen_styles
from jresnet.studies.stylising.pictures import sample_style
from jresnet.tasks.style_losses import SoftmaxAll
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.data.conftest import encode, photograph
from tests.nets import random_variables
from tests.test_experiments import defaults

TEST = {"style": 0.25, "original/style": 2.0, "content": 3.0, "variation": 0.1, "change": 0.2}


def arguments(**changes):
    usual = {
        "depth": 8, "blocks": 1, "width": 4, "steps": 2, "batch_size": 2, "patch": 16,
        "style_size": 24, "eval_batch_size": 1,
    }  # fmt: skip
    return {**defaults(restyle), **usual, **changes}


def write(path, *size, period=17):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(photograph(*size, period)))
    return path


def test_each_style_has_a_net_and_a_blend_has_one(tmp_path):
    paths = tuple(write(tmp_path / f"{name}.png", 30, 40, period=p) for name, p in (("a", 5), ("b", 9)))  # fmt: skip
    study = restyle(**arguments(styles=paths, plain=True, smoothing="softmax-all", patch=12))
    assert list(study.runs) == [f"{s}-{n}-seed0" for s in "ab" for n in ("small", "plain small")]
    one, twin, other, _ = study.runs.values()
    assert isinstance(backbone_of(twin.task.model).shortcut(), NoShortcut)
    assert one.task.criterion.smoothing == SoftmaxAll()
    assert one.task.criterion.style == ("stem", "stage1", "stage2", "stage3")
    assert one.task.criterion.content == "stage2"
    assert one.data.train_transform == RandomPatch(12)
    assert one.data.eval_transform == MiddlePatch(12)
    grams = [each.constants["grams"]["stem"] for each in (one, other)]
    assert [g.shape for g in grams] == [(1, 16, 16)] * 2
    assert not np.allclose(*grams, atol=0)
    blend = restyle(**arguments(styles=paths, blend=(3.0, 1.0), smoothing="softmax-all"))
    (mixed,) = blend.runs.values()
    assert list(blend.runs) == ["blend-seed0"]
    wanted = 0.75 * grams[0][0] + 0.25 * grams[1][0]
    targets = mixed.task.criterion.targets(mixed.constants)
    np.testing.assert_allclose(targets["stem"], wanted, rtol=1e-3, atol=0)


def test_arguments_that_do_not_fit_are_refused_in_a_line(tmp_path):
    photos = [sample_style(16)]
    with pytest.raises(UsageError, match=r"blend=1.0 2.0: expected 1, one a style picture"):
        chosen_styles(photos, (1.0, 2.0))
    with pytest.raises(UsageError, match=r"blend=0.0: expected 1, .* not all 0"):
        chosen_styles(photos, (0.0,))
    with pytest.raises(UsageError, match="width=8: expected none, net johnson"):
        build("johnson", None, 8)
    with pytest.raises(UsageError, match=r"test_pictures=.*: expected dataset too"):
        chosen_pictures(None, tmp_path)
    with pytest.raises(UsageError, match=r"dataset='.*none': no such folder"):
        chosen_pictures(tmp_path / "none", None)
    with pytest.raises(UsageError, match=r"style_layers=stage9: expected one of stem, stage1"):
        restyle(**arguments(style_layers=("stage9",)))
    with pytest.raises(UsageError, match=r"content_layer=x: expected one of stem, stage1"):
        restyle(**arguments(content_layer="x"))
    (tmp_path / "cut.png").write_bytes(encode(photograph(8, 8))[:40])
    with pytest.raises(UsageError, match=r"styles=.*cut\.png: not a readable picture") as error:
        restyle(**arguments(styles=(tmp_path / "cut.png",)))
    assert "\n" not in str(error.value)


def test_folders_with_parts_and_without(tmp_path):
    for number in range(12):
        write(tmp_path / "flat" / f"x{number % 2}" / f"{number:02}.png", 20, 20)
    flat = chosen_pictures(tmp_path / "flat", None)
    assert flat == Unsplit(tmp_path / "flat")
    assert flat.info().sizes == {"train": 10, "test": 2}
    names = {
        split: {flat.open(split).describe(n) for n in range(flat.info().sizes[split])}
        for split in ("train", "test")
    }
    assert len(names["train"] | names["test"]) == 12
    assert enough(flat, 16).info().sizes == {"train": 20, "test": 2}
    write(tmp_path / "split" / "train" / "a.png", 20, 20)
    write(tmp_path / "split" / "test" / "b.png", 20, 20)
    assert chosen_pictures(tmp_path / "split", None) == Pictures(tmp_path / "split")
    assert chosen_pictures(None, None) == SamplePictures()
    write(tmp_path / "one" / "a.png", 20, 20)
    with pytest.raises(UsageError, match=r"dataset=.*: expected two or more pictures, not 1"):
        chosen_pictures(tmp_path / "one", None).info()


def test_the_published_recipe():
    recipe = RECIPES["johnson"]
    assert (recipe.steps, recipe.batch_size, recipe.patch) == (2 * 80_000 // 4, 4, 256)
    assert [float(recipe.rate()(step)) for step in (0, 39_999)] == pytest.approx([1e-3] * 2)
    assert sum(x.size for x in jax.tree.leaves(random_variables(build("johnson"), (16, 16, 3)))) == 1_679_235  # fmt: skip


def test_the_table_has_what_is_left_of_the_style_loss(tmp_path):
    result = Result({"test": TEST}, 12.0, 1000, tmp_path)
    assert row("a", [result])[2:5] == ("2", "0.25", "12.5")
    same = Result({"test": {**TEST, "original/style": 0.0}}, 12.0, 1000, tmp_path)
    assert row("a", [same])[4] is None
    facts = Facts("cats", "a net", "style layers stem", [sample_style(16)])
    assert "cats that were painted: a from 2 to 0.25." in statement(facts, {"a": [result]})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 1.0, "style": 2.0}\n')  # fmt: skip
    results = {"a-seed0": Result({"test": TEST}, 1.0, 5, tmp_path / "a")}
    conclusion = conclude(facts, tmp_path, results, {})
    assert conclusion.page is not None
    page = conclusion.page.read_text()
    assert "12.5" in page
    assert "Style pictures" in page


@pytest.mark.slow
def test_a_study_paints_and_tells_of_it(tmp_path):
    body = zoo.cifar_resnet(8)
    files.save(to_torch(random_variables(body, (32, 32, 3)), body), tmp_path / "c.npz")
    for split, sizes in (("train", [(40, 40), (12, 50)]), ("test", [(30, 36), (32, 48)])):
        for number, size in enumerate(sizes):
            write(tmp_path / "set" / split / f"{number}.png", *size)
    style = write(tmp_path / "wave.png", 40, 30, period=7)
    inputs = arguments(dataset=tmp_path / "set", styles=(style,), weights=tmp_path / "c.npz")
    line = run(restyle, inputs, RunOptions(workdir=tmp_path / "run", devices=1))
    assert "wave from " in line
    page = (tmp_path / "run" / "report.html").read_text()
    for words in ("Pictures by wave", "of it left (%)", "weights of c.npz", "smoothing plain"):
        assert words in page
    assert (tmp_path / "run" / "style-wave.png").is_file()
