"""Similarity transforms by a second way, where landmarks land, and what is refused."""

import numpy as np
import pytest

from jresnet.data.alignment import TEMPLATE, Face, aligned, landmarks_of, similarity, tell_unaligned
from jresnet.data.broken import ExampleError
from jresnet.errors import UsageError


def turned(points, angle, scale, shift):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return points @ np.array([[c, s], [-s, c]]) + shift


@pytest.mark.parametrize("seed", range(4))
def test_umeyama_is_the_least_squares_similarity(seed):
    """Without mirroring, a similarity is linear in (a, b, x, y): numpy solves it."""
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(5, 2))
    target = turned(source, 2.5, 3.0, [4, -7]) + 0.3 * rng.normal(size=(5, 2))
    rows = [[x, -y, 1, 0] for x, y in source] + [[y, x, 0, 1] for x, y in source]
    a, b, right, down = np.linalg.lstsq(np.array(rows), target.T.ravel(), rcond=None)[0]
    np.testing.assert_allclose(
        similarity(source, target), [[a, -b, right], [b, a, down]], atol=1e-9
    )


def test_a_mirrored_face_is_not_mirrored_back():
    source = np.array(TEMPLATE) * [-1, 1]
    assert np.linalg.det(similarity(source, np.array(TEMPLATE))[:, :2]) > 0


def test_landmarks_land_on_the_template():
    points = turned(np.array(TEMPLATE), 0.3, 1.6, [70, 20])
    image = np.zeros((320, 320, 3), np.uint8)
    rows, columns = np.mgrid[:320, :320]
    for x, y in points:
        image[np.hypot(columns - x, rows - y) < 6] = 255
    face = aligned(image, points)[..., 0].astype(float)
    rows, columns = np.mgrid[:112, :112]
    for x, y in TEMPLATE:
        near = face * (np.hypot(columns - x, rows - y) < 8)
        middle = (near * columns).sum() / near.sum(), (near * rows).sum() / near.sum()
        assert np.hypot(middle[0] - x, middle[1] - y) < 0.3
    np.testing.assert_array_equal(aligned(image[:112, :112], np.array(TEMPLATE)), image[:112, :112])


def test_the_middle_is_cut_and_said(caplog):
    image = np.zeros((60, 40, 1), np.uint8)
    image[10:50] = 200
    face = Face((20, 20), 1)({"image": image, "label": 3}, np.random.default_rng(0))
    assert face["image"].shape == (20, 20, 1)
    assert face["image"].min() > 190
    tell_unaligned(7, "faces/")
    assert "NOT aligned" in caplog.text


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))])
def test_landmarks_that_are_none_break_the_example_alone(points):
    example = {"image": np.zeros((20, 20, 3), np.uint8), "label": 0, "landmarks": points}
    with pytest.raises(ExampleError, match="expected"):
        Face()(example, np.random.default_rng(0))
    with pytest.raises(UsageError, match="expected a square"):
        Face((20, 10))(example, np.random.default_rng(0))
    with pytest.raises(ValueError, match="expected 10"):
        landmarks_of([1, 2, 3])
