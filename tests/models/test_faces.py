"""IResNets: insightface's numbers, counts by a second way, any backbone under the same head."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.models import zoo
from jresnet.models.published import abstract_variables
from jresnet.models.shortcuts import NoShortcut
from jresnet.weights.convert import from_torch, to_torch
from jresnet.weights.layouts import recognise
from tests.nets import apply, normal, random_variables

DEPTHS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}


def count(net, image=(112, 112, 3)):
    return sum(x.size for x in jax.tree.leaves(abstract_variables(net, image)["params"]))


def arithmetic(depths):
    """Parameters layer by layer, as iresnet.py lists them."""
    total = 3 * 9 * 64 + 2 * 64 + 64  # stem: convolution, norm, PReLU
    before = 64
    for width, depth in zip((64, 128, 256, 512), depths, strict=True):
        for _ in range(depth):
            norms = 2 * before + 2 * width + 2 * width
            total += 9 * before * width + 9 * width * width + norms + width
            if _ == 0:
                total += before * width + 2 * width
            before = width
    return total + 2 * 512 + 512 * 49 * 512 + 512 + 2 * 512


@pytest.fixture(scope="module")
def gold(golden):
    import importlib.util

    spec: Any = importlib.util.spec_from_file_location("golden_weights", golden / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, module.load_golden(golden / "iresnet18.npz")


def pictures(tools, about):
    return jnp.asarray(np.moveaxis(tools.make_input(about), 1, -1))


@pytest.mark.parametrize("name", list(DEPTHS))
def test_counts_are_those_of_the_layers(name):
    net = getattr(zoo, name)()
    assert count(net) == arithmetic(DEPTHS[name])


def entries(depths):
    """Names and shapes of a state dict as torch writes them for insightface's IResNet."""
    shapes = {}

    def norm(name, width):
        shapes.update({f"{name}.{leaf}": (width,) for leaf in ("weight", "bias", "running_mean", "running_var")})  # fmt: skip

    def conv(name, before, width, size):
        shapes[f"{name}.weight"] = (width, before, size, size)

    conv("conv1", 3, 64, 3)
    norm("bn1", 64)
    shapes["prelu.weight"] = (64,)
    before = 64
    for stage, (width, depth) in enumerate(zip((64, 128, 256, 512), depths, strict=True), 1):
        for block in range(depth):
            place = f"layer{stage}.{block}"
            norm(f"{place}.bn1", before)
            conv(f"{place}.conv1", before, width, 3)
            norm(f"{place}.bn2", width)
            shapes[f"{place}.prelu.weight"] = (width,)
            conv(f"{place}.conv2", width, width, 3)
            norm(f"{place}.bn3", width)
            if not block:
                conv(f"{place}.downsample.0", before, width, 1)
                norm(f"{place}.downsample.1", width)
            before = width
    norm("bn2", 512)
    shapes |= {"fc.weight": (512, 512 * 7 * 7), "fc.bias": (512,)}
    norm("features", 512)
    return shapes


@pytest.mark.parametrize("name", list(DEPTHS))
def test_state_dicts_of_all_depths_have_insightface_s_names_and_shapes(name):
    net = getattr(zoo, name)()
    abstract = abstract_variables(net, (112, 112, 3))
    zero = np.zeros((), np.int8)
    state = to_torch(jax.tree.map(lambda leaf: np.broadcast_to(zero, leaf.shape), abstract), net)
    assert {name: value.shape for name, value in state.items()} == entries(DEPTHS[name])
    assert recognise(state).name == "insightface"


def test_the_list_of_names_and_shapes_is_that_of_a_checkpoint(golden):
    manifest = json.loads(str(np.load(golden / "iresnet18.npz")["manifest"]))
    shapes = {name: tuple(shape) for name, shape, *_ in manifest if "num_batches" not in name}
    assert shapes == entries(DEPTHS["iresnet18"])


def test_iresnet18_gives_insightface_s_embedding_gradients_and_statistics(gold):
    tools, numbers = gold
    state, net = tools.make_state_dict(numbers["manifest"]), zoo.iresnet18()
    assert recognise(state).name == "insightface"
    variables = from_torch(state, net, image=(112, 112, 3))
    back = to_torch(variables, net)
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)
    assert {name for name in state if "num_batches" not in name} == back.keys()
    y = apply(net, variables, pictures(tools, numbers["meta"]["input"]), train=False)
    assert np.abs(np.asarray(y) - numbers["embedding_f64"]).max() < 2e-4
    x, labels = pictures(tools, numbers["meta"]["train_input"]), numbers["meta"]["labels"]

    @jax.jit
    def step(params):
        def loss(params):
            kept = {**variables, "params": params}
            y, new = net.apply(kept, x, train=True, mutable=["batch_stats"])
            each = optax.softmax_cross_entropy_with_integer_labels(y, jnp.asarray(labels))
            return each.mean(), new

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, new), gradients = step(variables["params"])
    assert float(loss) == pytest.approx(float(numbers["train.loss_f64"]), rel=1e-4)
    assert not np.any(gradients["head"]["norm"]["scale"])  # frozen there, and here
    theirs = to_torch({"params": gradients, **new}, net)
    names = json.loads(str(numbers["train.param_names"]))
    for name, norm in zip(names, numbers["train.grad_norm_f64"], strict=True):
        ours = np.linalg.norm(theirs[name].astype(np.float64))
        assert ours == pytest.approx(norm, rel=1e-2, abs=1e-5), name
    for name, mean in zip(
        json.loads(str(numbers["train.buffer_names"])),
        numbers["train.buffer_mean_f64"],
        strict=True,
    ):
        assert theirs[name].mean() == pytest.approx(mean, rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("body", [zoo.cifar_resnet(8), zoo.resnetv2_50(3, depths=(1, 1, 1, 1))])
def test_any_backbone_takes_the_head_and_starts_with_directions_that_differ(body):
    net = zoo.embedder(body, 16, 0.4)
    x = normal(4, 32, 32, 3)
    variables = net.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, x, train=True)
    y, _ = apply(net, variables, x, train=True)
    assert y.shape == (4, 16)
    np.testing.assert_allclose(np.asarray(y).mean(0), 0, atol=1e-5)  # the last norm's
    closes = "norm" in variables["params"]["backbone"]
    assert ("opening" in variables["params"]["head"]) is not closes
    again = random_variables(net, (32, 32, 3))
    jax.tree.map(
        np.testing.assert_array_equal,
        from_torch(to_torch(again, net), net, image=(32, 32, 3)),
        again,
    )


def test_the_plain_twin_has_no_shortcut():
    net = zoo.iresnet((1, 1), 8, widths=(8, 16))
    twin = zoo.plain(net)
    assert twin.backbone.shortcut.layer is NoShortcut
    assert count(net, (16, 16, 3)) - count(twin, (16, 16, 3)) == 8 * 8 + 2 * 8 + 8 * 16 + 2 * 16
