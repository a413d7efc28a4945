"""The lines of each application, counted another way."""

from jresnet.benchmark.application_files import FILES, PARTS
from jresnet.benchmark.sizes import ROOT, counted
from jresnet.studies.shortcut_worth.applications import ALL


def test_every_application_has_a_row_and_every_pattern_a_file():
    assert set(FILES) == {application.name for application in ALL}
    rows = dict(counted())
    assert list(rows) == list(FILES)
    assert all(set(lines) == set(PARTS) for lines in rows.values())
    assert all(sum(lines.values()) > 0 for lines in rows.values())


def test_a_file_that_two_applications_name_is_counted_once():
    paths = {
        path
        for parts in FILES.values()
        for patterns in parts.values()
        for pattern in patterns
        for path in ROOT.glob(pattern)
    }
    whole = sum(path.read_bytes().count(b"\n") for path in paths)
    assert sum(sum(lines.values()) for _, lines in counted()) == whole


def test_masks_and_keypoints_are_not_counted_with_boxes():
    masks = (ROOT / "jresnet/models/detection/masks.py").read_bytes().count(b"\n")
    assert dict(counted())["masks"]["net"] == masks
