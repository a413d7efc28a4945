"""Distances between surfaces against MONAI's, and by hand."""

import numpy as np
import pytest

from jresnet.tasks.surfaces import surface, surfaces
from tests.nets import read_arrays

CASES = {
    "surface_euclidean": ("", None),
    "surface_spacing_2_0.5_euclidean": ("", (2.0, 0.5)),
    "surface3_euclidean": ("3", None),
    "surface3_spacing_euclidean": ("3", "spacing3"),
}


@pytest.fixture(scope="module")
def gold(golden):
    return read_arrays(golden / "medical_metrics.npz")


@pytest.mark.parametrize("case", CASES)
def test_distances_are_monai_s(gold, case):
    suffix, spacing = CASES[case]
    spacing = gold["data/spacing3"] if isinstance(spacing, str) else spacing
    predicted, true = gold[f"data/pred{suffix}"], gold[f"data/gt{suffix}"]
    classes = gold[f"{case}/assd"].shape[1]
    tolerances = {"0_0": (0, 0), "1_1": (1, 1), "2_3": (2, 3), "0": (0,), "1": (1,), "2": (2,)}
    for image in range(len(true)):
        for number in range(classes):
            each = [x[image] == number + 1 for x in (predicted, true)]
            measured = surfaces(each[0], each[1], spacing)
            at = (image, number)
            close = {"rtol": 1e-5, "err_msg": f"{case} {at}"}
            np.testing.assert_allclose(measured.hausdorff(100), gold[f"{case}/hd100"][at], **close)
            np.testing.assert_allclose(measured.average(), gold[f"{case}/assd"][at], **close)
            # torch's percentile of infinities is nan; a missed region is infinitely far here.
            wanted = gold[f"{case}/hd95"][at]
            if np.isinf(gold[f"{case}/hd100"][at]):
                assert np.isnan(wanted)
                wanted = np.inf
            np.testing.assert_allclose(measured.hausdorff(), wanted, **close)
            for name, by_class in tolerances.items():
                if (key := f"{case}/surface_dice_{name}") in gold:
                    share = measured.dice(by_class[number])
                    np.testing.assert_allclose(share, gold[key][at], **close)


def test_surface_pixels_are_monai_s(gold):
    np.testing.assert_array_equal(surface(gold["data/pred"][0] == 1), gold["edges/pred"])
    np.testing.assert_array_equal(surface(gold["data/gt"][0] == 1), gold["edges/gt"])


def test_two_points_and_regions_that_are_missed():
    one, other, empty = (np.zeros((9, 9), bool) for _ in range(3))
    one[1, 1] = other[1, 5] = True
    measured = surfaces(one, other, (1.0, 0.5))
    assert measured.hausdorff() == measured.average() == 2.0
    assert measured.dice(1.9) == 0
    assert measured.dice(2.0) == 1
    missed, absent = surfaces(empty, one), surfaces(empty, empty)
    assert missed.hausdorff() == missed.average() == np.inf
    assert missed.dice(5) == 0
    assert np.isnan([absent.hausdorff(), absent.average(), absent.dice(1)]).all()
    with pytest.raises(ValueError, match="expected the shape of true"):
        surfaces(one, other[:4])
