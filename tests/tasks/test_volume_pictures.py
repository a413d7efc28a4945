"""Volumes as people look at them: three slices the right way up, and only what has a label."""

import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.report.colours import BLUE, ORANGE, rgb
from jresnet.report.volumes import as_bytes, fullest, sheet, slices
from jresnet.tasks.case import Case
from jresnet.tasks.volume_pictures import bounds, shown


def test_slices_have_head_and_front_at_the_top_and_left_at_the_left():
    volume = np.zeros((4, 5, 6), np.uint8)
    volume[-1, :, :] += 1  # head
    volume[:, -1, :] += 2  # front
    volume[:, :, 0] += 4  # left
    above, front, side = slices(volume, (1, 2, 3))
    assert (above.shape, front.shape, side.shape) == ((5, 6), (4, 6), (4, 5))
    assert (above[0, 0], above[-1, 0], above[0, -1], above[-1, -1]) == (6, 4, 2, 0)
    assert (front[0, 0], front[-1, 0], front[0, -1]) == (5, 4, 1)
    assert (side[0, 0], side[0, -1], side[-1, -1]) == (1, 3, 2)


def test_grey_values_and_the_fullest_slices():
    volume = np.linspace(-5, 5, 1000).reshape(10, 10, 10, 1)
    grey = as_bytes(volume)
    assert (grey.min(), grey.max(), grey.dtype) == (0, 255, np.uint8)
    assert not as_bytes(np.full((2, 2, 2, 1), 3.0)).any()
    labels = np.zeros((4, 5, 6), int)
    labels[1, 2:4, 3] = 1
    labels[3] = 2
    counted = np.ones(labels.shape, bool)
    counted[3] = False
    assert fullest(labels, counted) == (1, 2, 3)
    assert fullest(labels * 0, counted) == (2, 2, 3)


def test_the_sheet_has_the_proportions_of_the_body():
    image = np.zeros((4, 5, 6), np.uint8)
    pixels = sheet(image, [], [], (0, 0, 0), (3.0, 1.0, 2.0), side=24)
    assert pixels.shape == (2 * 8 + 10 + 24 + 24, 24, 3)  # 10 x 24, 24 x 24 and 24 x 10 pixels


def test_truth_and_prediction_are_shown_where_there_are_labels():
    truth = np.full((8, 8, 8), IGNORED)
    truth[2:6, 1:7, 2:6] = 0
    truth[3, 3, 3] = 1
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[3, 3, 4] = 1
    labels[0] = 1  # padding
    assert bounds(truth != IGNORED) == (slice(2, 6), slice(1, 7), slice(2, 6))
    assert bounds(np.zeros((2, 2), bool)) == (slice(None), slice(None))
    arrays = {"image": np.zeros((8, 8, 8, 1), np.float32), "map": truth}
    picture = shown({"map": labels}, Case("a", arrays), (BLUE, ORANGE))
    mixed = np.round(0.6 * np.array(rgb(ORANGE))).astype(np.uint8)
    orange = (picture.pixels == mixed).all(-1)
    scale = 256 // 6
    assert picture.pixels.shape[0] > 3 * 4 * scale
    # One voxel of truth in each of three slices; the prediction's lies in two of them.
    count = orange.sum() / scale**2
    assert 4.5 < count < 6
