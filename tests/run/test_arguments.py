"""Arguments that experiments share have one help, and their flags are flat."""

import importlib
import pkgutil
import typing

import pytest

import experiments
from experiments.degradation import degradation
from experiments.lesion import lesion
from jresnet.run import arguments
from jresnet.run.command_line import defaults, parse
from jresnet.run.launch import launch

SHARED = {name: hint for name, hint in vars(arguments).items() if hasattr(hint, "__metadata__")}


def help_text(alias):
    return SHARED[alias].__metadata__[0].help


def test_the_help_of_a_shared_argument_is_that_of_its_type(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    with pytest.raises(SystemExit):
        launch(lesion, ["--help"])
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for alias in ("DatasetName", "BatchSize", "Weights", "NetName", "WeightsStatistics"):
        assert f"{help_text(alias)} (default: " in printed
    assert "random draws for each number of blocks deleted" in printed


def test_flags_are_flat_and_keep_their_order():
    words = ["--dataset", "cifar10", "--batch-size", "64", "--steps", "5"]
    values, _ = parse(degradation, words)
    assert values == {**defaults(degradation), "dataset": "cifar10", "batch_size": 64, "steps": 5}
    # The order names a run's folder.
    assert list(values) == list(defaults(degradation))
    assert list(values)[:2] == ["dataset", "depths"]


def test_every_shared_type_is_used_by_several_experiments():
    counts = dict.fromkeys(SHARED, 0)
    for module in pkgutil.iter_modules(experiments.__path__):
        function = getattr(importlib.import_module(f"experiments.{module.name}"), module.name)
        hints = typing.get_type_hints(function, include_extras=True).values()
        for name, alias in SHARED.items():
            counts[name] += alias in hints
    assert min(counts.values()) >= 6, counts


def test_an_argument_without_default_must_be_given(capsys):
    def train(dataset: str, steps: int = 3):
        """Train.

        Args:
            dataset: where.
            steps: how many.
        """

    assert parse(train, ["--dataset", "x"])[0] == {"dataset": "x", "steps": 3}
    with pytest.raises(SystemExit):
        parse(train, [])
    assert "--dataset" in capsys.readouterr().err
