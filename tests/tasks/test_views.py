"""Views of an image."""

import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.normalisation import Normalize
from jresnet.models import zoo
from jresnet.tasks.classify import Classify
from jresnet.tasks.views import MeanOverViews, TenCrops
from tests.nets import apply, random_variables

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 12, 14, 3), np.uint8)


def test_ten_crops_are_corners_and_middle_and_their_mirror_images():
    views = [np.asarray(v) for v in TenCrops(8)(jnp.asarray(IMAGES))]
    x = IMAGES
    expected = [x[:, :8, :8], x[:, :8, -8:], x[:, -8:, :8], x[:, -8:, -8:], x[:, 2:10, 3:11]]
    assert len(views) == 10
    for view, mirror, crop in zip(views[:5], views[5:], expected, strict=True):
        np.testing.assert_array_equal(view, crop)
        np.testing.assert_array_equal(mirror, crop[:, :, ::-1])
    with pytest.raises(ValueError, match=r"crop 13: the images are \(12, 14\)"):
        TenCrops(13)(jnp.asarray(IMAGES))


def test_probabilities_are_averaged_not_logits():
    net, normalize = zoo.cifar_resnet(8, 6), Normalize((0.5,), (0.25,))
    variables = random_variables(net, (8, 8, 3))
    batch = {"image": jnp.asarray(IMAGES), "label": jnp.asarray([1, 2])}
    outputs = MeanOverViews(Classify(net, normalize), TenCrops(8)).outputs(variables, batch)
    seen = []
    for view in TenCrops(8)(batch["image"]):
        logits = np.asarray(apply(net, variables, normalize(view), train=False), np.float64)
        seen.append(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(outputs["probabilities"], np.mean(seen, 0), rtol=1e-4, atol=1e-6)
    assert outputs["label"].tolist() == [1, 2]
