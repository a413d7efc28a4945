"""Matching and sampling: torchvision's numbers, plain loops, padding that nothing sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection.matching import BACKGROUND, BETWEEN, match
from jresnet.models.detection.sampling import sample

RPN = {"low": 0.3, "high": 0.7, "allow_low_quality": True}
ROI = {"low": 0.5, "high": 0.5}


@pytest.mark.parametrize(("name", "options"), [("matcher_rpn", RPN), ("matcher_roi", ROI)])
def test_matches_are_torchvision_s(operators, name, options):
    case = operators[name]
    real = jnp.ones(len(case["iou"]), bool)
    np.testing.assert_array_equal(match(case["iou"], real, **options), case["match"])


def expected(overlaps, real, low, high, allow_low_quality=False):
    """Torch's matcher, a candidate after the other."""
    rows = np.flatnonzero(real)
    matched = []
    for column in range(overlaps.shape[1]):
        values = overlaps[rows, column]
        if not len(rows):
            matched.append(BACKGROUND)
            continue
        best = rows[np.argmax(values)]
        kept = allow_low_quality and any(
            overlaps[row, column] == overlaps[row].max() > 0 for row in rows
        )
        if kept or values.max() >= high:
            matched.append(best)
        else:
            matched.append(BETWEEN if values.max() >= low else BACKGROUND)
    return matched


@pytest.mark.parametrize("options", [RPN, ROI], ids=["rpn", "roi"])
def test_thousands_of_random_matches_with_ties_and_padding(options):
    rng = np.random.default_rng(0)
    overlaps = (rng.integers(0, 11, (2000, 4, 7)) / 10).astype(np.float32)
    overlaps[rng.random(2000) < 0.1] = 0
    real = rng.random((2000, 4)) < 0.6
    real[:100] = False
    overlaps[100:110] = np.nan
    matched = np.asarray(jax.jit(jax.vmap(lambda o, r: match(o, r, **options)))(overlaps, real))
    for n in range(2000):
        clean = np.nan_to_num(overlaps[n], nan=0)
        assert matched[n].tolist() == expected(clean, real[n], **options), n
    assert (matched[:100] == BACKGROUND).all()


def test_padded_candidates_are_neither():
    overlaps, real = jnp.asarray([[0.9, 0.9, 0.1]]), jnp.asarray([True])
    matched = match(overlaps, real, candidates=jnp.asarray([True, False, False]), **ROI)
    assert matched.tolist() == [0, BETWEEN, BETWEEN]


def test_counts_are_torchvision_s(masks_and_keypoints):
    for row in masks_and_keypoints["sampler_counts"]["table"]:
        *counts, size = row[:4].astype(int)
        matched = jnp.asarray(np.repeat([0, BACKGROUND, BETWEEN], counts))
        draw = jax.jit(sample, static_argnums=(2, 3))
        drawn = jax.device_get(draw(jax.random.key(0), matched, int(size), float(row[4])))
        positive, negative = drawn.positive.sum(), (drawn.valid & ~drawn.positive).sum()
        assert (int(positive), int(negative)) == tuple(row[5:].astype(int))


def test_thousands_of_draws():
    """No candidate twice, none that is ignored, as many as there should be, and nothing in between."""
    rng = np.random.default_rng(0)
    matched = rng.choice([BETWEEN, BACKGROUND, 0, 1], (2000, 11), p=[0.3, 0.4, 0.2, 0.1])
    matched[:50] = BETWEEN
    matched[50:100] = 0
    matched[100:150] = BACKGROUND
    keys = jax.random.split(jax.random.key(0), 2000)
    for size, share in ((6, 0.5), (16, 0.25)):
        draw = jax.jit(jax.vmap(lambda k, m, s=size, q=share: sample(k, m, s, q)))
        rows, positive, valid = map(np.asarray, draw(keys, matched))
        for n in range(2000):
            drawn = rows[n][valid[n]]
            assert len(set(drawn)) == len(drawn)
            assert (matched[n][rows[n][positive[n]]] >= 0).all()
            assert (matched[n][rows[n][valid[n] & ~positive[n]]] == BACKGROUND).all()
            most = min((matched[n] >= 0).sum(), int(size * share))
            assert positive[n].sum() == most
            assert valid[n].sum() - most == min((matched[n] == BACKGROUND).sum(), size - most)
            assert (rows[n] < 11).all()
            if valid[n].any():
                assert set(rows[n]) == set(drawn)
        assert not valid[:50].any()


def test_every_candidate_is_drawn_as_often_as_any_other():
    matched = jnp.asarray([0] * 4 + [BACKGROUND] * 8)
    keys = jax.random.split(jax.random.key(1), 4000)
    rows, _, valid = jax.jit(jax.vmap(lambda k: sample(k, matched, 4, 0.5)))(keys)
    assert valid.all()
    counts = np.bincount(np.asarray(rows).reshape(-1), minlength=12)
    np.testing.assert_allclose(counts[:4] / 4000, 0.5, atol=0.04)
    np.testing.assert_allclose(counts[4:] / 4000, 0.25, atol=0.04)
