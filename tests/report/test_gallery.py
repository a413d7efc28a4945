"""A few of a training's pictures in one row."""

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.report import gallery

LEGEND = [("#112233", "right")]


def entries(counts: dict[str, int]) -> list[gallery.Entry]:
    return [
        gallery.Entry(
            group, n, f"/sets/cats/{group}{n}.jpg", 0.5, np.zeros((4, 4, 3), np.uint8), ""
        )
        for group, count in counts.items()
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("counts", "limit", "names"),
    [
        ({"worst": 2, "median": 2, "best": 2}, 3, ["worst0.jpg", "median0.jpg", "best0.jpg"]),
        ({"first": 2}, 3, ["first0.jpg", "first1.jpg"]),
        ({"worst": 1, "best": 1}, 1, ["worst0.jpg"]),
    ],
)
def test_a_strip_is_spread_over_all_groups_and_keeps_their_legend(tmp_path, counts, limit, names):
    gallery.write(tmp_path, "test", entries(counts), LEGEND)
    strip = gallery.strip(tmp_path, "Examples", limit)
    assert strip is not None
    assert [picture.name for picture in strip.pictures] == names
    assert list(strip.legend) == LEGEND
    assert all(picture.path.exists() for picture in strip.pictures)


@pytest.mark.parametrize(("width", "large"), [(12, True), (8, False)])
def test_long_pictures_stand_below_one_another(tmp_path, width, large):
    pixels = np.zeros((4, width, 3), np.uint8)
    gallery.write(tmp_path, "test", [gallery.Entry("best", 0, "0", 0.5, pixels, "")], [])
    strip = gallery.strip(tmp_path, "Examples", 3)
    assert strip is not None
    assert strip.large is large


def test_without_pictures_there_is_no_strip_and_a_damaged_record_is_named(tmp_path):
    assert gallery.strip(tmp_path, "Examples", 3) is None
    gallery.write(tmp_path, "test", [], [])
    empty = gallery.strip(tmp_path, "Examples", 3)
    assert empty is not None
    assert list(empty.pictures) == []
    (tmp_path / "pictures" / "pictures.json").write_text("{}")
    with pytest.raises(UsageError, match="is damaged"):
        gallery.strip(tmp_path, "Examples", 3)
