"""The README's code runs, and what it names exists."""

import re
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import experiments
from jresnet.commands.export import exported_net
from jresnet.models import zoo
from jresnet.weights.convert import to_torch
from jresnet.weights.files import save
from tests.nets import random_variables

README = (Path(__file__).parents[1] / "README.md").read_text()


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALLER = {
    "zoo.resnet50": "zoo.resnet10t",
    "(8, 224, 224, 3)": "(2, 32, 32, 3)",
    "jnp.zeros(8,": "jnp.zeros(2,",
}


def run(mark, **names):
    """The one block that has `mark`, with a smaller net and images; the names it leaves."""
    (code,) = (block for block in BLOCKS if mark in block)
    smaller = code
    for old, new in SMALLER.items():
        smaller = smaller.replace(old, new)
    assert "resnet50(" not in smaller
    exec(smaller, names)
    return names


@pytest.fixture(scope="module")
def library():
    return run("model.init(")


def test_the_library_example_runs_as_printed_but_smaller(library):
    assert library["logits"].shape == (2, 10)
    assert next(iter(library["features"])) == "stem"
    assert "batch_stats" in library["state"]
    assert library["plain"] != library["model"]


def test_the_weights_example_runs_as_printed_but_smaller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = random_variables(zoo.resnet10t(), (32, 32, 3))
    save(to_torch(variables, zoo.resnet10t()), tmp_path / "resnet50.pth.npz")
    monkeypatch.setitem(SMALLER, '.pth"', '.pth.npz"')
    names = run("from_torch(", zoo=zoo)
    assert (tmp_path / "resnet50.safetensors").stat().st_size > 20_000_000
    kernel = names["variables"]["params"]["head"]["kernel"]
    np.testing.assert_array_equal(kernel, variables["params"]["head"]["kernel"])


def test_the_backbone_inside_a_module_of_one_s_own():
    images = jnp.ones((2, 32, 32, 3))
    names = run("class Segmenter", jax=jax, zoo=zoo, images=images)
    assert names["masks"].shape == (2, 32, 32, 21)
    # Its variables are the backbone's own, so checkpoints of the backbone fit in.
    ours = jax.tree.structure(
        random_variables(zoo.resnet10t(output_stride=8), (32, 32, 3))["params"]["backbone"]
    )
    assert jax.tree.structure(names["variables"]["params"]["backbone"]) == ours
    before, after = (names[name]["batch_stats"] for name in ("variables", "state"))
    assert not np.array_equal(jax.tree.leaves(before)[0], jax.tree.leaves(after)[0])


def test_the_nnx_train_step_learns_and_moves_the_statistics(monkeypatch):
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 3)), jnp.float32)
    names = run("ToNNX", jax=jax, jnp=jnp, zoo=zoo, images=images)
    net, labels = names["net"], jnp.zeros(2, jnp.int32)
    statistics = jax.tree.leaves(nnx.state(net, nnx.BatchStat))
    assert len(statistics) == 2 * 14
    again = names["train_step"](net, names["optimizer"], images, labels)
    assert float(again) < float(names["value"])
    moved = jax.tree.leaves(nnx.state(net, nnx.BatchStat))
    assert not any(np.array_equal(a, b) for a, b in zip(statistics, moved, strict=True))


def test_the_exported_file_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = zoo.resnet10t(7)
    variables = random_variables(net, (32, 32, 3))
    (tmp_path / "resnet50.jax").write_bytes(
        exported_net(net, variables, None, (32, 32, 3)).serialize()
    )
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 3)), jnp.float32)
    logits = run("deserialize", jax=jax, images=images)["logits"]
    expected = jax.jit(lambda x: net.apply(variables, x, train=False))(images)
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * scale)


def test_every_experiment_is_listed():
    for path in Path(experiments.__path__[0]).glob("[a-z]*.py"):
        assert f"`python -m experiments.{path.stem}`" in README


def test_the_two_commands_are_one_line_each():
    commands = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)[:2]
    assert [command.count("\n") for command in commands] == [1, 1]
    assert "python -m experiments.degradation" in commands[0]
    assert "python -m pytest" in commands[1]
