"""Rows of variants from what their runs left, and what the closing lines make of them."""

import json

import pytest

from experiments.cardinality import PUBLISHED, cardinality
from experiments.width_depth import statement, width_depth
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.models.published import count_net
from jresnet.studies.variants import Row, measured


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


def test_paths_of_equal_cost():
    runs = cardinality(nets=tuple(PUBLISHED)).runs
    macs = [count_net(runs[f"{name}-seed0"].task.model, (8, 8, 1)).macs for name in PUBLISHED]
    assert max(macs) < 1.15 * min(macs)
    with pytest.raises(ValueError, match="width=48: expected a multiple of 32"):
        cardinality(width=48)
    with pytest.raises(ValueError, match="nets=3x3d: expected some of 1x64d, 2x40d"):
        cardinality(nets=("3x3d",))


def test_depth_and_width_are_named():
    assert len(width_depth().runs) == 4
    with pytest.raises(UsageError, match="nets=28x10: expected depth-k"):
        width_depth(nets=("28x10",))
    deep = Row("WRN-40-1", 10, 0, 2.0, 2.0, 2.0, 100.0)
    wide = Row("WRN-10-3", 12, 0, 1.0, 1.0, 1.0, 25.0)
    assert "the wide net takes 0.25 of the time" in statement([deep, wide])
