"""Sentences of a run's report about its input."""

import json

import pytest

from jresnet.report.run import cost_lines, write_run_report


def timing(folder, *windows):
    records = [{"compile_seconds": 3.2}, {"step": 2, "images_per_second": 9.0}]  # an older run's
    records += [{"step": 4, "images_per_second": rate, "waiting": share} for rate, share in windows]
    (folder / "timing.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in records) + '{"step": 9, "ima'
    )


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([(200.0, 0.01)], ["200 images/s", "1% of the time", "the steps bind"]),
        # 3 s at 100 and 1 s at 300 images/s: 150 on the whole, waiting 0.8 * 3 of 4 s.
        ([(100.0, 0.8), (300.0, 0.0)], ["150 images/s", "60% of the time", "the input binds"]),
        ([(100.0, 0.3)], ["30% of the time", "in turn"]),
    ],
)
def test_which_binds(windows, words, tmp_path):
    timing(tmp_path, *windows)
    (line,) = cost_lines(tmp_path)
    assert all(word in line for word in words), line


def test_broken_files_of_all_processes_are_counted_once(tmp_path):
    assert cost_lines(tmp_path) == []
    (tmp_path / "broken.txt").write_text("a: bad\nb: bad\n")
    (tmp_path / "broken-1.txt").write_text("b: bad\nc: bad\n")
    (line,) = cost_lines(tmp_path)
    assert line == "3 image files or annotations are broken, named in broken-1.txt, broken.txt."


def test_scores_of_detectors_in_per_cent_and_those_of_classes_in_the_table_only(tmp_path):
    record = {"step": 1, "split": "train", "loss": 1.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    metrics = {"test": {"loss": 0.5, "ap50": 0.8125, "ap50/red cell": 0.25}}
    page = write_run_report(tmp_path, "cells", "Cells.", metrics, 7, {}).read_text()
    assert "7 parameters; test loss 0.5, test AP50 (%) 81.25<" in page
    assert page.count("AP50 red cell (%)") == 1  # in the table
