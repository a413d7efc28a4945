"""Grad-CAM against the closed form of the last stage, and by finite differences at another one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.tasks.case import Case
from jresnet.tasks.classify import Classify
from jresnet.tasks.grad_cam import Salient, grad_cam
from tests.nets import random_variables

NET = zoo.cifar_resnet(8, 4)
VARIABLES = random_variables(NET, (16, 16, 3))
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)


@pytest.fixture(scope="module")
def features():
    return jax.jit(lambda v, x: NET.apply(v, x, train=False, method="features"))(VARIABLES, IMAGES)


def test_of_the_last_stage_it_is_the_class_s_weights_times_the_features(features):
    maps, logits = jax.jit(lambda v, x: grad_cam(NET, v, x, "stage3"))(VARIABLES, IMAGES)
    kernel = VARIABLES["params"]["head"]["kernel"]
    best = np.asarray(logits).argmax(-1)
    pooled = features["stage3"].mean((1, 2))
    head = VARIABLES["params"]["head"]
    np.testing.assert_allclose(logits, pooled @ kernel + head["bias"][None], rtol=1e-4, atol=1e-4)
    for row in range(2):
        expected = np.maximum(features["stage3"][row] @ kernel[:, best[row]], 0) / 16
        np.testing.assert_allclose(maps[row], expected, rtol=1e-3, atol=1e-5)


def test_of_an_earlier_stage_it_is_the_slope_of_what_follows(features):
    """The last stage alone, run by itself on features that are moved a little."""
    maps, _ = jax.jit(lambda v, x: grad_cam(NET, v, x, "stage2"))(VARIABLES, IMAGES)
    _, (_, _, last), _ = NET.backbone.layers(2)
    stage = last(name=None)
    body = VARIABLES["params"]["backbone"]["stage3"], VARIABLES["batch_stats"]["backbone"]["stage3"]
    kernel = VARIABLES["params"]["head"]["kernel"]

    bias = VARIABLES["params"]["head"]["bias"]

    def score(x):
        variables = {"params": body[0], "batch_stats": body[1]}
        y = stage.apply(variables, x, None, None, train=False)
        return (y.mean((1, 2)) @ kernel + bias[None]).max(-1).sum()

    slopes = jax.jit(jax.grad(score))(features["stage2"])
    weighted = jnp.einsum("bhwc,bc->bhw", features["stage2"], slopes.mean((1, 2)))
    np.testing.assert_allclose(maps, np.maximum(weighted, 0), rtol=1e-3, atol=1e-6)
    assert maps.shape == (2, 8, 8)


def test_features_that_are_not_there_are_named():
    with pytest.raises(UsageError, match="saliency='stage9': expected one of stem, stage1, stage2"):
        grad_cam(NET, VARIABLES, IMAGES, "stage9")


def test_it_is_drawn_beside_the_picture_with_its_warning(tmp_path):
    task = Salient(Classify(NET, Normalize((0.5,), (0.25,))))
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    inner = pixels[4:20, 8:24]
    results = jax.device_get(jax.jit(task.predict)(VARIABLES, {"image": inner[None]}))
    assert results["saliency"].shape == (1, 16, 16)
    assert results["saliency"].max() == pytest.approx(1)
    place = np.array([[1.0, 0, 8], [0, 1.0, 4]])
    case = Case("a.png", {"image": inner}, tuple("abcd"), lambda: pixels, place)
    rows = {name: values[0] for name, values in results.items()}
    prediction = task.present(rows, case, draw=True)
    drawn = prediction.images["saliency"]
    assert drawn.shape[0] > 192 + 60  # the picture eight times as large, and words below
    # The part that the net never saw is as it was: the picture twice, side by side.
    half = drawn.shape[1] - 256
    assert np.array_equal(drawn[:24, :256], drawn[:24, half:])
    assert not np.array_equal(drawn[32:160, 64:192], drawn[32:160, half + 64 : half + 192])
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    assert not task.present(rows, case, draw=False).images
