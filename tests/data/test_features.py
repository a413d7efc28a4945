"""Features in place of images."""

import jax.numpy as jnp
import numpy as np

from jresnet.data.features import FeatureData
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic

DATA = ImageData(Synthetic((4, 4, 3), 5, 21, 9), 8, eval_batch_size=4)
CALLS = []


def extract(images):
    CALLS.append(len(images))
    x = jnp.asarray(images, jnp.float32)
    constant = jnp.ones((len(x), 1))
    return jnp.concatenate([x.mean((1, 2)), x.std((1, 2)), constant], -1)


def test_batches_are_those_of_the_images_standardised_over_the_training_split():
    data = FeatureData(DATA, extract)
    data.check()
    computed = len(CALLS)
    raw = np.concatenate(
        [extract(b["image"])[b["valid"] > 0] for b in DATA.examples("train")]
    ).astype(np.float64)
    mean, std = raw.mean(0), raw.std(0)
    ours, theirs = data.train(2), DATA.train(2)
    for _ in range(4):
        batch, images = next(ours), next(theirs)
        assert np.array_equal(batch["label"], images["label"])
        expected = (np.asarray(extract(images["image"])) - mean)[:, :-1] / std[:-1]
        np.testing.assert_allclose(batch["image"][:, :-1], expected, rtol=1e-3, atol=1e-4)
        assert (batch["image"][:, -1] == 0).all()  # never changes
    calls = len(CALLS)
    assert sum(b["valid"].sum() for b in data.examples("test")) == data.size("test") == 9
    assert len(CALLS) == calls
    assert computed == 6 + 3  # each batch of either split once
    assert data.example_batch["image"].shape == (8, 7)
    assert data.example_batch["image"].dtype == np.float32
