"""Margin losses against insightface's numbers, formulas in double precision, and at the ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.tasks.margins import (
    Margin,
    arcface,
    combined,
    cosface,
    cosines,
    margin_losses,
    normalised_softmax,
    unit,
)
from tests.nets import read_arrays

STRAIGHT = {
    "arcface": Margin(64, additive=0.5, beyond_pi="none", gradient="straight"),
    "cosface": cosface(64, 0.4),
    "combined_1_0.5_0": Margin(64, 1, 0.5, 0, "none", "straight"),
    "combined_1_0_0.4": combined(64, 1, 0, 0.4),
}
FORMULAS = {
    "formula_arcface": Margin(64, additive=0.5, beyond_pi="none"),
    "formula_arcface_fallback": arcface(),
    "formula_combined_1_0.3_0.2": Margin(64, 1, 0.3, 0.2, "none"),
    "formula_sphereface": Margin(64, 1.35, beyond_pi="none"),
}


@pytest.fixture(scope="module")
def gold(golden):
    return read_arrays(golden / "margin_losses.npz")


def computed(margin, embeddings, weights, labels):
    """Logits, losses, and the gradients of their mean."""
    target = jax.nn.one_hot(labels, len(weights))

    def mean(embeddings, weights):
        cosine = cosines(embeddings, weights)
        losses = margin_losses(margin, cosine, target)
        return losses.mean(), (margin.logits(cosine, target), losses)

    (_, results), gradients = jax.value_and_grad(mean, (0, 1), has_aux=True)(embeddings, weights)
    return *results, *gradients


def assert_near(ours, theirs, share):
    np.testing.assert_allclose(ours, theirs, atol=share * np.abs(theirs).max(), rtol=0)


@pytest.mark.parametrize("case", [*STRAIGHT, *FORMULAS])
def test_logits_losses_and_gradients(gold, case):
    rows = gold.get(f"{case}/rows", np.arange(11))
    arrays = [gold["cosine/embeddings"][rows], gold["cosine/weights"], gold["cosine/labels"][rows]]
    margin = (STRAIGHT | FORMULAS)[case]
    logits, losses, embeddings, weights = computed(margin, *map(jnp.asarray, arrays))
    assert logits.dtype == jnp.float32
    assert_near(logits, gold[f"{case}/logits_f64"], 2e-4)
    assert_near(losses, gold[f"{case}/per_sample_f64"], 2e-4)
    theirs = gold[f"{case}/d_embeddings_f64"]
    assert_near(embeddings, theirs, 2e-3)
    assert_near(weights, gold[f"{case}/d_weights_f64"], 2e-3)


def test_a_row_of_no_class_here_has_no_margin(gold):
    labels = jnp.asarray(gold["label_minus_1/labels"])
    target = jax.nn.one_hot(labels, 7)
    for name in ("arcface", "cosface"):
        ours = STRAIGHT[name].logits(jnp.asarray(gold["cosine/cosine"]), target)
        assert_near(ours, gold[f"label_minus_1/{name}"], 2e-4)


def test_no_margin_is_softmax_and_a_margin_costs_more_the_farther_it_is():
    rng = np.random.default_rng(0)
    cosine = jnp.asarray(rng.uniform(-1, 1, (5, 7)), jnp.float32)
    target = jax.nn.one_hot(jnp.arange(5), 7)
    plain = margin_losses(normalised_softmax(8), cosine, target)
    np.testing.assert_allclose(plain, -(jax.nn.log_softmax(8 * cosine) * target).sum(1), rtol=1e-5)
    for margin in (arcface(8), cosface(8), combined(8, 1, 0.3, 0.2)):
        assert (margin_losses(margin, cosine, target) > plain).all()
    # ArcFace's rule: the logit never grows as the angle does, even beyond pi - m.
    angles = jnp.linspace(0.01, jnp.pi - 0.01, 500)
    assert (jnp.diff(arcface().target(jnp.cos(angles))) < 0).all()
    assert not (jnp.diff(FORMULAS["formula_arcface"].target(jnp.cos(angles))) < 0).all()


def test_ends_have_finite_gradients_and_absent_classes_none():
    ends = jnp.asarray([1.0, -1.0])
    assert jnp.isfinite(jax.grad(lambda x: arcface().target(x).sum())(ends)).all()
    assert not jax.grad(lambda x: unit(x).sum())(jnp.zeros(3)).any()
    known = jnp.asarray([True, False, True])

    def loss(cosine):
        return margin_losses(cosface(4), cosine, jax.nn.one_hot(jnp.asarray([0]), 3), known).sum()

    cosine = jnp.asarray([[0.3, 0.9, -0.2]])
    assert float(loss(cosine)) == pytest.approx(np.log1p(np.exp(4 * (-0.2 - 0.3 + 0.35))), rel=1e-5)
    gradient = jax.grad(loss)(cosine)
    assert jnp.isfinite(gradient).all()
    assert gradient[0, 1] == 0


@pytest.mark.parametrize(
    "margin",
    [combined(8, 1.35, 0, 0), combined(8, 1.2, 0.5, 0.1), combined(8, 4, 0, 0),
     combined(8, 1, 0.5, 0.1), Margin(8, additive=2.33), Margin(8, additive=3.1, beyond_pi="falling")],
)  # fmt: skip
def test_the_logit_falls_with_the_angle_whatever_the_margin(margin):
    angles = jnp.linspace(0.001, jnp.pi - 0.001, 2000)
    logits = margin.target(jnp.cos(angles))
    assert (jnp.diff(logits) < 1e-5).all()
    # Never above the logit without a margin, so that no angle is rewarded.
    assert (logits <= 8 * jnp.cos(angles) + 1e-5).all()
    assert jnp.isfinite(jax.grad(lambda x: margin.target(x).sum())(jnp.cos(angles))).all()


def test_sphereface_s_rule_is_its_formula():
    """psi of four times the angle, with k = floor(4 theta / pi), in double precision."""
    theta = np.linspace(0.01, np.pi - 0.01, 400)
    k = np.floor(4 * theta / np.pi)
    expected = 16 * ((-1.0) ** k * np.cos(4 * theta) - 2 * k)
    ours = combined(16, 4, 0, 0).target(jnp.asarray(np.cos(theta), jnp.float32))
    np.testing.assert_allclose(ours, expected, atol=2e-3)


@pytest.mark.parametrize(
    "field",
    [{"scale": 0}, {"additive": -0.1}, {"angular": 0.5}, {"additive": 2.4}, {"angular": 1.35},
     {"additive": np.pi, "beyond_pi": "falling"}, {"additive": 4.0, "beyond_pi": "none"},
     *({name: bad} for name in ("scale", "angular", "additive", "cosine") for bad in (np.nan, np.inf))],
)  # fmt: skip
def test_what_is_no_margin_is_refused(field):
    with pytest.raises(ValueError, match=f"{next(iter(field))}=.*expected"):
        Margin(**field)


def test_a_large_angle_of_combined_margins_falls_beyond_pi():
    assert combined(8, 1, 2.3, 0).beyond_pi == "linear"
    assert combined(8, 1, 3, 0).beyond_pi == "falling"
