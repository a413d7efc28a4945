"""The study of volumes: the comparison with intensity, its page, and nnU-Net's presets."""

import jax
import numpy as np
import optax
import pytest

from experiments.volumes import volumes
from jresnet.data.augment.geometry import IGNORED
from jresnet.data.volume_parts import RandomPatch, WholeVolume
from jresnet.data.volumes import Window
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.models import zoo
from jresnet.models.zoo import plain
from jresnet.recipes.segmentation import criterion
from jresnet.recipes.volumes import RECIPES
from jresnet.studies.segmentation import volumes as page
from jresnet.studies.segmentation.volumes import intensity_confusion
from jresnet.tasks.boundaries import SegmentWithBoundaries
from jresnet.tasks.windows import Windows
from jresnet.train.optim import rate_of
from jresnet.weights import to_torch
from tests.data.volumes import decathlon
from tests.nets import random_variables


class Values:
    """Data whose classes are known from their values, but for some."""

    def source(self, split):
        values = np.array([0, 0, 1, 1, 2, 2], np.float32).reshape(1, 2, 3, 1)
        labels = np.array([0, 0, 1, 1, 2, 2]).reshape(1, 2, 3)
        if split == "train":
            return [{"image": values, "map": labels}]
        other = labels.copy()
        other[0, 0, 0], other[0, 1, 2] = 2, IGNORED
        return [{"image": values, "map": labels}, {"image": values, "map": other}]


def test_intensity_alone_takes_the_likeliest_class_of_each_value():
    matrix = intensity_confusion(Values(), 3)
    np.testing.assert_array_equal(matrix, [[3, 0, 0], [0, 4, 0], [1, 0, 3]])


def test_the_page_has_nets_and_intensity(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(page, "confusion", lambda run, result: np.diag([5, 3, 2]))
    metrics = {"test": {"dice/grey": 0.9, "dice/white": 0.8}}
    results = {
        f"{net}-seed{seed}": Result(metrics, 3.0, 1234, tmp_path)
        for net in ("residual", "plain")
        for seed in range(2)
    }
    classes = ("background", "grey", "white")
    runs = dict.fromkeys(results)
    conclusion = page.conclude(runs, classes, Values(), tmp_path, results, {"commit": "c"})
    assert "residual has a Dice of 0.900 for grey, 0.800 for white" in conclusion.summary
    # Of white 3 of 4 voxels and no other: 2 * 3 / (4 + 3).
    assert (
        f"intensity alone has a Dice of 1.000 for grey, {6 / 7:.3f} for white" in conclusion.summary
    )
    text = conclusion.page.read_text()
    assert "The data is one head" in text
    for figure in ("dice.png", "confusion.png"):
        assert (tmp_path / figure).stat().st_size > 10_000
    assert "0.900 ± 0.000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("resenc_m", (128, 128, 128)),
        ("resenc_l", (160, 192, 160)),
        ("resenc_xl", (192, 224, 192)),
    ],
)
def test_the_presets_of_nnunet(tmp_path, name, patch):
    recipe = RECIPES[name]
    assert recipe.steps == 1000 * 250
    assert recipe.stride == 32
    assert not any(side % recipe.stride for side in patch)
    study = volumes(decathlon(tmp_path, 6), recipe=name, window=(-160, 240), spacing=(2, 1, 1))
    residual, twin = study.runs.values()
    assert residual.task.model.backbone.depths == (1, 3, 4, 6, 6, 6)
    assert residual.task.model.backbone.widths == (32, 64, 128, 256, 320, 320)
    assert twin.task.model == plain(residual.task.model)
    assert residual.task.windows == Windows(patch)
    data = residual.data
    assert data.train_transform == RandomPatch(patch, foreground=1 / 3)
    assert data.eval_transform == WholeVolume((32, 32, 32), 32)
    assert (data.batch_size, data.dataset.preparation.intensity) == (2, Window(-160, 240))
    rate = rate_of(residual.optimizer)
    assert rate is not None
    assert rate(0) == pytest.approx(0.01)
    assert rate(125_000) == pytest.approx(0.01 * 0.5**0.9, rel=1e-4)


def test_the_steps_of_sgd_are_those_of_nesterov_with_clipping():
    optimizer = RECIPES["resenc_l"].changed(steps=10)._optimizer()
    params = {"kernel": np.array([3.0, 4.0], np.float32)}
    gradient = {"kernel": np.array([30.0, -40.0], np.float32)}
    state = optimizer.init(params)
    velocity, weights = np.zeros(2), params["kernel"].astype(np.float64)
    for step in range(3):
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        pull = np.array([30.0, -40.0]) * 12 / 50 + 3e-5 * weights
        velocity = 0.99 * velocity + pull
        weights = weights - 0.01 * (1 - step / 10) ** 0.9 * (pull + 0.99 * velocity)
        np.testing.assert_allclose(params["kernel"], weights, rtol=1e-5)


@pytest.mark.parametrize("ending", ["whole", "backbone alone"])
def test_a_net_of_medicalnet_starts_from_its_published_file(tmp_path, ending):
    net = zoo.medicalnet_resnet10(2)
    variables = random_variables(net, (8, 16, 16, 1))
    state = {f"module.{name}": value for name, value in to_torch(variables, net).items()}
    if ending == "backbone alone":  # as the files that were trained on 23 data sets are used
        state = {name: value for name, value in state.items() if "conv_seg" not in name}
    np.savez(tmp_path / "resnet_10.npz", **state)
    study = volumes(
        decathlon(tmp_path / "set", 5), net="medicalnet_resnet10", loss="dice", boundaries=True,
        weights=tmp_path / "resnet_10.npz",
    )  # fmt: skip
    (run,) = study.runs.values()
    assert isinstance(run.task, SegmentWithBoundaries)
    assert run.task.criterion == criterion("dice")
    for kind in ("params", "batch_stats"):
        started, expected = run.start[kind]["backbone"], variables[kind]["backbone"]
        jax.tree.map(np.testing.assert_array_equal, started, expected)
    assert "head" not in run.start["params"]
    with pytest.raises(UsageError, match="not of net residual U-Net's backbone"):
        volumes(tmp_path / "set", weights=tmp_path / "resnet_10.npz")


def test_two_numbers_in_the_wrong_order_are_named():
    with pytest.raises(UsageError, match=r"low=5.*high=3.*: expected low < high"):
        volumes(window=(5, 3))
    with pytest.raises(UsageError, match=r"patch=\(8,\): expected 3 numbers"):
        volumes(patch=(8,))
