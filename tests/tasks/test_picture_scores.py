"""PSNR and SSIM: BasicSR's numbers, padded pictures, and the published baselines of bicubic."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jresnet.data.augment.resize import resize
from jresnet.tasks.picture_scores import luma, psnr, ssim
from tests.conftest import SHARED
from tests.nets import read_arrays

SET5 = SHARED / "data" / "sr" / "test_set5"
CASES = ("noise", "shift", "identical", "constant", "black_white", "tiny")


@pytest.fixture(scope="module")
def gold(golden):
    return read_arrays(golden / "sr_metrics.npz")


@pytest.mark.parametrize("case", CASES)
def test_scores_are_basicsr_s(gold, case):
    a, b = (jnp.asarray(gold[f"metrics_{case}/{name}"])[None] for name in "ab")
    for crop in (0, 2, 4):
        if f"metrics_{case}/psnr_y_crop{crop}" not in gold:
            continue
        for name, score, tolerance in (("psnr", psnr, 1e-4), ("ssim", ssim, 2e-5)):
            for channels, picture in (("y", luma), ("rgb", lambda x: x)):
                ours = score(picture(a), picture(b), border=crop)[0]
                theirs = gold[f"metrics_{case}/{name}_{channels}_crop{crop}"]
                np.testing.assert_allclose(ours, theirs, atol=tolerance, rtol=1e-6, err_msg=name)


def test_grey_pictures(gold):
    a, b = (jnp.asarray(gold[f"metrics_gray/{name}"])[None, ..., None] for name in "ab")
    for crop in (0, 2, 4):
        expected = gold[f"metrics_gray/psnr_crop{crop}"], gold[f"metrics_gray/ssim_crop{crop}"]
        ours = psnr(a, b, border=crop)[0], ssim(a, b, border=crop)[0]
        np.testing.assert_allclose(ours, expected, atol=1e-4)
    colours = jnp.repeat(a, 3, -1)
    np.testing.assert_allclose(luma(a), luma(colours), rtol=1e-6)


def test_luma_is_matlab_s(gold):
    ours = luma(jnp.asarray(gold["ycbcr/rgb"]))[..., 0]
    np.testing.assert_allclose(ours / 255, gold["ycbcr/y_float"], atol=1e-6)
    assert float(ours.min()) >= 16
    assert float(ours.max()) <= 235.01


def test_only_the_real_part_counts_and_equal_pictures_are_perfect():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 3, 40, 32, 3))
    sizes = np.array([[40, 32], [21, 17], [14, 30]])
    for score in (psnr, ssim):
        padded = jax.jit(lambda a, b, s, score=score: score(a, b, s, 2))(a, b, sizes)
        for row, (height, width) in enumerate(sizes):
            alone = score(a[row : row + 1, :height, :width], b[row : row + 1, :height, :width], border=2)  # fmt: skip
            np.testing.assert_allclose(padded[row], alone[0], rtol=1e-5)
    assert np.isinf(psnr(a, a)).all()
    np.testing.assert_allclose(ssim(a, a), 1, rtol=1e-6)
    # Windows of 11 pixels do not fit into 10, nor into 14 less two borders of 2.
    assert np.isnan(ssim(a[:, :10], b[:, :10])).all()
    assert np.isnan(ssim(a, b, np.array([[14, 30], [40, 14], [40, 32]]), 2))[:2].all()


@pytest.mark.parametrize(("scale", "published"), [(2, 33.67), (3, 30.40), (4, 28.43)])
@pytest.mark.parametrize("kind", ["matlab", "pillow"])
def test_bicubic_has_its_published_baselines_on_set5(scale, published, kind):
    """Timofte et al. 2014 and all since: MATLAB's imresize down and up, Y, a border of the scale."""
    if not SET5.is_dir():
        pytest.skip(f"Set5 is not at {SET5}")
    images = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(SET5.glob("*.png"))]
    sizes = np.array([image.shape[:2] for image in images]) // scale * scale
    truth = np.zeros((5, *sizes.max(0), 3), np.uint8)
    for row, image, (height, width) in zip(truth, images, sizes, strict=True):
        row[:height, :width] = image[:height, :width]

    @jax.jit
    def scores(truth, sizes):
        low = resize(truth, Fraction(1, scale), kind, sizes)
        high = resize(low, Fraction(scale), kind, sizes // scale)
        return psnr(luma(high), luma(truth), sizes, scale)

    assert np.mean(scores(truth, sizes)) == pytest.approx(published, abs=0.015)
