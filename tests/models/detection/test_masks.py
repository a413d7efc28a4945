"""Mask targets and masks in the image: torchvision's numbers, cropped storage, a box a pixel wide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection import masks

mask_targets = jax.jit(masks.mask_targets, static_argnums=3)
paste_masks = jax.jit(masks.paste_masks, static_argnums=2)


@pytest.mark.parametrize("size", [14, 28])
def test_targets_are_torchvision_s(masks_and_keypoints, size):
    case = masks_and_keypoints[f"project_masks_{size}"]
    ours = mask_targets(*(jnp.asarray(case[k]) for k in ("masks", "boxes", "matched_idxs")), size)
    np.testing.assert_allclose(ours, case["y"], atol=1e-5)


def test_pasted_masks_are_torchvision_s(masks_and_keypoints):
    case = masks_and_keypoints["paste_masks"]
    ours = paste_masks(jnp.asarray(case["masks"][:, 0]), jnp.asarray(case["boxes"]), (40, 48))
    np.testing.assert_allclose(ours, case["y"][:, 0], atol=1e-5)
    np.testing.assert_array_equal((ours > 0.5).sum((1, 2)), (case["y"] > 0.5).sum((1, 2, 3)))


def test_no_masks_are_none():
    assert paste_masks(jnp.zeros((0, 28, 28)), jnp.zeros((0, 4)), (40, 48)).shape == (0, 40, 48)


def test_a_mask_stored_cropped_gives_the_targets_of_the_whole_one():
    rng = np.random.default_rng(0)
    whole = np.zeros((2, 40, 48), np.float32)
    whole[0, 8:24, 12:36] = rng.random((16, 24)) < 0.5
    whole[1, 0:10, 0:20] = 1
    frames = jnp.asarray([[12, 8, 36, 24], [0, 0, 24, 16]], jnp.float32)
    cropped = jnp.stack([whole[0, 8:24, 12:36], whole[1, 0:16, 0:24]])
    boxes = jnp.asarray([[14, 9, 33, 22], [1, 1, 22, 14]], jnp.float32)
    matched = jnp.arange(2)
    wanted = mask_targets(jnp.asarray(whole), boxes, matched, 14)
    np.testing.assert_allclose(mask_targets(cropped, boxes, matched, 14, frames), wanted, atol=1e-5)
    # In twice the resolution, what is smooth stays the same.
    fine = jnp.repeat(jnp.repeat(cropped[1:], 2, 1), 2, 2)
    ours = mask_targets(fine, boxes[1:], jnp.zeros(1, int), 7, frames[1:])
    np.testing.assert_allclose(ours, mask_targets(cropped[1:], boxes[1:], jnp.zeros(1, int), 7, frames[1:]), atol=0.2)  # fmt: skip


def test_a_full_mask_pasted_covers_its_box():
    boxes = jnp.asarray(
        [[10, 12, 30, 25], [5.2, 6.1, 5.3, 6.2], [-8, -8, 6, 6], [0, 0, 0, 0]], float
    )
    pasted = np.asarray(paste_masks(jnp.ones((4, 28, 28)), boxes, (40, 48)) > 0.5)
    rows, columns = np.nonzero(pasted[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 24, 10, 29)
    assert np.argwhere(pasted[1]).tolist() == [[6, 5]]
    assert pasted[2, :5, :5].all()
    assert not pasted[2, 8:, :].any()
    assert np.isfinite(pasted[3]).all()


def test_aligned_targets_are_those_of_the_pixels_by_hand():
    """The right half of 4 x 4 pixels in a box of all of them; torchvision's are half a pixel off."""
    mask = jnp.zeros((1, 4, 4)).at[:, :, 2:].set(1)
    box, frame = jnp.asarray([[0.0, 0, 4, 4]]), jnp.asarray([[0.0, 0, 4, 4]])
    matched = jnp.zeros(1, int)
    for frames in (None, frame):
        ours = masks.mask_targets(mask, box, matched, 4, frames, aligned=True)
        np.testing.assert_allclose(ours[0], [[0, 0, 1, 1]] * 4, atol=1e-6)
        theirs = masks.mask_targets(mask, box, matched, 4, frames)
        np.testing.assert_allclose(theirs[0], [[0, 0.5, 1, 1]] * 4, atol=1e-6)
