"""Features by index: the table that is known beforehand against the shapes that the net gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jresnet.models import zoo
from jresnet.models.features import Feature, feature_info, feature_pyramid
from jresnet.models.frames import Frames
from jresnet.models.headed import with_backbone
from jresnet.models.heads import Classifier
from jresnet.weights.convert import WeightsError, from_torch, to_torch
from tests.nets import apply, normal, random_variables

ONE = {"depths": (1, 1, 1, 1)}  # a block a stage
DILATED = zoo.resnet50(output_stride=8)
PLANES = {
    "dilated": (zoo.resnet50(output_stride=8, **ONE), 2),
    "deep stem": (zoo.resnet50d(**ONE), 2),
    "pool by convolution": (zoo.resnetrs50(**ONE), 2),
    "blurred": (zoo.resnetblur50(**ONE), 2),
    "no pool": (zoo.cifar_resnet(8), 2),
    "faces": (zoo.iresnet18(), 2),
    "factored clips": (zoo.r2plus1d_18(**ONE), 3),
    "pool over space alone": (zoo.r3d_rs_50(**ONE), 3),
    "signals": (zoo.resnet18(**ONE), 1),
}


@pytest.mark.parametrize("name", PLANES)
def test_strides_and_channels_are_those_of_the_maps(name):
    net, rank = PLANES[name]
    pyramid = feature_pyramid(net.backbone)

    def run(x):
        return pyramid.init_with_output(jax.random.key(0), x, train=False)[0]

    maps = jax.eval_shape(run, jax.ShapeDtypeStruct((1, *(64,) * rank, 3), jnp.float32))
    info = pyramid.info(rank)
    assert info == feature_info(net, rank)
    assert [one.index for one in info] == list(range(len(maps)))
    for one, map_ in zip(info, maps, strict=True):
        strides = (one.stride,) * rank if isinstance(one.stride, int) else one.stride
        sizes = tuple(-(-64 // stride) for stride in strides)
        assert map_.shape == (1, *sizes, one.channels), one


def test_resnet50_is_counted_as_in_timm():
    """timm.create_model("resnet50", features_only=True).feature_info: channels and reductions."""
    info = feature_info(zoo.resnet50())
    assert [one.channels for one in info] == [64, 256, 512, 1024, 2048]
    assert [one.stride for one in info] == [2, 4, 8, 16, 32]
    assert [one.stride for one in feature_info(DILATED)] == [2, 4, 8, 8, 8]
    assert feature_info(zoo.r3d_18(), 3)[0] == Feature(0, "stem", 64, (1, 2, 2))


def test_indices_pick_the_maps_of_a_classifier_s_weights():
    net = zoo.resnet18(3, widths=(8, 8, 16, 16), **ONE)
    variables = random_variables(net, (64, 64, 3))
    images = normal(2, 64, 64, 3)
    pyramid = feature_pyramid(net, (-1, 0, 2))
    assert [one.name for one in pyramid.info()] == ["stage4", "before_pool", "stage2"]
    state = to_torch(variables, net)
    taken = from_torch(state, pyramid, new_head=True)
    last, first, second = apply(pyramid, taken, images, train=False)
    whole = with_backbone(net, before_pool=True)
    features = apply(whole, variables, images, train=False, method="features")
    for map_, name in ((last, "stage4"), (first, "before_pool"), (second, "stage2")):
        np.testing.assert_allclose(map_, features[name], rtol=0, atol=1e-4)
    with pytest.raises(WeightsError, match="unexpected"):
        from_torch(state, pyramid)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ((0, 5), r"out_indices=\(0, 5\): expected numbers from -5 to 4"),
        ((-6,), "expected numbers from -5 to 4"),
        ((), "expected one index or more"),
    ],
)
def test_indices_that_are_not_there(indices, message):
    with pytest.raises(ValueError, match=message):
        feature_pyramid(zoo.resnet18(), indices)


class Nothing(nn.Module):
    """A backbone that is none."""


def test_backbones_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="expected a ResNet"):
        feature_info(Classifier(Nothing(), 3))


def test_a_backbone_over_frames_is_one_of_pictures():
    clips = Classifier(Frames(zoo.resnet18().backbone), 5)
    assert feature_info(clips) == feature_info(zoo.resnet18())
