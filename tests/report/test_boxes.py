"""Objects drawn into pictures: labels that keep apart, lines told apart without colour, any size."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jresnet.report import labels, strokes
from jresnet.report.boxes import HIT, LEGEND, MISSED, WRONG, Shapes, compared, drawn
from jresnet.report.colours import BLUE, ORANGE, PALETTE, rgb
from jresnet.report.labels import Label, draw_labels, overlap
from jresnet.report.strokes import DASHED, DOTTED, SOLID, Stroke, contrast, filled, luminance

NONE = Shapes(np.zeros((0, 4)), np.zeros(0, int))


def shapes(*boxes, **more):
    return Shapes(np.array(boxes, float).reshape(-1, 4), np.zeros(len(boxes), int), **more)


def grey(height=700, width=1000, value=128):
    return np.full((height, width, 3), value, np.uint8)


def labels_of(boxes, name="cell", score="0.50", short="0.5"):
    return [Label(name, score, short, BLUE, tuple(map(float, box))) for box in boxes]


def placed(boxes, size, **texts):
    pen = ImageDraw.Draw(Image.new("RGB", size))
    return draw_labels(pen, labels_of(boxes, **texts), size)


@pytest.mark.parametrize(("count", "side"), [(1, 200), (8, 200), (60, 200), (40, 30), (300, 60)])
def test_no_label_covers_another_or_leaves_the_picture(count, side):
    rng = np.random.default_rng(count)
    size = (900, 640)
    low = rng.uniform(-30, size, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, side, (count, 2))], 1)
    standing = np.array([place for place in placed(boxes, size) if place is not None])
    shared = overlap(standing, standing)
    assert np.count_nonzero(shared) == len(standing)  # each with itself
    assert (standing[:, :2] >= 0).all()
    assert (standing[:, 2:] <= size).all()
    assert len(standing) > min(count, 30) / 2


def test_a_label_with_room_stands_above_its_box():
    (place,) = placed([[100, 100, 300, 200]], (900, 640))
    assert (place[0], place[3]) == (100, 100)
    (place,) = placed([[100, 0, 300, 200]], (900, 640))
    assert place[:2] == (100, 200)  # below one at the upper edge


def test_the_first_label_has_the_best_place():
    one, two = placed([[100, 100, 300, 200], [100, 100, 300, 200]], (900, 640))
    assert one[3] == 100
    assert two[1] >= one[3] or two[3] <= one[1] or two[0] >= one[2]


def test_a_small_object_is_not_hidden_by_the_label_of_another():
    small = [110, 85, 125, 98]
    big, _ = placed([[100, 100, 300, 200], small], (900, 640))
    assert not overlap(np.array([big]), np.array([small])).any()


def test_in_a_crowd_labels_are_short_or_left_out():
    grid = [[x, y, x + 28, y + 28] for x in range(0, 300, 30) for y in range(0, 300, 30)]
    wide = placed([[0, 20, 100, 100]], (300, 300), short="")[0]
    assert wide is not None
    assert placed(grid, (300, 300), short="") == [None] * len(grid)
    standing = [place for place in placed(grid, (300, 300)) if place is not None]
    assert all(place[2] - place[0] < wide[2] - wide[0] for place in standing)


def test_a_long_name_is_cut_and_keeps_its_score(monkeypatch):
    written = []
    pen = ImageDraw.Draw(Image.new("RGB", (900, 640)))
    monkeypatch.setattr(pen, "text", lambda _, text, *rest: written.append(text))
    draw_labels(pen, labels_of([[10, 30, 90, 90]], name="name " * 20 + "\n\x1b[31m"), (900, 640))
    draw_labels(pen, labels_of([[10, 30, 90, 90]], name="a\n\x1b"), (900, 640))
    assert written[0].startswith("name name")
    assert written[0].endswith("... 0.50")
    assert written[1] == r"a\n\x1b 0.50"


@pytest.mark.parametrize("shape", [(1, 1, 3), (28, 28, 1), (480, 640, 3), (900, 7, 3), (40, 3000, 3)])  # fmt: skip
@pytest.mark.parametrize("objects", [0, 1, 3])
def test_pictures_of_any_size(shape, objects):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    height, width = shape[:2]
    rows = [[0, 0, width / 2, height / 2], [width / 3, 0, width, height], [-1e9, -9, 1e9, 9]]
    some = shapes(
        *rows[:objects],
        scores=np.linspace(1, 0, objects),
        masks=[np.ones(shape[:2], bool)] * objects,
        keypoints=np.full((objects, 2, 3), 1.0),
    )
    one = drawn(picture, some, ["a", "b"], edges=[(0, 1)], each=True)
    two = compared(picture, some, some, np.arange(objects), ["a"])
    for result in (one, two):
        assert result.dtype == np.uint8
        assert result.shape[2] == 3
        assert max(result.shape[:2]) <= 1024 + 100
    assert two.shape[0] > one.shape[0]  # the legend
    assert two.shape[1] >= 240


def test_a_small_picture_is_enlarged_by_a_whole_number():
    picture = np.arange(4, dtype=np.uint8).reshape(2, 2, 1) * 60
    result = drawn(picture, NONE)
    np.testing.assert_array_equal(result[::450, ::450, 0], picture[..., 0])


def test_boxes_without_numbers_are_not_drawn_and_swapped_ones_are():
    picture = grey()
    nothing = drawn(picture, shapes([np.nan] * 4, [0, 0, np.inf, 9]))
    np.testing.assert_array_equal(nothing, picture)
    swapped = drawn(picture, shapes([300, 200, 100, 100]))
    np.testing.assert_array_equal(swapped, drawn(picture, shapes([100, 100, 300, 200])))


def test_the_box_is_where_it_is():
    result = drawn(grey(), shapes([100, 100, 300, 200], scores=np.array([0.5])), ["cell"])
    changed = (result != 128).any(-1)
    rows, columns = np.nonzero(changed[101:])  # below the label
    assert (columns.min(), columns.max(), rows.max() + 101) == pytest.approx((100, 300, 200), abs=2)
    assert not changed[106:194, 106:294].any()
    assert tuple(result[150, 101]) == rgb(BLUE)


def edge_runs(picture, row, columns):
    """How many dashes lie along a row of a drawing."""
    line = (picture[row, columns] != 128).any(-1)
    return int(np.count_nonzero(line[1:] & ~line[:-1])) + int(line[0])


def test_hits_mistakes_and_misses_differ_in_line_and_colour():
    assert {style.dash for style in (HIT, WRONG, MISSED)} == {SOLID, DASHED, DOTTED}
    assert {style.colour for style in (HIT, WRONG, MISSED)} <= set(PALETTE)
    truth = shapes([100, 100, 300, 200], [600, 100, 800, 200])
    seen = shapes([100, 100, 300, 200], [100, 500, 300, 600], scores=np.array([0.9, 0.8]))
    result = compared(grey(), truth, seen, np.array([0, -1]), ["cell"])
    hit, wrong = (edge_runs(result, row, slice(104, 296)) for row in (199, 599))
    missed = edge_runs(result, 199, slice(604, 796))
    assert hit == 1
    assert 5 < wrong < missed


def test_the_legend_counts(monkeypatch):
    written = []
    real = ImageDraw.ImageDraw.text

    def text(pen, at, words, *rest, **more):
        written.append(words)
        real(pen, at, words, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    truth = shapes(*[[100 * n, 0, 100 * n + 50, 50] for n in range(5)])
    seen = shapes([0, 0, 50, 50], [9, 300, 90, 390], scores=np.array([0.9, 0.8]))
    compared(grey(), truth, seen, np.array([0, -1]), ["cell", "other"])
    assert written[-3:] == [f"{meaning} {n}" for (_, meaning), n in zip(LEGEND, (1, 1, 4), strict=True)]  # fmt: skip
    assert written[:-3].count("cell") == 4
    assert "cell 0.80" in written


def test_dashes_begin_and_end_a_line():
    for length in (1, 3.3, 57, 400):
        for dash in (DASHED, DOTTED):
            parts = strokes._dashes((10, 5), (10 + length, 5), [2 * d for d in dash])
            assert parts[0][0] == (10, 5)
            assert parts[-1][1][0] == pytest.approx(10 + length)
            ends = [x for (start, _), (end, _) in parts for x in (start, end)]
            assert ends == sorted(ends)


def test_a_line_has_an_edge_where_its_colour_is_not_seen():
    assert Stroke(BLUE).on(luminance((0, 0, 0)), 2).edge is None
    assert Stroke(BLUE).on(luminance((128, 128, 128)), 2).edge == (255, 255, 255)
    assert Stroke(ORANGE).on(luminance((255, 255, 255)), 2).edge == (0, 0, 0)
    assert luminance((255, 255, 255)) == pytest.approx(1)
    assert contrast("#ffffff") == (0, 0, 0)
    assert contrast(BLUE) == (255, 255, 255)


def test_masks_are_tinted_inside_and_full_at_their_rim():
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:50] = True
    picture = grey(100, 120)
    result = filled(picture, mask, Stroke(BLUE))
    inside = mask.repeat(2, 0).repeat(2, 1)
    assert (result[~inside] == 128).all()
    assert (result[20, 40:100] == rgb(BLUE)).all()
    tint = np.rint(0.35 * np.array(rgb(BLUE)) + 0.65 * 128)
    np.testing.assert_array_equal(result[40, 70], tint)
    np.testing.assert_array_equal(filled(picture, np.zeros((50, 60), bool), Stroke(BLUE)), picture)


def test_keypoints_that_are_not_there_are_left_out_and_hidden_ones_are_rings():
    places = np.array([[[500, 300, 2], [600, 300, 1], [700, 300, 0], [np.nan, 300, 2]]], float)
    result = drawn(grey(), shapes([400, 200, 800, 400], keypoints=places), edges=[(0, 2)])
    assert tuple(result[300, 500]) == rgb(BLUE)
    assert tuple(result[300, 600]) == (255, 255, 255)
    assert tuple(result[300, 700]) == (128, 128, 128)
    joined = drawn(grey(), shapes([400, 200, 800, 400], keypoints=places), edges=[(0, 1)])
    assert tuple(joined[300, 550]) == rgb(BLUE)
    assert tuple(result[300, 550]) == (128, 128, 128)


def test_classes_and_objects_have_their_colours():
    boxes = np.array([[100, 100, 300, 200], [500, 300, 700, 400]], float)
    by_class = drawn(grey(), Shapes(boxes, np.array([1, 1])))
    each = drawn(grey(), Shapes(boxes, np.array([1, 1])), each=True)
    assert tuple(by_class[150, 101]) == tuple(by_class[350, 501]) == rgb(ORANGE)
    assert tuple(each[150, 101]) == rgb(BLUE)
    assert tuple(each[350, 501]) == rgb(ORANGE)


def test_places_are_tried_until_one_is_free():
    assert labels.placed(np.zeros((0, 4)), [], [], (9, 9)) == []
    boxes = np.array([[0, 0, 9.0, 9]] * 2)
    one, two = labels.placed(boxes, [0, 1], [(9, 4)] * 2, (9, 9))
    assert (one, two) == ((0, 0, 9, 4), (0, 5, 9, 9))
    assert labels.placed(boxes, [0, 1], [(9, 9)] * 2, (9, 9)) == [None, None]
    assert labels.placed(boxes[:1], [0], [(9, 9)], (9, 9)) == [(0, 0, 9, 9)]
