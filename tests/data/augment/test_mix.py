"""Mixup and CutMix against the formulas of their papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.augment.mix import CutMix, Mixup, OneOf
from jresnet.errors import UsageError

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(8, 6, 10, 3)), jnp.float32)
TARGETS = jnp.eye(8)
KEYS = jax.random.split(jax.random.key(0), 200)


def test_mixup_is_the_same_line_between_partners_for_images_and_targets():
    mixed = Mixup(0.4)(KEYS[0], IMAGES)
    share, partner = float(mixed.share), np.asarray(mixed.partner)
    assert 0 < share < 1
    assert sorted(partner) == list(range(8))
    assert (partner != np.arange(8)).any()
    x = np.asarray(IMAGES)
    np.testing.assert_allclose(mixed.images, x + share * (x[partner] - x), rtol=1e-4, atol=1e-6)
    targets = np.asarray(mixed.targets(TARGETS))
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        targets, np.eye(8) + share * (np.eye(8)[partner] - np.eye(8)), atol=1e-6
    )


def test_mixup_draws_from_beta():
    shares = np.asarray(jax.vmap(lambda key: Mixup(0.5)(key, IMAGES).share)(KEYS))
    # Beta(1/2, 1/2) has mean 1/2 and variance 1/8.
    assert shares.mean() == pytest.approx(0.5, abs=0.1)
    assert shares.var() == pytest.approx(0.125, abs=0.03)


def test_cutmix_pastes_one_box_and_counts_its_pixels():
    shares = []
    for key in KEYS[:20]:
        mixed = CutMix(1.0)(key, IMAGES)
        x, partner = np.asarray(IMAGES), np.asarray(mixed.partner)
        mine = (np.asarray(mixed.images) == x).all(-1)
        theirs = (np.asarray(mixed.images) == x[partner]).all(-1)
        assert (mine | theirs).all()
        moved = partner != np.arange(8)
        box = ~mine[moved]
        assert (box == box[0]).all()
        rows, columns = box[0].any(1), box[0].any(0)
        assert (box[0] == rows[:, None] & columns[None]).all()
        assert float(mixed.share) == pytest.approx(box[0].mean(), abs=1e-6)
        shares.append(box[0].mean())
    assert len(set(shares)) > 5


def test_one_of_takes_each():
    mix = OneOf((Mixup(1.0), CutMix(1.0)))
    pasted = []
    for key in KEYS[:12]:
        mixed = mix(key, IMAGES)
        x = np.asarray(IMAGES)
        whole = (mixed.images == x) | (mixed.images == x[np.asarray(mixed.partner)])
        pasted.append(bool(whole.all()))
    assert 0 < sum(pasted) < 12


def test_alpha_must_be_positive():
    for mix in (Mixup, CutMix):
        with pytest.raises(UsageError, match=r"alpha=0\.0: expected more than 0"):
            mix(0.0)
