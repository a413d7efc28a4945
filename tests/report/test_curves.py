import json
from pathlib import Path

import numpy as np
import pytest

from jresnet.report import curves

LINES = [
    {"step": 10, "split": "train", "loss": 2.0, "error": 0.5},
    {"step": 20, "split": "train", "loss": 1.0, "error": 0.25},
    {"step": 20, "split": "test", "loss": 1.5, "error": 0.4},
]


def write(folder: Path, text: str) -> Path:
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_reads_every_line_of_a_finished_run(tmp_path):
    text = "".join(json.dumps(line) + "\n" for line in LINES)
    assert curves.read_metrics(write(tmp_path, text)) == LINES


@pytest.mark.parametrize("tail", ['{"step": 3', '{"step": 30, "name": "é', '{"st', ""])
def test_drops_the_line_that_a_killed_run_left_unfinished(tmp_path, tail):
    text = "".join(json.dumps(line) + "\n" for line in LINES) + tail
    assert curves.read_metrics(write(tmp_path, text)) == LINES


def test_keeps_a_whole_last_line_without_a_newline(tmp_path):
    text = "\n".join(json.dumps(line) for line in LINES)
    assert curves.read_metrics(write(tmp_path, text)) == LINES


@pytest.mark.parametrize("broken", ['{"step": 1{"step": 2}', "[1, 2]", '{"loss": 1.0}'])
def test_names_file_and_line_of_a_broken_line(tmp_path, broken):
    text = json.dumps(LINES[0]) + "\n" + broken + "\n" + json.dumps(LINES[1]) + "\n"
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: expected a JSON object"):
        curves.read_metrics(write(tmp_path, text))


def test_a_broken_last_line_that_was_finished_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="line 1"):
        curves.read_metrics(write(tmp_path, '{"step": \n'))


def test_series_takes_one_split_and_one_key():
    steps, values = curves.series(LINES, "train", "error")
    np.testing.assert_array_equal(steps, [10, 20])
    np.testing.assert_array_equal(values, [0.5, 0.25])
    assert steps.dtype == np.int64
    assert values.dtype == np.float64
    assert curves.series(LINES, "test", "auc")[0].size == 0


def test_series_lets_the_later_record_of_a_resumed_run_count():
    again = [{"step": 10, "split": "train", "error": 0.125}]
    steps, values = curves.series([*LINES, *again], "train", "error")
    np.testing.assert_array_equal(steps, [10, 20])
    np.testing.assert_array_equal(values, [0.125, 0.25])


def test_running_mean_equals_the_naive_mean_over_past_iterations():
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.integers(1, 9, 50))
    values = rng.normal(size=50)
    naive = [
        np.mean([v for t, v in zip(steps, values, strict=True) if s - 20 < t <= s]) for s in steps
    ]
    np.testing.assert_allclose(curves.running_mean(steps, values, 20), naive, rtol=1e-13)
    np.testing.assert_array_equal(curves.running_mean(steps, values, 1), values)


def test_a_nan_spoils_one_window_only():
    steps, values = np.arange(6), np.array([1.0, np.nan, 1.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(
        np.isnan(curves.running_mean(steps, values, 2)),
        [False, True, True, False, False, False],
    )


def test_running_mean_refuses_an_empty_window():
    with pytest.raises(ValueError, match="got 0"):
        curves.running_mean(np.arange(3), np.ones(3), 0)


def seed(values: list[float], steps: list[int] | None = None) -> list[curves.Record]:
    steps = steps or [10 * (i + 1) for i in range(len(values))]
    return [{"step": s, "split": "test", "error": v} for s, v in zip(steps, values, strict=True)]


def test_band_spans_the_extremes_of_the_seeds():
    band = curves.across_seeds(
        [seed([0.5, 0.1]), seed([0.3, 0.2]), seed([0.1, 0.6])], "test", "error"
    )
    np.testing.assert_array_equal(band.steps, [10, 20])
    np.testing.assert_allclose(band.mean, [0.3, 0.3])
    np.testing.assert_array_equal(band.low, [0.1, 0.1])
    np.testing.assert_array_equal(band.high, [0.5, 0.6])
    np.testing.assert_allclose(band.scaled(100).high, [50, 60])


def test_band_covers_the_steps_that_all_seeds_reached():
    band = curves.across_seeds([seed([0.5, 0.1, 0.0]), seed([0.3, 0.2])], "test", "error")
    np.testing.assert_array_equal(band.steps, [10, 20])


def test_each_seed_is_smoothed_before_the_extremes_are_taken():
    band = curves.across_seeds([seed([0.0, 1.0]), seed([1.0, 0.0])], "test", "error", window=100)
    assert band.low[1] == band.high[1] == 0.5


def test_seeds_without_a_common_step_are_an_error():
    with pytest.raises(ValueError, match="no step in common"):
        curves.across_seeds([seed([0.5], [3]), seed([0.5], [4])], "test", "error")
    with pytest.raises(ValueError, match="at least one seed"):
        curves.across_seeds([], "test", "error")


@pytest.mark.parametrize(
    ("last", "every", "window"),
    [(64_000, 100, 1_000), (1_500, 20, 80), (300, 10, 1), (0, 1, 1)],
)
def test_default_window_is_round_and_holds_several_records(last, every, window):
    records = [{"step": s, "split": "train", "loss": 1.0} for s in range(every, last + 1, every)]
    assert curves.default_window([records], "loss") == window
