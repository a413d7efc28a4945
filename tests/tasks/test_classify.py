"""Losses and metrics of classification against numpy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.data.augment.mix import Mixed
from jresnet.data.normalisation import Normalize
from jresnet.models import zoo
from jresnet.tasks.base import add, total
from jresnet.tasks.classify import Classify, classification_metrics
from tests.nets import apply, random_variables
from tests.train.toy import classify


def test_scores_count_ties_as_argmax_does_and_leave_masked_examples_out():
    logits = jnp.asarray(np.random.default_rng(0).integers(0, 4, (50, 12)), jnp.float32)
    label = jnp.arange(50) % 12
    mask = jnp.asarray([1.0] * 33 + [0.0] * 17)
    metrics = classification_metrics(jnp.ones(50), logits, {"label": label, "valid": mask})
    wrong = (np.argmax(logits, -1) != label)[:33].sum()
    order = np.argsort(-np.asarray(logits), axis=-1, kind="stable")
    wrong5 = sum(label[i] not in order[i, :5] for i in range(33))
    assert [float(v) for v in metrics["error"]] == [wrong, 33]
    assert [float(v) for v in metrics["top5_error"]] == [wrong5, 33]
    assert [float(v) for v in metrics["loss"]] == [33, 33]
    assert float(metrics["examples"][0]) == 33


def test_ten_classes_have_no_top5():
    metrics = classification_metrics(
        jnp.ones(2), jnp.zeros((2, 10)), {"label": jnp.asarray([0, 1])}
    )
    assert "top5_error" not in metrics
    assert float(metrics["error"][0]) == 1  # argmax of equal logits is class 0


def test_metrics_add_over_batches():
    one = {"loss": total(jnp.asarray([1.0, 2.0]))}
    other = {"loss": total(jnp.asarray([3.0, 9.0]), jnp.asarray([1.0, 0.0]))}
    assert [float(v) for v in add(one, other)["loss"]] == [6, 3]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing_is_in_the_loss_and_not_in_the_evaluation(smoothing):
    net = zoo.cifar_resnet(8)
    task = Classify(net, Normalize((0.5,), (0.25,)), label_smoothing=smoothing)
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 256, (4, 8, 8, 3), np.uint8), rng.integers(0, 10, 4)
    batch = {"image": jnp.asarray(image), "label": jnp.asarray(label)}
    variables = random_variables(net, (8, 8, 3))

    def cross_entropy(logits, targets):
        logits = np.asarray(logits, np.float64)
        return -(targets * (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))).sum(-1).mean()

    x = (image / 255 - 0.5) / 0.25
    hot = np.eye(10)[label]
    logits = jax.jit(lambda v, x: net.apply(v, x, train=True, mutable=["batch_stats"])[0])(
        variables, jnp.asarray(x, jnp.float32)
    )
    loss, _ = jax.jit(task.loss)(variables, batch, jax.random.key(0))
    smoothed = hot * (1 - smoothing) + smoothing / 10
    assert float(loss) == pytest.approx(cross_entropy(logits, smoothed), rel=1e-4)
    logits = jax.jit(lambda v, x: net.apply(v, x, train=False))(
        variables, jnp.asarray(x, jnp.float32)
    )
    evaluated = jax.jit(task.evaluate)(variables, batch)["loss"]
    assert float(evaluated[0] / evaluated[1]) == pytest.approx(cross_entropy(logits, hot), rel=1e-4)


def test_augmentations_run_in_training_only_each_with_its_own_key():
    keys = []

    def spy(key, images):
        keys.append(key)
        return images * 0

    task = dataclasses.replace(classify(), augment=(spy, spy))
    variables = random_variables(task.model, (8, 8, 3))
    batch = {"image": jnp.ones((2, 8, 8, 3), jnp.uint8), "label": jnp.asarray([1, 2])}
    task.evaluate(variables, batch)
    assert keys == []
    task.loss(variables, batch, jax.random.key(0))
    assert len(keys) == 2
    assert keys[0] != keys[1]


def test_pixels_are_augmented_before_they_are_normalised_and_mixed_last():
    seen = {}

    def pixels(key, images):
        seen["pixels"] = images
        return images + 10

    def augment(key, images):
        seen["augment"] = images
        return images

    def mix(key, images):
        partner = jnp.asarray([1, 0])
        return Mixed(0.75 * images + 0.25 * images[partner], partner, jnp.asarray(0.25))

    net = zoo.cifar_resnet(8)
    normalize = Normalize((0.5,), (0.25,))
    task = Classify(net, normalize, (augment,), 0.1, mix, (pixels,))
    variables = random_variables(net, (8, 8, 3))
    raw = np.random.default_rng(0).integers(0, 200, (2, 8, 8, 3), np.uint8)
    batch = {"image": jnp.asarray(raw), "label": jnp.asarray([1, 2])}
    loss, _ = task.loss(variables, batch, jax.random.key(0))
    np.testing.assert_array_equal(seen["pixels"], raw.astype(np.float32))
    np.testing.assert_allclose(seen["augment"], normalize(jnp.asarray(raw + 10)), rtol=1e-6)

    mixed = mix(None, seen["augment"]).images
    logits, _ = apply(net, variables, mixed, train=True)
    targets = np.full((2, 10), 0.01)
    targets[:, 1:3] += 0.9 * np.array([[0.75, 0.25], [0.25, 0.75]])
    expected = optax.softmax_cross_entropy(logits, jnp.asarray(targets)).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_criterion_is_what_is_minimised():
    net = zoo.cifar_resnet(8)
    task = Classify(net, Normalize((0.5,), (0.25,)), criterion=lambda x, y: (x * y).sum(-1))
    variables = random_variables(net, (8, 8, 3))
    batch = {"image": jnp.ones((2, 8, 8, 3), jnp.uint8), "label": jnp.asarray([1, 2])}
    loss, (_, metrics) = task.loss(variables, batch, jax.random.key(0))
    logits, _ = apply(net, variables, task.normalize(batch["image"]), train=True)
    assert float(loss) == pytest.approx(float(logits[0, 1] + logits[1, 2]) / 2, rel=1e-5)
    total, count = metrics["loss"]
    assert float(total / count) == pytest.approx(float(loss), rel=1e-5)
