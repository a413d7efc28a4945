"""Detectors' checkpoints: torchvision's old names, and pickles of detectron2's model zoo."""

import dataclasses
import functools
import pickle
import re

import jax
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.block import BOTTLENECK, BOTTLENECK_V1
from jresnet.models.headed import backbone_of
from jresnet.models.heads.regions import RPNHead
from jresnet.models.norms import BatchNorm, GroupNorm
from jresnet.models.part import part
from jresnet.weights import files, from_torch, to_torch
from jresnet.weights.conventions import as_detectron2
from jresnet.weights.detectors import DETECTRON2_RCNN, TORCHVISION_RCNN
from tests.models.tiny_detectors import SETTINGS, tiny
from tests.nets import random_variables

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_old_names_of_torchvision_s_checkpoints_load():
    net = tiny("mask")
    variables = random_variables(net, (64, 64, 3))
    old = {}
    for name, value in to_torch(variables, net).items():
        name = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        name = re.sub(
            r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", name
        )
        old[name] = value
    assert "rpn.head.conv.weight" in old
    assert "roi_heads.mask_head.mask_fcn1.bias" in old
    jax.tree.map(np.testing.assert_array_equal, from_torch(old, net), variables)


@pytest.mark.slow
def test_norms_of_a_classifier_s_backbone_are_frozen_in_a_detector():
    net = tiny()
    source = zoo.resnet18(depths=(1,) * 4, widths=(8,) * 4)
    state = to_torch(random_variables(source, (64, 64, 3)), source)
    loaded = from_torch(state, net, new_head=True, image=(64, 64, 3))
    scale = loaded["batch_stats"]["backbone"]["stem"]["norm"]["scale"]
    np.testing.assert_array_equal(scale, state["bn1.weight"])


def test_detectron2_s_detectors_on_resnext_have_deviations_of_one():
    nets = [tiny(**bottlenecks, branch=BOTTLENECK) for bottlenecks in ({}, {"groups": 2})]
    names = []
    for net in nets:
        variables = random_variables(net, (64, 64, 3))
        stem = np.asarray(variables["params"]["backbone"]["stem"]["conv"]["kernel"])
        state = to_torch(variables, net, DETECTRON2_RCNN)
        names.append(set(state))
        theirs = state["backbone.bottom_up.stem.conv1.weight"].transpose(2, 3, 1, 0)[..., ::-1, :]
        scale = 1 if backbone_of(net).groups > 1 else np.reshape(DEVIATION, (3, 1)) * 255
        np.testing.assert_allclose(theirs * scale, stem, rtol=1e-5)
        back = from_torch(state, net)["params"]["backbone"]["stem"]["conv"]["kernel"]
        np.testing.assert_allclose(back, stem, rtol=1e-5)
    assert names[0] == names[1]


@pytest.mark.parametrize("kind", ["mask", "keypoint"])
def test_pickles_of_detectron2_load(kind, tmp_path):
    """Written by its names: the background last, or none; blue first, and less the mean alone."""
    net = tiny(kind)
    variables = random_variables(net, (64, 64, 3))
    params = variables["params"]
    params["box_head"]["deltas"]["kernel"] = params["box_head"]["deltas"]["kernel"].at[:, :4].set(0)
    params["box_head"]["deltas"]["bias"] = params["box_head"]["deltas"]["bias"].at[:4].set(0)
    if kind == "mask":
        classes = params["mask_head"]["classes"]
        classes["kernel"] = classes["kernel"].at[..., 0].set(0)
        classes["bias"] = classes["bias"].at[0].set(0)
    state = to_torch(variables, net, DETECTRON2_RCNN)
    assert state["roi_heads.box_predictor.bbox_pred.weight"].shape == (8, 8)
    kernel = np.asarray(params["box_head"]["classes"]["kernel"])
    theirs = state["roi_heads.box_predictor.cls_score.weight"]
    np.testing.assert_array_equal(theirs, kernel.T[[1, 2, 0]])
    state["proposal_generator.anchor_generator.cell_anchors.0"] = np.zeros((3, 4), np.float32)
    content = {"model": state, "__author__": "tests", "matching_heuristics": True}
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(content))
    back = from_torch(files.load(tmp_path / "model.pkl"), net)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), back, variables)

    picture = np.random.default_rng(0).uniform(0, 255, (3, 7, 7))  # red, green, blue
    blue_first = (picture - 255 * np.reshape(MEAN, (3, 1, 1)))[::-1]
    ours = (np.moveaxis(picture, 0, -1) / 255 - MEAN) / DEVIATION
    wanted = np.einsum("ochw,chw->o", state["backbone.bottom_up.stem.conv1.weight"], blue_first)
    stem = np.asarray(params["backbone"]["stem"]["conv"]["kernel"])
    np.testing.assert_allclose(np.einsum("hwc,hwco->o", ours, stem), wanted, rtol=1e-4, atol=1e-4)


# FastRCNNConvFCHead, MaskRCNNConvUpsampleHead, FPN and StandardRPNHead of detectron2: with a norm no
# convolution has a bias, and several of the first stage's head are a Sequential.
NORMED = {
    *(f"backbone.fpn_{kind}{n}" for kind in ("lateral", "output") for n in (2, 3, 4, 5)),
    *(f"roi_heads.box_head.conv{n}" for n in (1, 2, 3, 4)),
    "roi_heads.mask_head.mask_fcn1",
}


@pytest.mark.parametrize("kind", ["large-scale jitter", "group norm"])
def test_detectron2_s_detectors_with_norms_in_their_heads(kind, tmp_path):
    """configs/new_baselines (BatchNorm, two convolutions in RPN), Misc/mask_rcnn_R_50_FPN_3x_gn."""
    jitter = kind == "large-scale jitter"
    norm = BatchNorm if jitter else part(GroupNorm, groups=4)
    net = tiny("mask", 2, norm=norm, branch=BOTTLENECK)
    if not jitter:
        net = net.clone(rpn=RPNHead)
    variables = random_variables(net, (64, 64, 3))
    state = to_torch(variables, net, DETECTRON2_RCNN)
    layers = {name.removesuffix(".norm.weight") for name in state if name.endswith("norm.weight")}
    assert {name for name in layers if "bottom_up" not in name} == NORMED
    assert not {f"{name}.bias" for name in NORMED} & set(state)
    convs = {name for name in state if "rpn_head.conv." in name}
    prefix = "proposal_generator.rpn_head.conv."
    two = {f"{prefix}conv{n}.{leaf}" for n in (0, 1) for leaf in ("weight", "bias")}
    assert convs == (two if jitter else {f"{prefix}weight", f"{prefix}bias"})
    assert state["roi_heads.box_head.fc1.weight"].shape == (8, 8 * 7 * 7)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"model": state, "__author__": "tests"}))
    back = from_torch(files.load(tmp_path / "model.pkl"), net)
    for name in ("fpn", "rpn", "backbone"):
        for tree in [tree for tree in variables if name in variables[tree]]:
            jax.tree.map(
                functools.partial(np.testing.assert_allclose, rtol=1e-6),
                back[tree][name],
                variables[tree][name],
            )
    kernel = back["params"]["box_head"]["dense5"]["kernel"]
    np.testing.assert_array_equal(kernel, variables["params"]["box_head"]["dense5"]["kernel"])
    strided = BOTTLENECK_V1 if jitter else BOTTLENECK  # STRIDE_IN_1X1 is False with GN alone
    assert backbone_of(as_detectron2(net)).branch == strided


def test_weights_of_another_code_base_s_conventions_are_told(caplog):
    """All shapes are the same: nothing else would tell that boxes come out wrong."""
    bottlenecks = {"branch": BOTTLENECK}
    theirs = dataclasses.replace(SETTINGS, rounded=False, aligned=True)
    usual, other = tiny(**bottlenecks), tiny(settings=theirs, branch=BOTTLENECK_V1)
    variables = random_variables(usual, (64, 64, 3))
    for layout, silent, told, message in (
        (
            DETECTRON2_RCNN,
            other,
            usual,
            "rounded=True, aligned=False, version=1.5 of its bottlenecks",
        ),
        (
            TORCHVISION_RCNN,
            usual,
            other,
            "rounded=False, aligned=True, version=1 of its bottlenecks",
        ),
    ):
        state = to_torch(variables, usual, layout)
        caplog.clear()
        from_torch(state, silent)
        assert not caplog.messages
        from_torch(state, told)
        (line,) = caplog.messages
        assert f"weights of {layout.name} in a net with {message}: expected zoo" in line
