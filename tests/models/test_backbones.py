"""Backbones as the applications need them: dilated, three-dimensional, of any number of channels."""

import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.block import BASIC
from jresnet.models.part import part
from jresnet.models.published import abstract_variables
from jresnet.models.resnet import ResNet, Stem, StemConv
from jresnet.models.shortcuts import ZeroPad
from jresnet.weights.convert import from_torch
from tests.models.headed_nets import Fcn
from tests.nets import apply, normal, random_variables
from tests.weights.test_headed import FCN
from tests.weights.test_parity import channels_first, channels_last, relative, tools  # noqa: F401


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        # torchvision's replace_stride_with_dilation=[False, False, True] and [False, True, True].
        (16, [(2, (1, 1, 1, 1)), (2, (1,) * 6), (1, (1, 2, 2))]),
        (8, [(2, (1, 1, 1, 1)), (1, (1, 2, 2, 2, 2, 2)), (1, (2, 4, 4))]),
    ],
)
def test_strides_are_replaced_by_dilation_as_in_torchvision(output_stride, expected):
    net = zoo.resnet50(output_stride=output_stride).backbone
    assert [entry[1:] for entry in net.plan(2)[1:]] == expected


@pytest.mark.slow
def test_a_dilated_backbone_gives_the_numbers_of_torchvision(golden, tools):  # noqa: F811
    gold = tools.load_golden(golden / "deeplabv3_resnet50.npz")
    state = tools.make_state_dict(gold["manifest"])
    net = Fcn(zoo.resnet50(output_stride=8).backbone, 21)
    variables = from_torch(state, net, FCN, new_head=True)
    x = channels_last(tools.make_input(gold["meta"]["input"]))
    backbone = {kind: tree["backbone"] for kind, tree in variables.items()}
    features = apply(net.backbone, backbone, x, train=False)
    for number in (1, 2, 3, 4):
        picked = tools.pick(channels_first(features[f"stage{number}"]))
        assert relative(picked, gold[f"feat.backbone.layer{number}.values"]) < 1e-3


def test_three_dimensional_nets_without_parameters_in_their_shortcuts():
    """MedicalNet of depth 18: zeros after the channels, strides of the last stages dilated."""
    stem = part(Stem, convs=(StemConv(8, 7, 2),))
    net = ResNet(
        (2, 2, 2, 2), BASIC, (8, 8, 16, 16), (1, 2, 1, 1),
        dilations=(1, 1, 2, 4), stem=stem, shortcut=part(ZeroPad, trailing=True),
    )  # fmt: skip
    variables = random_variables(net, (16, 16, 16, 1))
    assert not any("shortcut" in str(block) for block in variables["params"]["stage3"].values())
    features = apply(net, variables, normal(1, 16, 16, 16, 1), train=False)
    assert {name: y.shape[1:] for name, y in features.items()} == {
        "stem": (4, 4, 4, 8),
        "stage1": (4, 4, 4, 8),
        "stage2": (2, 2, 2, 8),
        "stage3": (2, 2, 2, 16),
        "stage4": (2, 2, 2, 16),
    }
    x = normal(1, 4, 4, 4, 2)
    shortcut = ZeroPad(trailing=True)
    y = shortcut.apply({}, x, 5, 2, train=False)
    expected = np.concatenate([x[:, ::2, ::2, ::2], np.zeros((1, 2, 2, 2, 3))], -1)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 4, 11])
def test_any_number_of_input_channels_at_any_rank(rank, channels):
    net = zoo.resnet18(3).backbone
    variables = abstract_variables(net, ((32,) * rank) + (channels,))
    assert variables["params"]["stem"]["conv"]["kernel"].shape == (7,) * rank + (channels, 64)
    assert variables["params"]["stem"]["conv"]["kernel"].dtype == jnp.float32
