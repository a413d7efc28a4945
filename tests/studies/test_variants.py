"""Rows of variants from what their runs left."""

import json

import pytest

from jresnet.experiment import Result
from jresnet.studies.variants import measured


def test_rows_are_medians_with_ranges(tmp_path):
    results = {}
    for seed, error in enumerate((0.03, 0.01, 0.02)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        timing = {"images_per_second": 500.0, "waiting": 0.5, "step": 1}
        (folder / "timing.jsonl").write_text(json.dumps(timing) + "\n")
        metrics = {"train": {"error": 0.0}, "test": {"error": error}}
        results[f"a-b-seed{seed}"] = Result(metrics, 1.0, 7, folder)
    (row,) = measured(["a (b)"], results, 64)
    assert row[:3] == ("a (b)", 7, 0)
    assert row[3:6] == pytest.approx((2, 1, 3))
    assert row.test_cell() == "2.00 (1.00 to 3.00)"
    # Half of the time was spent waiting, so the devices alone do 1000 images a second.
    assert row.step_ms == pytest.approx(64)
