"""Every application beside its plain twin: what differs, what is measured, and what is not run."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.shortcut_worth import shortcut_worth
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.array_file import ArrayFile
from jresnet.data.sources.folder import Folder
from jresnet.data.sources.moving_digits import MovingDigits
from jresnet.description import describe, differences
from jresnet.errors import UsageError
from jresnet.experiment import Result, after
from jresnet.run import launch
from jresnet.run.command_line import RunOptions
from jresnet.storage import as_json
from jresnet.studies.shortcut_worth import report
from jresnet.studies.shortcut_worth.application import Application, Case
from jresnet.studies.shortcut_worth.applications import (
    ALL,
    CLASSIFICATION,
    DISEASE,
    FACES,
    SEGMENTATION,
    STYLE,
    TRANSFER,
    VIDEO,
)
from jresnet.studies.shortcut_worth.figures import CHANCE, gains
from jresnet.studies.shortcut_worth.measure import Row, rows_of
from jresnet.studies.shortcut_worth.pictures import XRAYS
from jresnet.train.loop import Interrupted
from tests.conftest import SHARED

DATA = SHARED / "data"


def result(metric: str, value: float, folder: Path = Path("nowhere")) -> Result:
    return Result({"test": {metric: value}}, 1.0, 10, folder)


def results_of(application: Application, residual, plain, blocks=(1, 3)):
    """Results of both kinds by seed, the same at each depth."""
    return {
        f"{application.name}/{Case(depth, kind, seed, 1, Path()).label}": result(
            application.metric, value
        )
        for depth in blocks
        for kind, values in ((True, residual), (False, plain))
        for seed, value in enumerate(values)
    }


def cases_of(seeds: int, blocks=(1, 3)) -> list[Case]:
    return [
        Case(depth, kind, seed, 1, Path())
        for depth in blocks
        for kind in (True, False)
        for seed in range(seeds)
    ]


def test_a_lower_error_and_a_higher_score_are_gains():
    for application, sign in ((CLASSIFICATION, 1), (SEGMENTATION, -1)):
        results = results_of(application, [0.1], [0.3])
        first, second = rows_of({application: cases_of(1)}, results)
        assert (first.blocks, second.blocks) == (1, 3)
        assert first.gain == pytest.approx(sign * 20)
        assert first.verdict == ("ahead" if sign > 0 else "behind")
        assert first.interval is None
        assert first.seconds == 2


def test_the_interval_is_that_of_the_paired_t_test():
    residual, plain = [0.10, 0.12, 0.11], [0.13, 0.16, 0.12]
    results = results_of(CLASSIFICATION, residual, plain)
    row = rows_of({CLASSIFICATION: cases_of(3)}, results)[0]
    paired = stats.ttest_rel(100 * np.array(plain), 100 * np.array(residual))
    low, high = paired.confidence_interval(0.95)
    assert row.interval == pytest.approx((low, high))
    assert row.verdict == "not told apart"
    assert low < 0 < row.gain


def test_a_training_that_diverged_is_no_number():
    results = results_of(CLASSIFICATION, [0.1], [0.3])
    label = f"{CLASSIFICATION.name}/plain-3-seed0"
    results[label] = Result({}, 1.0, 10, Path(), diverged="loss is inf after step 3")
    chosen = {CLASSIFICATION: cases_of(1)}
    row = rows_of(chosen, results)[1]
    assert row.verdict == "one diverged"
    assert math.isnan(row.gain)
    assert row.chance is None
    assert report.line(row)[3:7] == ("10.00", "diverged", None, "one diverged")


def test_chance_is_what_the_count_of_test_examples_makes():
    draws = np.random.default_rng(0).binomial(CLASSIFICATION.tested, 0.1, (2, 20_000))
    differences = np.abs(100 * (draws[0] - draws[1]) / CLASSIFICATION.tested)
    row = rows_of({CLASSIFICATION: cases_of(1)}, results_of(CLASSIFICATION, [0.08], [0.12]))[0]
    assert row.chance is not None
    assert (differences < row.chance).mean() == pytest.approx(0.95, abs=0.01)
    assert row.verdict == "within chance"
    row = rows_of({CLASSIFICATION: cases_of(1)}, results_of(CLASSIFICATION, [0.06], [0.14]))[0]
    assert row.verdict == "ahead"
    iou = rows_of({SEGMENTATION: cases_of(1)}, results_of(SEGMENTATION, [0.08], [0.12]))[0]
    assert (iou.chance, iou.verdict) == (None, "behind")


def test_the_counts_of_test_examples_are_those_of_the_data():
    assert ImageData("digits", 1).info().sizes["test"] == CLASSIFICATION.tested
    assert MovingDigits().info().sizes["test"] == VIDEO.tested
    if not DATA.exists():
        pytest.skip(f"{DATA} is absent")
    assert Folder(DATA / "cats_dogs").info().sizes["test"] == TRANSFER.tested
    assert ArrayFile(DATA / XRAYS).info().sizes["test"] == DISEASE.tested
    pairs = (DATA / "orl_faces" / "pairs.csv").read_text().splitlines()
    assert len(pairs) - 1 == FACES.tested


def test_the_figure_has_a_row_for_each_application_and_no_mark_for_what_diverged():
    nan = np.array([np.nan])
    rows = [
        Row(CLASSIFICATION, 1, np.array([10.0]), np.array([12.0]), np.array([2.0]), 1.0),
        Row(CLASSIFICATION, 3, np.array([12.0]), np.array([7.0]), np.array([-5.0]), 1.0),
        Row(VIDEO, 1, nan, nan, nan, 1.0),
    ]
    first, second = gains(rows).axes
    assert [line.get_alpha() for line in first.lines[1:]] == [CHANCE, None, CHANCE, None]
    marks = [
        (line.get_marker(), line.get_xdata()) for line in first.lines if line.get_marker() == "o"
    ]
    assert [float(np.squeeze(x)) for _, x in marks] == [2.0, -5.0]
    low, high = first.get_xlim()
    assert low == -high
    assert high > 5
    assert [line.get_marker() for line in second.lines][1:] == ["x"]


def test_tiny_gains_look_tiny():
    values = np.array([44.83]), np.array([44.79])
    (ax,) = gains([Row(SEGMENTATION, 1, *values, np.array([0.04]), 1.0)]).axes
    assert ax.get_xlim()[1] > 0.05 * 44


@pytest.mark.parametrize(
    ("residual", "plain", "texts"),
    [
        (0.0168, 0.697, ("1.68", "69.70", "+68.02")),
        (0.0269, 0.0236, ("2.690", "2.360", "-0.330")),
        (0.1, 0.1, ("10.00", "10.00", "0")),
    ],
)
def test_a_gain_has_as_many_places_as_its_values(residual, plain, texts):
    row = rows_of({CLASSIFICATION: cases_of(1)}, results_of(CLASSIFICATION, [residual], [plain]))[0]
    assert report.line(row)[3:6] == texts


def test_data_that_are_missing_are_named_with_what_would_bring_them(tmp_path):
    with pytest.raises(UsageError, match="segmentation: data=None: expected a folder with camvid"):
        shortcut_worth(only=("segmentation",))
    with pytest.raises(UsageError, match="only=segment: expected some of classification, transfer"):
        shortcut_worth(only=("segment",))
    assert (
        TRANSFER.lacking(tmp_path) == f"data={tmp_path}: expected cifar10_jpeg and cats_dogs in it"
    )
    (tmp_path / "cats_dogs").mkdir()
    assert TRANSFER.lacking(tmp_path) == f"data={tmp_path}: expected cifar10_jpeg in it"
    absent = Application("a", "", print, "", "", (1, 2), 1, 1, "", "", library=("no_such", "games"))  # type: ignore[arg-type]
    assert absent.lacking(None) == "no_such is not installed: pip install 'jresnet[games]'"


def test_applications_that_are_not_run_are_in_the_table(tmp_path, capsys):
    study = shortcut_worth(tmp_path, ("classification", "segmentation"), (1, 2))
    assert list(study.runs) == [
        f"classification/{kind}-{depth}-seed0" for depth in (1, 2) for kind in ("residual", "plain")
    ]
    assert study.pictures == {"classification/residual-2-seed0": 3}
    results = {label: result("error", 0.25, tmp_path / label) for label in study.runs}
    provenance = {"versions": {"jax": "1"}, "hardware": {}, "commit": "c"}
    conclusion = study.conclude(tmp_path, results, provenance)
    assert "Not run: segmentation." in conclusion.summary
    assert "Deep nets, residual against plain: equal in 1 (classification)" in conclusion.summary
    assert "One seed." in conclusion.summary
    printed = capsys.readouterr().out
    assert f"data={tmp_path}: expected camvid in it" in printed
    assert "240 steps" in printed
    assert "camvid" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("application", ALL, ids=lambda application: application.name)
@pytest.mark.slow
def test_twins_differ_in_their_shortcuts_alone(application):
    if (reason := application.lacking(DATA)) is not None:
        pytest.skip(reason)
    pair = [
        application.build(Case(application.blocks[0], residual, 0, 64_000, DATA))
        for residual in (True, False)
    ]
    for part in ("data", "plan", "optimizer"):
        one, other = (as_json(describe(getattr(run, part))) for run in pair)
        assert one == other
    one, other = (as_json(describe(run.task)) for run in pair)
    parted = [set(re.split(r"[.\[\]]+", where)) for where, *_ in differences(one, other)]
    # Nets without norms start their branches small where a shortcut carries the signal.
    small = {"branch", "gate"} if application.name == "upscaling" else set()
    assert any("shortcut" in names for names in parted)
    assert all(names & ({"shortcut"} | small) for names in parted), parted


def test_what_depends_on_trainings_before_is_computed_from_them():
    study = shortcut_worth(only=("classification",), depths=(1,))
    plain = study.runs["classification/plain-1-seed0"]
    assert after(plain, {}) is plain
    later = dataclasses.replace(
        plain, start=lambda results: {"params": results["first"].parameters}
    )
    assert after(later, {"first": result("error", 0.5)}).start == {"params": 10}
    assert STYLE.sources is TRANSFER.sources is not None


@pytest.mark.slow
def test_a_study_that_was_stopped_skips_what_is_done(tmp_path, monkeypatch):
    arguments = {
        "data": None, "only": ("classification", "video"), "depths": (1,), "seeds": 1, "length": 0.01,
    }  # fmt: skip
    options = RunOptions(workdir=tmp_path / "run", devices=1)
    trained, train = [], launch.train

    def stopping(experiment, folder, label, *rest):
        if len(trained) == 3:
            raise Interrupted("stopped for the test")
        trained.append(label)
        return train(experiment, folder, label, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(launch, "train", stopping)
        with pytest.raises(Interrupted):
            launch.run(shortcut_worth, arguments, options)
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("result.json")}
    assert len(done) == 3
    line = launch.run(shortcut_worth, arguments, options)
    assert "Deep nets, residual against plain" in line
    assert {path: path.stat().st_mtime_ns for path in done} == done
    everything = sorted((tmp_path / "run").rglob("result.json"))
    assert [str(path.parent.relative_to(tmp_path / "run")) for path in everything] == [
        f"{name}/{kind}-1-seed0"
        for name in ("classification", "video")
        for kind in ("plain", "residual")
    ]
    errors = [json.loads(path.read_text())["metrics"]["test"]["error"] for path in everything]
    assert all(0 <= error <= 1 for error in errors)
    drawn = list((tmp_path / "run").rglob("pictures/*.png"))
    assert {path.parts[-4] for path in drawn} == {"classification", "video"}
    assert (tmp_path / "run" / "gains.png").stat().st_size > 5_000
