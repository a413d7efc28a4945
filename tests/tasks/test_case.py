"""Places in a prepared picture and in the original are the same places."""

import numpy as np
import pytest

from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.fit import Fit
from jresnet.tasks.case import Case


def coordinates(height, width):
    """A picture whose red is x and whose green is y, in the middle of each pixel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x], -1).astype(np.uint8)


@pytest.mark.parametrize(
    "transform", [ResizeCenterCrop(40, 32), Fit((32, 48, 3)), Fit((60, 90, 3))]
)
@pytest.mark.parametrize("size", [(60, 90), (91, 64), (200, 70)])
def test_pixels_come_from_where_the_place_says(transform, size):
    prepared = transform(coordinates(*size), np.random.default_rng(0))
    case = Case("", {"image": prepared}, (), lambda: coordinates(*size), transform.place(*size))
    y, x = np.mgrid[4 : prepared.shape[0] - 4, 4 : prepared.shape[1] - 4]
    points = case.to_original(np.stack([x, y], -1) + 0.5) - 0.5
    np.testing.assert_allclose(prepared[y, x, :2], points, atol=0.8)


def test_a_map_comes_back_at_the_original_s_size():
    size = (90, 60)
    transform = ResizeCenterCrop(30, 20)  # two pixels become one, and the middle third stays
    original = np.zeros(size, np.uint8)
    original[40:52, 22:34] = 7
    small = transform(np.stack([original] * 3, -1))[..., 0]
    case = Case("", {}, (), lambda: original[..., None], transform.place(*size))
    back = case.map_to_original(np.where(small > 3, 7, 0).astype(np.int32), outside=255)
    inside = np.s_[24:64, 10:50]
    assert (back[inside] == original[inside]).all()
    assert (back == 255).sum() == 90 * 60 - 40 * 40
    assert back.dtype == np.int32


def test_without_a_place_nothing_moves():
    case = Case("a", {"image": np.zeros((2, 3, 1), np.uint8)}, ("cat",))
    assert (case.to_original(np.ones((2, 2))) == 1).all()
    labels = np.arange(6).reshape(2, 3)
    assert (case.map_to_original(labels, 255) == labels).all()
    assert [case.class_name(0), case.class_name(1)] == ["cat", "1"]
