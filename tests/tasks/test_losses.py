"""Losses against torch's numbers and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.tasks.losses import BinaryCrossEntropy
from tests.nets import read_arrays


@pytest.fixture(scope="module")
def ops(golden):
    return read_arrays(golden / "ops.npz")


@pytest.mark.parametrize("smoothing", ["0.0", "0.1", "0.2"])
def test_smoothed_cross_entropy_follows_torch(ops, smoothing):
    """The loss as `Classify` puts it together: one-hot, smoothed, cross-entropy, mean."""
    case = f"cross_entropy_smooth_{smoothing}"
    logits, labels = jnp.asarray(ops[f"{case}/logits"]), ops[f"{case}/labels"]
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), float(smoothing))
    each = optax.softmax_cross_entropy(logits, targets)
    np.testing.assert_allclose(each, ops[f"{case}/per_sample"], rtol=1e-5)
    mean, grad = jax.value_and_grad(lambda x: optax.softmax_cross_entropy(x, targets).mean())(
        logits
    )
    np.testing.assert_allclose(mean, ops[f"{case}/loss"], rtol=1e-5)
    np.testing.assert_allclose(grad, ops[f"{case}/grad"], rtol=1e-4, atol=1e-7)


def test_mixed_targets_follow_torch(ops):
    logits, targets = (
        jnp.asarray(ops[f"cross_entropy_soft/{name}"]) for name in ("logits", "targets")
    )
    losses = [
        float(optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, s)).mean())
        for s in (0.0, 0.1)
    ]
    expected = [float(ops[f"cross_entropy_soft/{name}"]) for name in ("loss", "loss_smooth_0.1")]
    assert losses == pytest.approx(expected, rel=1e-5)


def test_binary_cross_entropy_by_hand():
    logits = jnp.asarray([[2.0, -1.0, 0.0], [0.0, 0.0, 3.0]])
    targets = jnp.asarray([[0.7, 0.3, 0.0], [0.1, 0.0, 0.9]])

    def by_hand(targets):
        p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
        return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(1)

    np.testing.assert_allclose(BinaryCrossEntropy()(logits, targets), by_hand(targets), rtol=1e-5)
    hard = np.array([[1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(BinaryCrossEntropy(0.2)(logits, targets), by_hand(hard), rtol=1e-5)
