"""Losses of label maps against segmentation_models_pytorch, and what ignored pixels must not do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.tasks.map_losses import CrossEntropy, Focal, Lovasz, Overlap, Sum, dice, jaccard
from tests.nets import read_arrays

TVERSKY = Overlap(0.3, 0.7)
LOSSES = {
    "dice": dice(),
    "dice_smooth1": dice(1.0),
    "dice_log": dice(logarithm=True),
    "dice_classes": dice(classes=(0, 2)),
    "jaccard": jaccard(),
    "jaccard_log_smooth1": jaccard(1.0, logarithm=True),
    "lovasz": Lovasz(),
    "lovasz_per_image": Lovasz(per_image=True),
    "tversky": TVERSKY,
    "tversky_focal": Overlap(0.3, 0.7, gamma=0.75),
    "focal": Focal(),
    "focal_alpha": Focal(alpha=0.25),
    "focal_normalized": Focal(normalized=True),
    "focal_gamma0": Focal(gamma=0.0),
}
KINDS = ("multiclass", "binary", "multilabel")


@pytest.fixture(scope="module")
def gold(golden):
    return read_arrays(golden / "segmentation_losses.npz")


def arguments(gold, case: str):
    """logits, labels and counted of a case, channels last, in float64."""
    kind = next(kind for kind in KINDS if f"_{kind}" in case)
    prefix = "" if kind == "multiclass" else f"{kind}_"
    labels = gold[f"data/{prefix}labels" + ("_ignore" if "ignore" in case else "")]
    logits = gold[f"data/{prefix}logits"].astype(np.float64)
    if case.endswith("_empty"):
        labels = np.zeros_like(labels)
    if case.endswith("all_ignored"):
        labels = np.full_like(labels, 255)
    if labels.ndim == logits.ndim:
        labels = np.moveaxis(labels, 1, -1)
    return np.moveaxis(logits, 1, -1), labels, labels != 255


@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz_counted_by_size_is_lovasz_sorted(per_image):
    key = jax.random.key(3)
    labels = jax.random.randint(key, (2, 40, 50), 0, 4).at[:, :4].set(255)  # class 4 is absent
    logits = 2 * jax.random.normal(key, (2, 40, 50, 5)) + 2 * jax.nn.one_hot(labels, 5)
    counted = labels != 255
    sorted_loss, counted_loss = Lovasz(per_image), Lovasz(per_image, levels=4096)
    expected, gradient = jax.value_and_grad(sorted_loss)(logits, labels, counted)
    value, other = jax.value_and_grad(counted_loss)(logits, labels, counted)
    assert 0.2 < expected < 0.8
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert jnp.linalg.norm(other - gradient) < 0.03 * jnp.linalg.norm(gradient)
    assert not other[:, :4].any()
    few = Lovasz(per_image, levels=16)(logits, labels, counted)
    assert 1e-6 < abs(few - expected) < 1 / 16


def names(gold) -> list[str]:
    return sorted({key.split("/")[0] for key in gold} - {"data", "meta"})


@pytest.mark.slow
def test_losses_and_gradients_are_those_of_segmentation_models_pytorch(gold):
    met = 0
    for case in names(gold):
        name = next(
            (n for n in sorted(LOSSES, key=len, reverse=True) if case.startswith(n + "_")), None
        )
        if name is None or f"{case}/loss_f64" not in gold:
            continue
        with jax.enable_x64(True):
            logits, labels, counted = arguments(gold, case)
            both = jax.jit(jax.value_and_grad(LOSSES[name]))
            value, grad = both(jnp.asarray(logits), labels, counted)
        np.testing.assert_allclose(value, gold[f"{case}/loss_f64"], 1e-9, 1e-9, err_msg=case)
        if f"{case}/grad_f64" in gold:
            wanted = np.moveaxis(gold[f"{case}/grad_f64"], 1, -1)
            np.testing.assert_allclose(grad, wanted, 1e-7, 1e-9, err_msg=case)
        met += 1
    assert met >= 50


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore", ["", "_ignore"])
def test_cross_entropy_divides_by_the_counted_pixels(gold, smoothing, ignore):
    case = f"soft_cross_entropy_{smoothing}_multiclass{ignore}"
    with jax.enable_x64(True):
        logits, labels, counted = arguments(gold, case)
        value = CrossEntropy(label_smoothing=smoothing)(jnp.asarray(logits), labels, counted)
    # Theirs divides by all pixels, ours by the counted ones.
    np.testing.assert_allclose(float(value) * counted.mean(), gold[f"{case}/loss_f64"], 1e-9)


def example(classes: int = 3):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, (2, 4, 5))
    labels[:, 0] = 255
    return rng.normal(size=(2, 4, 5, classes)).astype(np.float32), labels, labels != 255


EVERY = [
    *LOSSES.values(),
    CrossEntropy((1.0, 2.0, 3.0), 0.1),
    Sum((CrossEntropy(), dice()), (1.0, 0.5)),
]


@pytest.mark.parametrize("loss", EVERY, ids=str)
def test_a_pixel_that_is_not_counted_changes_nothing(loss):
    logits, labels, counted = example()
    value, grad = jax.value_and_grad(loss)(jnp.asarray(logits), labels, counted)
    assert not np.any(np.asarray(grad)[:, 0])
    logits[:, 0], labels[:, 0] = np.inf, 7
    again, grad_again = jax.value_and_grad(loss)(jnp.asarray(logits), labels, counted)
    assert value == again
    np.testing.assert_array_equal(grad, grad_again)


@pytest.mark.parametrize("loss", EVERY, ids=str)
def test_nothing_counted_is_a_loss_of_0_with_gradients_of_0(loss):
    logits, labels, counted = example()
    value, grad = jax.value_and_grad(loss)(jnp.asarray(logits), labels, np.zeros_like(counted))
    assert value == 0
    assert not np.any(grad)


@pytest.mark.parametrize("loss", [loss for loss in EVERY if not isinstance(loss, Focal)], ids=str)
def test_a_perfect_map_costs_nothing(loss):
    _, labels, counted = example()
    logits = 200.0 * np.eye(3, dtype=np.float32)[np.where(counted, labels, 0)]
    least = loss(jnp.asarray(logits), labels, counted)
    worst = loss(jnp.asarray(-logits), labels, counted)
    smoothed = "label_smoothing=0.1" in str(loss)
    assert least < (20 if smoothed else 1e-6) < worst + 1e-9
    assert least < worst


def test_class_weights_are_torch_s():
    # A mean over pixels weighted by the weight of their class.
    logits, labels, counted = example()
    weights = np.array([1.0, 2.0, 4.0])
    losses = -np.asarray(jax.nn.log_softmax(logits))[counted]
    classes = labels[counted]
    wanted = np.average(losses[np.arange(len(classes)), classes], weights=weights[classes])
    value = CrossEntropy((1.0, 2.0, 4.0))(jnp.asarray(logits), labels, counted)
    np.testing.assert_allclose(value, wanted, 1e-6)


def test_shapes_that_do_not_belong_together_are_named():
    logits, labels, counted = example()
    with pytest.raises(ValueError, match=r"labels \(2, 4, 4\).*expected \(2, 4, 5\)"):
        dice()(jnp.asarray(logits), labels[..., :4], counted[..., :4])
    with pytest.raises(ValueError, match="expected 3 numbers"):
        CrossEntropy((1.0,))(jnp.asarray(logits), labels, counted)


def test_a_class_that_a_batch_lacks_costs_what_is_taken_for_it_as_in_nnunet():
    labels = jnp.zeros((1, 4), jnp.int32)
    counted = jnp.ones((1, 4), jnp.int32)
    wrong = jnp.zeros((1, 4, 2)).at[..., 1].set(20.0)
    right = -wrong
    kept, ours = (dice(1e-5, classes=(1,), absent=absent) for absent in (False, True))
    assert kept(wrong, labels, counted) == 0
    # nnU-Net: 1 - (2 * 0 + 1e-5) / (4 + 1e-5), in halves of both.
    assert ours(wrong, labels, counted) == pytest.approx(1 - 1e-5 / (2 + 1e-5), abs=1e-6)
    assert ours(right, labels, counted) == pytest.approx(0, abs=1e-3)
