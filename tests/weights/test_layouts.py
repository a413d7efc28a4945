"""Names as other code bases write them, read off their sources or off files that they wrote."""

import contextlib
import functools

import jax
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.block import BASIC
from jresnet.models.part import part
from jresnet.models.published import abstract_variables
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.zoo.common import SMALL_STEM, net
from jresnet.weights import layouts
from jresnet.weights.convert import from_torch, to_torch
from tests.nets import apply, random_variables

IMAGE = (32, 32, 3)
BOTTLENECKS = zoo.resnet50(5, depths=(1, 2), widths=(8, 16), strides=(1, 2))
BASICS = net(5, {}, depths=(1, 1), widths=(8, 16), strides=(1, 2), branch=BASIC)

# weiaicunzai/pytorch-cifar100 models/resnet.py; transformers 5 modeling_resnet.py, written out by
# ResNetForImageClassification.state_dict(); detectron2 tools/convert-torchvision-to-d2.py.
NAMES = {
    "WEIAICUNZAI": (BOTTLENECKS.clone(backbone=BOTTLENECKS.backbone.clone(stem=SMALL_STEM)), {
        "conv1.0.weight": (64, 3, 3, 3), "conv1.1.running_mean": (64,),
        "conv2_x.0.residual_function.0.weight": (8, 64, 1, 1),
        "conv2_x.0.residual_function.1.bias": (8,),
        "conv2_x.0.residual_function.3.weight": (8, 8, 3, 3),
        "conv3_x.1.residual_function.6.weight": (64, 16, 1, 1),
        "conv3_x.1.residual_function.7.running_var": (64,),
        "conv3_x.0.shortcut.0.weight": (64, 32, 1, 1), "conv3_x.0.shortcut.1.weight": (64,),
        "fc.weight": (5, 64), "fc.bias": (5,),
    }),
    "HUGGING_FACE": (BASICS, {
        "resnet.embedder.embedder.convolution.weight": (64, 3, 7, 7),
        "resnet.embedder.embedder.normalization.running_var": (64,),
        "resnet.encoder.stages.0.layers.0.shortcut.convolution.weight": (8, 64, 1, 1),
        "resnet.encoder.stages.0.layers.0.shortcut.normalization.weight": (8,),
        "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight": (8, 64, 3, 3),
        "resnet.encoder.stages.1.layers.0.layer.1.normalization.running_mean": (16,),
        "classifier.1.weight": (5, 16), "classifier.1.bias": (5,),
    }),
    "HUGGING_FACE_BODY": (BASICS, {
        "embedder.embedder.convolution.weight": (64, 3, 7, 7),
        "encoder.stages.1.layers.0.layer.1.normalization.running_mean": (16,),
    }),
    "DETECTRON2": (BOTTLENECKS, {
        "stem.conv1.weight": (64, 3, 7, 7), "stem.conv1.norm.bias": (64,),
        "res2.0.shortcut.weight": (32, 64, 1, 1), "res2.0.shortcut.norm.weight": (32,),
        "res2.0.conv1.weight": (8, 64, 1, 1), "res2.0.conv1.norm.running_var": (8,),
        "res3.1.conv3.weight": (64, 16, 1, 1), "res3.1.conv3.norm.weight": (64,),
        "stem.fc.weight": (5, 64), "stem.fc.bias": (5,),
    }),
}  # fmt: skip


@pytest.mark.parametrize("layout", NAMES)
def test_names_and_the_round_trip(layout):
    model, shapes = NAMES[layout]
    variables = random_variables(model, IMAGE)
    state = to_torch(variables, model, getattr(layouts, layout))
    assert {name: state[name].shape for name in shapes} == shapes
    assert len(state) == len(to_torch(variables, model))
    assert layouts.recognise(state).name == getattr(layouts, layout).name
    again = to_torch(from_torch(state, model), model)
    assert all(np.array_equal(value, again[n]) for n, value in to_torch(variables, model).items())


OTHERS = {
    "timm ECA": (zoo.ecaresnet50d(), IMAGE),
    "squeeze-excite": (zoo.seresnet50(), IMAGE),
    "pre-activation": (zoo.resnetv2_50(), IMAGE),
    "video": (zoo.r3d_18(), (8, *IMAGE)),
    "plain": (zoo.resnet18(), IMAGE),
}


@functools.cache
def paths_of(name):
    leaves = jax.tree_util.tree_leaves_with_path(abstract_variables(*OTHERS[name]))
    return [tuple(entry.key for entry in path)[1:] for path, _ in leaves]


@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("model", OTHERS)
def test_each_name_stands_for_one_layer_or_there_is_none(layout, model):
    names = []
    with contextlib.suppress(ValueError):  # the code base has no such layer
        names.extend(map(layout.torch_name, paths_of(model)))
    assert len(set(names)) == len(names)


def ramp(shape, low, high):
    count = int(np.prod(shape))
    wave = np.sin(np.arange(count, dtype=np.float64) * 1.7 + count)
    return (low + (high - low) * (wave + 1) / 2).astype(np.float32).reshape(shape)


def test_logits_of_transformers():
    """Computed in float64 by transformers 5 and torch 2.13, every entry and the images `ramp`s."""
    stem = part(Stem, convs=(StemConv(16, 7, 2),))
    depths, widths, strides = (1, 1), (16, 32), (1, 2)
    model = net(3, {}, depths=depths, widths=widths, strides=strides, branch=BASIC, stem=stem)
    shapes = to_torch(random_variables(model, IMAGE), model, layouts.HUGGING_FACE)
    positive = ("normalization.weight", "running_var")
    state = {
        name: ramp(value.shape, *((0.5, 1.5) if name.endswith(positive) else (-0.2, 0.2)))
        for name, value in shapes.items()
    }
    images = np.moveaxis(ramp((2, 3, 32, 32), -1, 1), 1, -1)
    logits = apply(model, from_torch(state, model), images, train=False)
    np.testing.assert_allclose(
        logits,
        [[0.10003389, -0.11543028, -0.14087439], [0.09759341, -0.12789221, -0.12481944]],
        atol=1e-6,
    )
