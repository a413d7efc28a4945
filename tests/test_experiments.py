"""Every file in experiments/: shrunk by smoke(), trained for two steps, saved, resumed."""

import functools
import importlib
import inspect
import json
import pkgutil
import shutil
import typing

import jax
import numpy as np
import pytest

import experiments
from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Study
from jresnet.models import zoo
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.data.sources.test_medmnist import write
from tests.nets import random_variables

FILES = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
# Arguments that make an experiment small; without an entry it runs with its defaults.
SMALL = {
    "all_studies": {"studies": ("derivation",)},
    "shortcut_worth": {"only": ("classification",), "depths": (1,)},
    "cardinality": {"nets": ("1x64d", "8x14d"), "batch_size": 8},
    "cifar10": {"depth": 8, "batch_size": 8},
    "degradation": {"depths": (8,), "batch_size": 8},
    "detect": {"depths": (8,), "batch_size": 2, "plain": False},
    "distil": {"net": "resnet10t", "teacher_net": "resnet10t", "batch_size": 8, "epochs": 1},
    "derivation": {"depth": 8, "batch_size": 8, "examples": 4},
    "expressiveness": {"depth": 14, "deeper": 14, "batch_size": 8, "examples": 16},
    "fast_cifar10": {"width": 4, "batch_size": 8, "dtype": "float32"},
    "finetune": {"depth": 8, "per_class": (25,), "whole": False},
    "gradient_flow": {
        "depths": (8,),
        "batch_size": 8,
        "examples": 8,
        "scales": (0.5,),
        "blocks": 3,
        "products": 3,
        "switches": ("without BatchNorm",),
    },
    "identity_init": {"depths": (8,), "schemes": ("zero gamma", "Fixup"), "batch_size": 8},
    "imagenet": {"net": "resnet10t", "batch_size": 8, "batch_norm_group": 4},
    "ingredients": {"depth": 8, "batch_size": 8},
    "landscape": {
        "depth": 8, "batch_size": 8, "points": 3, "hessian_points": 3, "lanczos_steps": 2,
        "examples": 16, "hessian_examples": 8,
    },
    "lesion": {"depth": 14, "batch_size": 8, "repeats": 1, "examples": 16},
    "medmnist": {"width": 4, "batch_size": 8, "resamples": 5},
    "paths": {"depth": 14, "batch_size": 8, "samples": 1, "examples": 8},
    "responses": {"depths": (8, 14), "batch_size": 8, "examples": 16},
    "deep_agents": {"game": "tests.tasks.small_worlds:CatchWorld", "depths": (1,), "width": 4, "frames": 2048},
    "games": {"game": "tests.tasks.small_worlds:CatchWorld", "width": 4, "worlds": 8, "turns": 4, "frames": 64},
    "recognize": {"batch_size": 32, "plain": False},  # fewer make no pair of one person
    "restyle": {
        "depth": 8, "blocks": 1, "width": 4, "batch_size": 4, "patch": 32, "style_size": 32,
    },
    "segment": {"depths": (8,), "batch_size": 4, "plain": False},
    "sensitivity": {
        "rates": (0.01,), "depth": 8, "depths": (8,), "learning_rate": 0.01, "seeds": 1,
        "batch_size": 8,
    },
    "shattered_gradients": {
        "layers": (2, 3), "width": 10, "points": 24, "draws": 2, "lines": 2, "depth": 8,
        "batch_size": 8,
    },
    "shortcuts": {"depth": 8, "batch_size": 8, "tables": ("orders",)},
    "style": {"size": 32, "depth": 8},
    "style_features": {"size": 32, "depth": 8},
    "upscale": {"blocks": (1,), "width": 8, "batch_size": 4, "plain": False},
    "video": {"batch_size": 8, "plain": False},
    "volumes": {"patch": (8, 8, 8), "plain": False, "boundaries": True},
    "width_depth": {"nets": ("16-1", "10-2"), "batch_size": 8},
}  # fmt: skip


# Those whose trainings keep more than parameters and statistics, a study and a single training.
RESUMED = {"finetune", "imagenet"}


def experiment_function(name):
    """The function of the module's name."""
    return getattr(importlib.import_module(f"experiments.{name}"), name)


def defaults(function):
    return {k: p.default for k, p in inspect.signature(function).parameters.items()}


# The benchmarks train nothing to its end (tests/benchmark), the page of all applications nothing at all.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in FILES if not name.startswith(("benchmark", "all_applications"))]
)
def test_smoke(name, tmp_path, monkeypatch):
    installed(name)
    function = experiment_function(name)
    monkeypatch.setenv("TFDS_DATA_DIR", "/proc/nothing")  # no data is read or prepared
    if name == "all_studies":  # which takes studies with their defaults
        small = functools.partial(experiment_function("derivation"), **SMALL["derivation"])
        monkeypatch.setattr("experiments.derivation.derivation", small)
    arguments = defaults(function) | SMALL.get(name, {})
    if name == "medmnist":  # whose files are nobody's to ship
        arguments["dataset"] = write(tmp_path / "some.npz").path
    if name == "distil":
        net = zoo.resnet10t()
        arguments["teacher"] = tmp_path / "teacher.npz"
        files.save(to_torch(random_variables(net, (32, 32, 3)), net), arguments["teacher"])
    options = RunOptions(workdir=tmp_path / "run", devices=1, smoke=True)
    line = run(function, arguments, options)
    assert str(tmp_path / "run") in line
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert json.loads((tmp_path / "run" / "config.json").read_text())["arguments"]["smoke"] is True
    results = list((tmp_path / "run").rglob("result.json"))
    assert results
    for result in results:
        lines = (result.parent / "metrics.jsonl").read_text().splitlines()
        # Faces are not evaluated by a loss.
        losses = [json.loads(line).get("loss") for line in lines]
        assert any(loss is not None for loss in losses)
        assert np.isfinite([loss for loss in losses if loss is not None]).all()
    if name not in RESUMED:
        return

    # Take the last checkpoint and the result of one training away, and the same call goes on from the checkpoint before, to the same bits.
    folder = results[0].parent
    before = {path: path.read_bytes() for path in (folder / "metrics.jsonl", results[0])}
    results[0].unlink()
    shutil.rmtree(folder / "checkpoints" / "2")
    assert run(function, arguments, options).split(";")[0].split("(")[0] in line
    assert (folder / "metrics.jsonl").read_bytes() == before[folder / "metrics.jsonl"]
    assert (
        json.loads(results[0].read_text())["metrics"] == json.loads(before[results[0]])["metrics"]
    )


# Nothing stands in for a teacher, nor for a file of diagnoses.
NEEDY = {"distil": "teacher", "medmnist": "dataset"}


def installed(name: str) -> None:
    """Skip the test of an experiment whose library is not there."""
    if name in ("games", "deep_agents"):
        pytest.importorskip("gymnax", reason="gymnax 1.0.1 keeps jax below 0.12: Python 3.11 alone")


@pytest.mark.parametrize("experiment", FILES)
def test_defaults_build_without_the_data_and_cite_a_paper(experiment):
    installed(experiment)
    function = experiment_function(experiment)
    doc = (inspect.getdoc(function) or "") + (inspect.getmodule(function).__doc__ or "")
    assert "arXiv:" in doc
    assert f"python -m experiments.{experiment}" in doc
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        shared = typing.get_origin(hint) is typing.Annotated  # jresnet.run.arguments
        explained = f"\n    {name}: " in (inspect.getdoc(function) or "")
        assert explained != shared or name == "return", f"{name} is explained twice or not at all"
    if experiment in NEEDY:
        with pytest.raises(UsageError, match=f"{NEEDY[experiment]} missing: expected"):
            function()
    else:
        assert isinstance(function(), Experiment | Study)


# Recipes as papers.md and the papers state them.
def test_the_recipe_of_the_degradation_study():
    study = experiment_function("degradation")(steps=64_000, depths=(20, 110), seeds=5)
    assert len(study.runs) == 2 * 2 * 5
    rates = {0: 0.01, 399: 0.01, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 48_000: 0.001}
    assert schedule_of(study.runs["ResNet-110-seed4"], rates) == rates


@pytest.mark.parametrize(
    ("arguments", "rates", "steps"),
    [
        ({}, {0: 0.01, 400: 0.1, 32_000: 0.01, 48_000: 0.001}, 64_000),
        ({"family": "wrn"}, {0: 0.1, 60 * 390: 0.02, 120 * 390: 0.004, 160 * 390: 8e-4}, 200 * 390),
        ({"family": "resnext"}, {0: 0.1, 150 * 390: 0.01, 225 * 390: 1e-3}, 300 * 390),
        ({"steps": 640}, {0: 0.01, 79: 0.01, 80: 0.1, 320: 0.01, 480: 0.001}, 640),
    ],
)
def test_recipes_of_the_cifar_papers(arguments, rates, steps):
    experiment = experiment_function("cifar10")(**arguments)
    assert experiment.plan.steps == steps
    assert schedule_of(experiment, rates, nesterov="family" in arguments) == rates


def test_the_recipe_of_goyal_et_al():
    experiment = experiment_function("imagenet")(batch_size=1024)
    epoch = 1_281_167 // 1024
    rates = {0: 0.1, 5 * epoch: 0.4, 30 * epoch: 0.04, 60 * epoch: 0.004, 80 * epoch: 4e-4}
    assert schedule_of(experiment, rates, nesterov=True) == rates
    assert experiment.plan.steps == 90 * epoch


def schedule_of(experiment, at, nesterov=False):
    """Learning rates at the given steps, read off the optimizer: a unit gradient's first update."""
    params = {"kernel": np.zeros(())}

    def rate(step):
        state = jax.tree.map(
            lambda x: np.asarray(step, x.dtype) if np.issubdtype(x.dtype, np.integer) else x,
            experiment.optimizer.init(params),
        )
        update, _ = experiment.optimizer.update({"kernel": np.ones(())}, state, params)
        # Nesterov's first update looks ahead by the momentum, 0.9.
        return -float(update["kernel"]) / (1.9 if nesterov else 1.0)

    return {step: pytest.approx(rate(step), rel=1e-5) for step in at}
