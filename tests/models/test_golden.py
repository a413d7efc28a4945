"""Layers and a whole net against the numbers that torch and torchvision computed."""

import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.layers import BatchNorm, Conv, GroupNorm
from jresnet.models.pools import average_pool, max_pool
from jresnet.models.shortcuts import ZeroPad
from tests.nets import apply, read_arrays


@pytest.fixture(scope="module")
def ops(golden):
    return read_arrays(golden / "ops.npz")


def channels_last(x):
    return jnp.asarray(np.moveaxis(x, 1, -1))


def channels_first(x):
    return np.moveaxis(np.asarray(x), -1, 1)


def kernel(weight):
    """OI... to ...IO."""
    return np.moveaxis(weight, (0, 1), (-1, -2))


CONVOLUTIONS = {
    "conv_k7_s2_p3_even": Conv(4, 7, 2),
    "conv_k7_s2_p3_odd": Conv(4, 7, 2),
    "conv_k3_s2_p1_even": Conv(4, 3, 2),
    "conv_k3_s2_p1_odd": Conv(4, 3, 2),
    "conv_k1_s2": Conv(4, 1, 2),
    "conv_k3_dil2_p2": Conv(4, 3, dilation=2),
    "conv_k3_groups4": Conv(12, 3, 2, groups=4),
    "conv3d_k3_s1_2_2": Conv(4, 3, (1, 2, 2)),
    "conv3d_k3_7_7_s1_2_2": Conv(4, (3, 7, 7), (1, 2, 2)),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_and_their_gradients(ops, case):
    layer = CONVOLUTIONS[case]
    x, w = channels_last(ops[f"{case}/x"]), kernel(ops[f"{case}/w"])
    bias = ops.get(f"{case}/b")  # some cases have one

    def half_square(x, w):
        y: Any = layer.apply({"params": {"kernel": w}}, x)
        y = y if bias is None else y + jax.lax.broadcast_to_rank(bias, y.ndim)
        return jnp.sum(jnp.square(y)) / 2, y

    step = jax.jit(jax.value_and_grad(half_square, (0, 1), has_aux=True))
    (_, y), (dx, dw) = step(x, w)
    np.testing.assert_allclose(channels_first(y), ops[f"{case}/y"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(channels_first(dx), ops[f"{case}/dx"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dw, kernel(ops[f"{case}/dw"]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", ["even", "odd"])
def test_pools(ops, size):
    for case, pool in (("maxpool_k3_s2_p1", max_pool), ("avgpool_k2_s2_ceil", average_pool)):
        y = pool(channels_last(ops[f"{case}_{size}/x"]))
        np.testing.assert_allclose(channels_first(y), ops[f"{case}_{size}/y"], atol=1e-6)


def test_the_parameter_free_shortcut(ops):
    y = ZeroPad().apply({}, channels_last(ops["cifar_shortcut_a/x"]), 32, 2, train=False)
    np.testing.assert_array_equal(channels_first(y), ops["cifar_shortcut_a/y"])


def test_group_norm(ops):
    params = {"scale": ops["groupnorm_32/weight"], "bias": ops["groupnorm_32/bias"]}
    y = GroupNorm().apply({"params": params}, channels_last(ops["groupnorm_32/x"]), train=True)
    np.testing.assert_allclose(channels_first(y), ops["groupnorm_32/y"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["batchnorm_4x3x5x5", "batchnorm_2x3x1x1"])
def test_batch_norm(ops, case):
    gold = {key.split("/")[1]: ops[key] for key in ops if key.startswith(f"{case}/")}
    params = {"scale": jnp.asarray(gold["weight"]), "bias": jnp.asarray(gold["bias"])}
    stats = {"mean": jnp.asarray(gold["mean0"]), "var": jnp.asarray(gold["var0"])}
    norm = BatchNorm(fast_variance=False)  # a batch of two values leaves no digits to lose

    def train(params, stats, x):
        return norm.apply(
            {"params": params, "batch_stats": stats}, x, train=True, mutable=["batch_stats"]
        )

    x = channels_last(gold["x"])
    for call, factor in ((1, 1.0), (2, 0.5)):
        y, new = train(params, stats, x * factor)
        stats = new["batch_stats"]
        np.testing.assert_allclose(stats["mean"], gold[f"mean{call}"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(stats["var"], gold[f"var{call}"], rtol=1e-5, atol=1e-6)
        if call == 1:
            np.testing.assert_allclose(channels_first(y), gold["y_train"], rtol=1e-4, atol=1e-4)
    y = norm.apply({"params": params, "batch_stats": stats}, x, train=False)
    np.testing.assert_allclose(channels_first(y), gold["y_eval"], rtol=1e-4, atol=1e-5)

    cotangent = channels_last(gold["cotangent"])
    _, pullback = jax.vjp(lambda p, x: train(p, stats, x)[0], params, x)
    grads, dx = pullback(cotangent)
    np.testing.assert_allclose(channels_first(dx), gold["dx"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(grads["scale"], gold["dw"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(grads["bias"], gold["db"], rtol=1e-4, atol=1e-5)


def place(name):
    """Collection and path of an entry that torchvision's ResNet-18 names `name`."""
    owner, leaf = name.rsplit(".", 1)
    owner = re.sub(r"^layer(\d)\.(\d+)\.", lambda m: f"stage{m[1]}/block{int(m[2]) + 1}/", owner)
    owner = owner.replace("downsample.0", "shortcut/conv").replace("downsample.1", "shortcut/norm")
    owner = re.sub(r"^conv1", "stem/conv", re.sub(r"^bn1", "stem/norm", owner))
    owner = re.sub(r"/bn(\d)", r"/norm\1", owner)
    path = ["head"] if owner == "fc" else ["backbone", *owner.split("/")]
    if leaf.startswith("running_"):
        return ["batch_stats", *path, leaf.removeprefix("running_")]
    leaf = leaf if leaf == "bias" else "scale" if "norm" in owner else "kernel"
    return ["params", *path, leaf]


def test_resnet18_gives_torchvision_s_logits_loss_and_statistics(golden, monkeypatch):
    """The whole net; every other one is compared where weights are converted."""
    monkeypatch.syspath_prepend(str(golden))
    from weights import (  # type: ignore[import-not-found]
        load_golden,
        make_input,
        make_state_dict,
    )

    gold = load_golden(golden / "resnet18.npz")
    variables = {}
    for name, value in make_state_dict(gold["manifest"]).items():
        if not name.endswith("num_batches_tracked"):
            *owner, leaf = place(name)
            node = variables
            for key in owner:
                node = node.setdefault(key, {})
            node[leaf] = kernel(value) if leaf == "kernel" else jnp.asarray(value)
    net, x = zoo.resnet18(), channels_last(make_input(gold["meta"]["input"]))
    logits = apply(net, variables, x, train=False)
    np.testing.assert_allclose(logits, gold["logits"], atol=1e-4)
    logits, new = apply(net, variables, x, train=True)
    np.testing.assert_allclose(logits, gold["train.logits"], atol=1e-4)
    for name, mean in zip(
        json.loads(str(gold["train.buffer_names"])), gold["train.buffer_mean"], strict=True
    ):
        node = new
        for key in place(name):
            node = node[key]
        assert float(node.mean()) == pytest.approx(float(mean), abs=1e-5)
