"""Every flag of every experiment and command, with values that it does not accept."""

import importlib
import inspect
import math
import pkgutil
import typing
from pathlib import Path

import pytest

import experiments
from jresnet.__main__ import main
from jresnet.commands import (
    compare,
    convert,
    embed,
    evaluate,
    export,
    input,
    nets,
    predict,
    push,
    runs,
)  # fmt: skip
from jresnet.errors import UsageError
from jresnet.run import ranges, values
from jresnet.run.command_line import RunOptions, defaults
from jresnet.run.launch import launch, run
from jresnet.runtime.distributed import Processes
from jresnet.weights.nets import zoo_functions

FUNCTIONS = {
    module.name: getattr(importlib.import_module(f"experiments.{module.name}"), module.name)
    for module in pkgutil.iter_modules(experiments.__path__)
}
NET = ["resnet18"]
# The flags of each command; the words that come first; positional arguments and flags that it needs.
COMMANDS = {
    "summary": (nets.Summary, NET, {}, {}),
    "predict": (predict.Predict, NET, {"images": "a.png"}, {"weights": "w.npz"}),
    "evaluate": (evaluate.Evaluate, NET, {}, {"weights": "w.npz", "dataset": "digits"}),
    "export": (export.Export, NET, {}, {"weights": "w.npz", "out": "o.jax"}),
    "embed": (embed.Embed, NET, {"images": "a.png"}, {"weights": "w.npz", "out": "o.npz"}),
    "push": (push.Push, [], {"run": "runs/x", "dest": "new"}, {}),
    "convert": (convert.Convert, ["--model", *NET], {"source": "w.npz", "out": "o.npz"}, {}),
    "input": (input.Input, [], {"dataset": "digits"}, {}),
    "runs": (runs.Runs, [], {"folder": "runs"}, {}),
    "compare": (compare.Compare, [], {"runs": "run"}, {}),
}


def kinds(hint):
    """int, float, str and Path in a type; choices and switches are the parser's."""
    if typing.get_origin(hint) is typing.Literal:
        return set()
    inner = typing.get_args(hint)
    if hint in (int, float, str, Path):
        return {hint}
    return set().union(*map(kinds, inner)) if inner else set()


def fields(flags):
    hints = typing.get_type_hints(flags, include_extras=True)
    return {name: hint for name, hint in hints.items() if kinds(hint)}


def arguments(function):
    hints = typing.get_type_hints(function)
    return {name: hints[name] for name in defaults(function) if kinds(hints[name])}


def wrong_words(accepted, kind):
    """Words for a flag that its range refuses; those that are no `kind` at all are the parser's."""
    match accepted:
        case values.Numbers(low, high):
            lowest = low if accepted.above else low - 1
            words = [lowest, high + 1, 4 if accepted.odd else -math.inf]
            if kind is float:
                return ["nan", "inf", *(repr(float(v)) for v in words if math.isfinite(v))]
            return [f"{int(v)}" for v in words if math.isfinite(v)]
        case values.OneOf():
            return ["7", "nan"]
        case values.Place(written=True, stored=True):
            return ["", "az://bucket/x", "file:///x", "\udcff"]
        case values.Place(written=True):
            return ["", "gs://bucket/x", "file:///x", "\udcff"]
        case values.Place(stored=True):
            return ["", "az://bucket/x", "hdfs://a/b"]
        case values.Text():
            return [""]
    raise AssertionError(accepted)


def refused(call, capfd, tmp_path, name):
    """One line, status 2, nothing written."""
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(call())
    out, error = capfd.readouterr()
    assert (stop.value.code, out) == (2, ""), error
    assert error.startswith(f"error: {name}="), error
    assert ": expected " in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_values_of_every_flag(name, capfd, here):
    function = FUNCTIONS[name]
    for argument, hint in arguments(function).items():
        accepted = ranges.find(argument, name)
        assert accepted is not None, f"{name} has an argument {argument} without a range"
        (kind,) = kinds(hint)
        flag = f"--{argument.replace('_', '-')}"
        first, *others = wrong_words(accepted, kind)
        refused(lambda words=(flag, first): launch(function, words), capfd, here, argument)
        for word in others:  # without the parser, for speed
            if word:
                value = (kind(word),) if "tuple" in str(hint) else kind(word)
                with pytest.raises(UsageError, match=f"^{argument}=.*: expected "):
                    run(function, {**defaults(function), argument: value}, RunOptions())
        if isinstance(defaults(function)[argument], tuple) and defaults(function)[argument]:
            empty = {**defaults(function), argument: ()}
            if argument not in ranges.MAY_BE_EMPTY:
                with pytest.raises(UsageError, match=rf"^{argument}=\(\): expected at least one"):
                    run(function, empty, RunOptions())
    assert not list(here.iterdir())


def test_wrong_values_of_the_flags_of_every_run(capfd, here):
    function = FUNCTIONS["degradation"]
    for flags in (RunOptions, Processes):
        for name, hint in fields(flags).items():
            accepted = ranges.find(name, flags.__name__)
            assert accepted is not None, f"{name} has no range"
            for word in wrong_words(accepted, *kinds(hint)):
                words = (f"--{name.replace('_', '-')}", word)
                refused(lambda words=words: launch(function, words), capfd, here, name)


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_values_of_the_flags_of_every_command(name, capfd, here):
    flags, first, positional, needed = COMMANDS[name]
    for argument, hint in fields(flags).items():
        accepted = ranges.find(argument, flags.__name__)
        assert accepted is not None, f"{name} has a flag {argument} without a range"
        for word in wrong_words(accepted, *kinds(hint)):
            words = [*first, *({**positional, argument: word}[key] for key in positional)]
            for key, value in {**needed, argument: word}.items():
                if key not in positional:
                    count = 3 if key in ("mean", "std") else 1
                    words += [f"--{key.replace('_', '-')}", *[value] * count]
            said = "argument" if argument in positional and not word else argument
            refused(lambda words=words: main([name, *words]), capfd, here, said)


def test_the_arguments_of_nets_have_ranges(capfd, here):
    for name, build in zoo_functions().items():
        hints = typing.get_type_hints(build)
        for argument, hint in hints.items():
            if argument in inspect.signature(build).parameters and kinds(hint):
                accepted = ranges.find(argument, "Summary")
                assert accepted is not None, f"{name} has an argument {argument} without a range"
                word = wrong_words(accepted, *kinds(hint))[0]
                words = ["summary", name, f"--{argument.replace('_', '-')}", word]
                refused(lambda words=words: main(words), capfd, here, argument)
