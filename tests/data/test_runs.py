"""Run lengths against COCO's own code on random masks and polygons, and against their pixels."""

import numpy as np
import pytest

from jresnet.data import runs
from jresnet.data.broken import ExampleError


@pytest.fixture(scope="module")
def coco():
    return pytest.importorskip("pycocotools.mask", reason="pycocotools, which checks, is absent")


def random_masks(count=300, largest=40):
    rng = np.random.default_rng(0)
    for _ in range(count):
        size = rng.integers(1, largest, 2)
        yield rng.random(size) < rng.choice([0, 0.03, 0.5, 0.97, 1])


def test_masks_come_back_and_so_do_their_area_and_box():
    for mask in random_masks():
        lengths = runs.encode(mask)
        assert lengths.dtype == np.uint32
        assert (lengths[1:] > 0).all()
        np.testing.assert_array_equal(runs.decode(lengths, *mask.shape), mask)
        np.testing.assert_array_equal(runs.from_string(runs.to_string(lengths)), lengths)
        assert runs.area(lengths) == mask.sum()
        rows, columns = np.nonzero(mask)
        box = np.zeros(4)
        if len(rows):
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        np.testing.assert_array_equal(runs.bounds(lengths, mask.shape[0]), box)


def test_a_window_of_columns_is_that_of_the_mask():
    rng = np.random.default_rng(1)
    for mask in random_masks(100):
        first, last = np.sort(rng.integers(0, mask.shape[1] + 1, 2))
        part = runs.columns(runs.encode(mask), mask.shape[0], int(first), int(last))
        np.testing.assert_array_equal(part, mask[:, first:last])


def test_masks_are_coco_s(coco):
    for mask in random_masks():
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        lengths = runs.encode(mask)
        assert runs.to_string(lengths).encode() == theirs["counts"]
        np.testing.assert_array_equal(runs.from_string(theirs["counts"]), lengths)
        assert runs.area(lengths) == coco.area(theirs)
        x1, y1, x2, y2 = runs.bounds(lengths, mask.shape[0])
        if mask.any():
            np.testing.assert_array_equal(coco.toBbox(theirs), [x1, y1, x2 - x1, y2 - y1])


def some_polygons(rng, kind):
    """Corners on whole and half pixels, fifths and hundredths, some twice, some outside."""
    for _ in range(rng.integers(1, 4)):
        corners = rng.uniform(-8, 48, (rng.integers(3, 9), 2))
        step = (None, 1, 5, 100, 2)[kind]
        if step:
            corners = np.round(corners * step) / step
        if kind == 4:
            corners[1] = corners[0]
        yield corners.reshape(-1).tolist()


@pytest.mark.parametrize("kind", range(5))
def test_polygons_are_coco_s_to_the_pixel(coco, kind):
    rng = np.random.default_rng(kind)
    for _ in range(120):
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        lists = list(some_polygons(rng, kind))
        theirs = coco.frPyObjects(lists, height, width)
        for corners, one in zip(lists, theirs, strict=True):
            drawn = runs.from_polygon(runs.fifths(corners), height, width)
            assert runs.to_string(drawn).encode() == one["counts"]
        union = runs.from_polygons([runs.fifths(one) for one in lists], height, width)
        assert runs.to_string(union).encode() == coco.merge(theirs)["counts"]


def test_large_polygons_are_coco_s(coco):
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    corners = np.stack([900 + 850 * np.cos(angle), 700 + 690 * np.sin(3 * angle)], 1).reshape(-1)
    (theirs,) = coco.frPyObjects([corners.tolist()], 1400, 1800)
    drawn = runs.from_polygon(runs.fifths(corners), 1400, 1800)
    assert runs.to_string(drawn).encode() == theirs["counts"]


def test_a_polygon_around_pixels_is_those_pixels():
    drawn = runs.from_polygon(runs.fifths([2, 1, 6, 1, 6, 4, 2, 4]), 8, 10)
    expected = np.zeros((8, 10))
    expected[1:4, 2:6] = 1
    np.testing.assert_array_equal(runs.decode(drawn, 8, 10), expected)


def test_a_union_is_that_of_the_pixels():
    rng = np.random.default_rng(2)
    for _ in range(200):
        masks = rng.random((rng.integers(1, 5), 7, 9)) < rng.choice([0, 0.1, 0.6, 1])
        union = runs.union([runs.encode(mask) for mask in masks])
        np.testing.assert_array_equal(union, runs.encode(masks.any(0)))


def test_a_mask_in_a_box_is_the_share_of_each_cell():
    rng = np.random.default_rng(3)
    for mask in random_masks(100, 20):
        height, width = mask.shape
        x1, y1 = rng.uniform(-3, [width, height])
        box = x1, y1, x1 + rng.uniform(0.2, 15), y1 + rng.uniform(0.2, 15)
        shares = runs.cropped(runs.encode(mask), height, width, box, 5)
        # By many samples in each cell.
        fine = 120
        x = box[0] + (np.arange(5 * fine) + 0.5) * (box[2] - box[0]) / (5 * fine)
        y = box[1] + (np.arange(5 * fine) + 0.5) * (box[3] - box[1]) / (5 * fine)
        inside = (
            ((x >= 0) & (x < width))[None]
            & ((y >= 0) & (y < height))[:, None]
            & mask[np.clip(y, 0, height - 1).astype(int)][:, np.clip(x, 0, width - 1).astype(int)]
        )
        sampled = inside.reshape(5, fine, 5, fine).mean((1, 3))
        np.testing.assert_allclose(shares / 255, sampled, atol=0.03)


def test_a_mask_at_its_own_size_is_its_pixels():
    mask = np.zeros((9, 12), bool)
    mask[2:7, 3:8] = np.random.default_rng(0).random((5, 5)) < 0.5
    shares = runs.cropped(runs.encode(mask), 9, 12, (3, 2, 8, 7), 5)
    np.testing.assert_array_equal(shares, 255 * mask[2:7, 3:8])


@pytest.mark.parametrize("text", ["", "P", "0P", " 3", "\x7f", "ppppppppp0", "é0"])
def test_a_damaged_string_is_told(text):
    with pytest.raises(ExampleError, match="its compressed mask is"):
        runs.from_string(text)


def test_a_string_with_a_negative_length_is_told():
    with pytest.raises(ExampleError, match="its run lengths are damaged"):
        runs.from_string("O")  # -1


@pytest.mark.parametrize("lengths", [[], [-1, 3], "12", [[1, 2]], [1, None], [float("nan")], None])
def test_damaged_lengths_are_told(lengths):
    with pytest.raises(ExampleError, match="its run lengths are damaged"):
        runs.from_lengths(lengths)


@pytest.mark.parametrize(
    ("corners", "told"),
    [
        ([1, 2, 3, 4], "its polygon has 2 points: expected at least 3"),
        ([1, 2, 3, 4, 5], "its polygon is damaged"),
        ([1, 2, 3, 4, 5, float("nan")], "its polygon is damaged"),
        (["a"] * 6, "its polygon is damaged"),
        ([], "its polygon has 0 points"),
    ],
)
def test_a_damaged_polygon_is_told(corners, told):
    with pytest.raises(ExampleError, match=told):
        runs.fifths(corners)


def test_runs_of_another_size_are_told():
    with pytest.raises(ExampleError, match="its mask has 12 pixels: expected 20, 4 x 5"):
        runs.decode(np.array([12], np.uint32), 4, 5)
