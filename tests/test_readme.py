"""The README's code runs, and what it names exists."""

import re
from pathlib import Path

import numpy as np

import experiments
from jresnet.models import zoo
from jresnet.weights.convert import to_torch
from jresnet.weights.files import save
from tests.nets import random_variables

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_library_example_runs_as_printed_but_smaller():
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    smaller = code.replace("resnet50", "resnet18").replace("(8, 224, 224, 3)", "(2, 32, 32, 3)")
    assert smaller != code
    names: dict = {}
    exec(smaller, names)
    assert names["logits"].shape == (2, 10)
    assert next(iter(names["features"])) == "stem"
    assert "batch_stats" in names["state"]
    assert names["plain"] != names["model"]


def test_the_weights_example_runs_as_printed_but_smaller(tmp_path, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    variables = random_variables(zoo.resnet18(), (32, 32, 3))
    save(to_torch(variables, zoo.resnet18()), tmp_path / "resnet18.npz")
    names: dict = {"zoo": zoo}
    exec(code.replace("resnet50", "resnet18").replace("resnet18.pth", "resnet18.npz"), names)
    assert (tmp_path / "resnet18.safetensors").stat().st_size > 40_000_000
    kernel = names["variables"]["params"]["head"]["kernel"]
    np.testing.assert_array_equal(kernel, variables["params"]["head"]["kernel"])


def test_every_experiment_is_listed():
    for path in Path(experiments.__path__[0]).glob("[a-z]*.py"):
        assert f"`python -m experiments.{path.stem}`" in README


def test_the_two_commands_are_one_line_each():
    commands = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)[:2]
    assert [command.count("\n") for command in commands] == [1, 1]
    assert "python -m experiments.degradation" in commands[0]
    assert "python -m pytest" in commands[1]
