"""Responses against convolution and BatchNorm written out."""

import jax.numpy as jnp
import pytest

from jresnet.analysis.chain import chain
from jresnet.analysis.responses import responding, response_deviations
from jresnet.models import zoo
from jresnet.models.block import BASIC
from jresnet.models.heads import Classifier
from jresnet.models.layers import convolve
from jresnet.models.part import part
from jresnet.models.resnet import ResNet, Stem, StemConv
from tests.nets import normal, random_variables


def batches(x):
    """The same examples, six in one batch and two with a padded row."""
    first = {"image": x[:6], "valid": jnp.ones(6)}
    padded = jnp.concatenate([x[6:], 100 * x[:1]])
    return [first, {"image": padded, "valid": jnp.array([1.0, 1.0, 0.0])}]


def test_a_layer_s_response_is_its_normalised_convolution():
    net, x = zoo.cifar_resnet(14, shortcut="B"), normal(8, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    actual = response_deviations(net, variables, batches(x), responding())
    assert len(actual) == 13
    assert list(actual)[:2] == ["backbone/stem/norm", "backbone/stage1/block1/norm1"]
    assert list(actual)[-1] == "backbone/stage3/block2/norm2"

    h = chain(net).stem(variables, x)
    params = variables["params"]["backbone"]["stage1"]["block1"]
    stats = variables["batch_stats"]["backbone"]["stage1"]["block1"]["norm1"]
    y = convolve(h, params["conv1"]["kernel"], (1, 1), [(1, 1)] * 2, (1, 1))
    of_channel = jnp.s_[None, None, None]
    y = (y - stats["mean"][of_channel]) / jnp.sqrt(stats["var"][of_channel] + 1e-5)
    y = y * params["norm1"]["scale"][of_channel] + params["norm1"]["bias"][of_channel]
    assert actual["backbone/stage1/block1/norm1"] == pytest.approx(float(jnp.std(y)), rel=1e-4)


def test_of_a_preactivation_net_the_convolutions_are_taken():
    net, x = zoo.cifar_resnet(8, preactivation=True), normal(8, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    actual = response_deviations(net, variables, batches(x), responding(preactivation=True))
    assert len(actual) == 7
    block = chain(net).blocks[0]
    h = chain(net).stem(variables, x)
    branch = block(variables, h) - h
    assert actual["backbone/stage1/block1/conv2"] == pytest.approx(float(jnp.std(branch)), rel=1e-3)


def test_layers_come_in_the_order_of_the_net():
    stem = part(Stem, convs=(StemConv(4, 3, 1),), pool=None)
    net, x = Classifier(ResNet((11,), BASIC, (4,), (1,), stem=stem), 3), normal(2, 4, 4, 3)
    batch = {"image": x, "valid": jnp.ones(2)}
    variables = random_variables(net, x.shape[1:])
    names = list(response_deviations(net, variables, [batch], responding()))
    blocks = [name.split("/")[2] for name in names[1:]]
    assert blocks == [f"block{number}" for number in range(1, 12) for _ in range(2)]
