"""Label maps at several scales and mirrored: by hand where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jresnet.tasks.map_views import MapViews
from jresnet.tasks.segment import Segment


class Sides(nn.Module):
    """Logits that depend on the pixel and on how far left it lies, without parameters."""

    classes: int = 2
    slope: float = 0.0
    as_dict: bool = False

    @nn.compact
    def __call__(self, x, *, train):
        del train
        place = jnp.linspace(-1, 1, x.shape[2])[None, None, :, None]
        logits = x[..., :1] + self.slope * place
        logits = logits if self.classes == 1 else jnp.concatenate([-logits, logits], -1)
        return {"out": logits, "aux": logits} if self.as_dict else logits


def batch(rng):
    image = rng.integers(0, 255, (2, 8, 12, 1)).astype(np.uint8)
    labels = (image[..., 0] > 127).astype(np.int32)
    labels[0, 0] = 255
    return {"image": image, "map": labels, "valid": np.array([1.0, 1.0], np.float32)}


def task(**fields):
    return Segment(Sides(**fields), lambda x: jnp.asarray(x, jnp.float32) / 127.5 - 1)


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("as_dict", [False, True])
def test_one_view_is_the_task_s_own_evaluation(classes, as_dict):
    rows, single = batch(np.random.default_rng(0)), task(classes=classes, as_dict=as_dict)
    one = MapViews(single, (1.0,), mirror=False).evaluate({}, rows)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), one, single.evaluate({}, rows)
    )


def test_a_mirrored_view_takes_away_what_depends_on_the_side():
    rows = batch(np.random.default_rng(1))
    rows["image"] = np.where(rows["map"][..., None] == 1, 255, 0).astype(np.uint8)
    crooked = task(slope=3.0)  # steep enough that single views are wrong at the sides
    wrong = crooked.evaluate({}, rows)["confusion"][0]
    right = MapViews(crooked, (1.0,)).evaluate({}, rows)["confusion"][0]
    assert wrong[0, 1] + wrong[1, 0] > 0
    assert right[0, 1] + right[1, 0] == 0
    assert right.sum() == 2 * 8 * 12 - 12


def test_the_mean_over_scales_by_hand():
    rows, single = batch(np.random.default_rng(2)), task()
    image = jnp.asarray(rows["image"], jnp.float32) / 127.5 - 1
    views = []
    for height, width in ((4, 6), (12, 18)):
        small = jax.image.resize(image, (2, height, width, 1), "linear", antialias=False)
        shares = jax.nn.sigmoid(2 * small)  # a softmax of -x and x
        views.append(jax.image.resize(shares, (2, 8, 12, 1), "linear", antialias=False))
    predicted = np.asarray(sum(views) / 2)[..., 0] > 0.5
    counted = rows["map"] != 255
    metrics = MapViews(single, (0.5, 1.5), mirror=False).evaluate({}, rows)
    right = metrics["confusion"][0][0, 0] + metrics["confusion"][0][1, 1]
    assert right == ((predicted == rows["map"]) & counted).sum()
