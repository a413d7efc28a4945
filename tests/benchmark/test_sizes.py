"""The lines of each application, counted another way; what it costs to the first result."""

import pytest

from jresnet.benchmark import sizes
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


def test_the_table_in_the_docs_is_not_old():
    lines = (ROOT / "docs/results.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| application | task |"))
    rows = [line.strip("| ").split(" | ") for line in lines[start + 2 : start + 2 + len(ALL)]]
    assert [row[0] for row in rows] == [application.name for application in ALL]
    for (_, parts), (name, *_, told) in zip(counted(), rows, strict=True):
        lines_now, then = sum(parts.values()), int(told.replace(",", ""))
        assert abs(lines_now - then) <= 0.1 * then, f"{name}: {lines_now} lines, {then} in the docs"


def test_masks_and_keypoints_are_not_counted_with_boxes():
    masks = (ROOT / "jresnet/models/detection/masks.py").read_bytes().count(b"\n")
    assert dict(counted())["masks"]["net"] == masks


def test_an_application_that_fails_does_not_lose_the_costs_of_the_others(
    tmp_path, monkeypatch, capsys
):
    def measured(name, data):
        if name == "video":
            raise RuntimeError("error: no film")
        return {"programs": 3, "seconds": 50.0 if name == "detection" else 20.0}

    (tmp_path / "bccd").mkdir()
    monkeypatch.setattr(sizes, "measured", measured)
    assert sizes.main(["--data", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    rows = {line.split(" | ")[0].lstrip("| "): line for line in printed.out.splitlines()}
    assert rows["classification"].endswith("| 3 | 20 | 1.0 |")
    assert rows["detection"].endswith("| 3 | 50 | 2.5 |")
    assert "error: video was not measured: error: no film\n" in printed.err
    assert f"faces was not measured: data={tmp_path}: expected orl_faces in it\n" in printed.err
    assert rows["video"].split("|")[-4:-1] == rows["faces"].split("|")[-4:-1]
    assert sizes.main(["--only", "faces", "--data", str(tmp_path)]) == 2
    assert sizes.main(["--only", "faces"]) == 2
    assert "error: data=None: expected a folder with orl_faces\n" in capsys.readouterr().err


@pytest.mark.slow
def test_the_costs_are_those_of_a_process_that_trains_and_evaluates(tmp_path):
    costs = sizes.measured("classification", tmp_path)
    # At least the first state, the step and the evaluation.
    assert 3 <= costs["programs"] < 30
    assert 2 < costs["seconds"] < 600
    with pytest.raises(RuntimeError, match=r"^error: data=.*expected orl_faces in it$"):
        sizes.measured("faces", tmp_path)
