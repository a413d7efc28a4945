"""The code of README.md and docs/ runs. See tests/test_docs.py for what they name."""

import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, traverse_util

from jresnet import weights
from jresnet.commands.export import exported_net, write_onnx
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.runtime.mesh import make_mesh
from jresnet.train.sharding import variable_shardings
from jresnet.weights.convert import to_torch
from jresnet.weights.files import save
from jresnet.weights.fold import fold
from tests.nets import random_variables
from tests.pages import PAGES

FRONT_DOOR = {name: getattr(weights, name) for name in weights.__all__}
BLOCKS = re.compile(r"```python\n(.*?)```", re.DOTALL)
SMALLER = {
    "zoo.resnet50": "zoo.resnet10t",
    "(8, 224, 224, 3)": "(2, 32, 32, 3)",
    "jnp.zeros(8,": "jnp.zeros(2,",
}


def run(mark, page="docs/library.md", **names):
    """The one block of the page that has `mark`, with a smaller net and images; the names it leaves."""
    (code,) = (block for block in BLOCKS.findall(PAGES[page]) if mark in block)
    smaller = code
    for old, new in SMALLER.items():
        smaller = smaller.replace(old, new)
    assert "resnet50(" not in smaller
    exec(smaller, names)
    return names


def test_every_block_of_python_is_run_by_a_test_below():
    count = {page: len(BLOCKS.findall(text)) for page, text in PAGES.items()}
    assert {page: n for page, n in count.items() if n} == {
        "README.md": 1,
        "docs/library.md": 9,
        "docs/launch.md": 1,
        "docs/data.md": 3,
    }


def test_the_example_of_the_readme_runs_as_printed_but_smaller():
    names = run("model.init(", "README.md")
    assert names["logits"].shape == (2, 10)
    assert names["logits"].dtype == jnp.float32
    assert next(iter(names["features"])) == "stem"
    assert names["plain"] != names["model"]


def test_other_kinds_of_examples_are_batched_as_the_page_says():
    names = run("class Padded", "docs/data.md")
    shapes = {name: (x.shape, x.dtype) for name, x in names["batch"].items()}
    assert shapes == {"image": ((8, 64, 64, 3), np.uint8), "map": ((8, 64, 64), np.int32)}
    names["data"].check()
    assert sum(batch["valid"].sum() for batch in names["data"].examples("test")) == 10
    names = run("Bucketed(", "docs/data.md", **names)
    assert set(names["shapes"]) == {(8, 48, 64, 3), (8, 64, 48, 3)}


def test_a_world_of_the_page_is_played():
    guess = run("class Guess", "docs/data.md")["Guess"]()
    for number in range(4):
        lamp, seen = guess.begin(jax.random.key(number))
        _, turn = guess.act(jax.random.key(0), lamp, int(lamp))
        assert (float(turn.reward), bool(turn.terminated), float(seen[0, lamp, 0])) == (1, True, 1)
        assert float(guess.act(jax.random.key(0), lamp, 1 - int(lamp))[1].reward) == 0


def test_the_library_example_runs_as_printed_but_smaller():
    names = run("model.init(")
    assert names["logits"].shape == (2, 10)
    assert names["logits"].dtype == jnp.float32
    assert "batch_stats" in names["state"]


def test_the_weights_example_runs_as_printed_but_smaller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = random_variables(zoo.resnet10t(), (32, 32, 3))
    save(to_torch(variables, zoo.resnet10t()), tmp_path / "resnet50.pth.npz")
    monkeypatch.setitem(SMALLER, '.pth"', '.pth.npz"')
    names = run("# strict: ", zoo=zoo)
    assert (tmp_path / "resnet50.safetensors").stat().st_size > 20_000_000
    kernel = names["variables"]["params"]["head"]["kernel"]
    np.testing.assert_array_equal(kernel, variables["params"]["head"]["kernel"])


def test_a_head_of_one_s_own_on_a_classifier_s_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier = zoo.resnet10t()
    pretrained = random_variables(classifier, (32, 32, 3))
    save(to_torch(pretrained, classifier), tmp_path / "resnet50.pth.npz")
    monkeypatch.setitem(SMALLER, '.pth"', '.pth.npz"')
    names = run("class Segmenter", jax=jax, zoo=zoo, images=jnp.ones((2, 32, 32, 3)), **FRONT_DOOR)
    assert names["masks"].shape == (2, 32, 32, 21)
    for kind, tree in pretrained.items():
        jax.tree.map(
            np.testing.assert_array_equal, names["variables"][kind]["backbone"], tree["backbone"]
        )
    before, after = (names[name]["batch_stats"]["backbone"] for name in ("variables", "state"))
    for part in before:
        same = np.array_equal(jax.tree.leaves(before[part])[0], jax.tree.leaves(after[part])[0])
        assert same == (part in ("stem", "stage1")), part
    assert names["twin"] != names["segmenter"]
    written = FRONT_DOOR["load"](tmp_path / "segmenter.safetensors")
    assert {"backbone.layer1.0.conv1.weight", "logits.bias"} < set(written)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_amounts_and_several_labels_are_trained_as_the_page_says(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(SMALLER, "cifar_resnet(20", "cifar_resnet(8")
    rng, arrays = np.random.default_rng(0), {}
    for split, size in (("train", 64), ("test", 24)):
        images = rng.integers(0, 256, (size, 8, 8, 3), np.uint8)
        images //= rng.integers(1, 9, (size, 1, 1, 3), np.uint8)
        means = images.mean((1, 2))[:, :2]
        labels = means if kind is np.float32 else means > 64
        arrays |= {f"{split}_images": images, f"{split}_labels": labels.astype(kind)}
    np.savez(tmp_path / "some.npz", **arrays)
    amounts = run("def amounts")["amounts"]
    one = amounts(str(tmp_path / "some.npz"), ("red", "green"), steps=2)
    one.data.check()
    batch = next(iter(one.data.examples("test")))
    variables = jax.jit(one.task.init)(jax.random.key(0), batch)
    collector = one.task.collector()
    rows = jax.jit(one.task.outputs)(variables, batch)
    collector.add({name: np.asarray(value)[batch["valid"] > 0] for name, value in rows.items()})
    name = "r2" if kind is np.float32 else "auc"
    assert np.isfinite(collector.result()[name])
    loss, _ = jax.eval_shape(one.task.loss, variables, next(one.data.train()), jax.random.key(1))
    assert (loss.shape, loss.dtype) == ((), jnp.float32)


def test_features_are_listed_before_the_net_runs():
    names = run("feature_pyramid(", zoo=zoo)
    assert names["channels"] == [64, 128, 256, 512]
    assert names["strides"] == [4, 8, 16, 32]


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

    folded = traverse_util.flatten_dict(fold(net, variables)[1], sep="/")
    save(jax.tree.map(np.asarray, dict(folded)), tmp_path / "resnet50-folded.safetensors")
    monkeypatch.setitem(SMALLER, "resnet10t()", "resnet10t(7)")
    logits = run("folded.apply", jax=jax, zoo=zoo, images=images)["logits"]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * scale)

    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    write_onnx(tmp_path / "resnet50.onnx", net, variables, None, (32, 32, 3))
    logits = run("onnxruntime", images=np.asarray(images))["logits"]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * scale)


def test_the_rules_of_the_launch_page_lay_out_what_they_say():
    names = {"Experiment": Experiment, **dict.fromkeys(("task", "data", "optimizer", "plan"))}
    rules = run("PartitionSpec", "docs/launch.md", **names)["experiment"].sharding
    variables = {
        "params": {"head": {"kernel": np.zeros((16, 40))}},
        "memory": {"replay": {"image": np.zeros((32, 8, 8))}},
    }
    layout = variable_shardings(variables, rules, make_mesh(8, 4))
    assert layout["params"]["head"]["kernel"].shard_shape((16, 40)) == (16, 10)
    assert layout["memory"]["replay"]["image"].shard_shape((32, 8, 8)) == (16, 8, 8)
