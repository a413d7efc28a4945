"""The sweep over rates and depths: what is trained, and what its closing line makes of the errors."""

import csv
from pathlib import Path

import jax.numpy as jnp
import pytest

from experiments.sensitivity import sensitivity
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.studies.sensitivity.measure import Cell, error
from jresnet.studies.sensitivity.report import row, statement, write_csv


def result(error=0.0, diverged=None):
    metrics = {} if diverged else {"train": {"error": error}, "test": {"error": 2 * error}}
    return Result(metrics, 1.0, 10, Path(), diverged)


def test_every_rate_and_depth_is_trained_once_for_each_seed_by_its_own_rate():
    study = sensitivity(rates=(0.003, 0.1), depth=20, depths=(8, 20), seeds=2)
    assert len(study.runs) == 2 * 2 * 3  # kinds, seeds, cells: depth 20 at 0.1 serves both sweeps
    assert all(run.may_diverge for run in study.runs.values())
    slow, fast = (study.runs[Cell("plain", 20, rate).label(1)] for rate in (0.003, 0.1))
    assert {run.plan.seed for run in (slow, fast)} == {run.data.seed for run in (slow, fast)} == {1}
    ones = {"w": jnp.ones(3)}
    first, moved = [], []
    for run in (slow, fast):
        change, state = run.optimizer.update(ones, run.optimizer.init(ones), ones)
        first.append(float(change["w"][0]))
        for _ in range(20):  # past the warm-up, an eighth of the steps
            change, state = run.optimizer.update(ones, state, ones)
        moved.append(float(change["w"][0]))
    assert first[0] / first[1] == pytest.approx(0.003 / 0.01, rel=0.01)  # no warm-up above the rate
    assert moved[0] < 0
    assert moved[1] / moved[0] == pytest.approx(0.1 / 0.003, rel=0.01)
    assert "residual-8-rate0.1-seed0" in study.runs


def test_what_makes_no_sweep():
    with pytest.raises(UsageError, match="depths=8 8: expected none twice"):
        sensitivity(depths=(8, 8))


def test_a_diverged_training_counts_as_guessing_and_is_said(tmp_path):
    assert error(result(diverged="the loss is inf at step 3"), "test", 0.9) == pytest.approx(90)
    assert error(result(0.25), "test", 0.9) == pytest.approx(50)
    cell = Cell("plain", 8, 0.1)
    results = {cell.label(0): result(0.25), cell.label(1): result(diverged="the loss is inf")}
    errors = {cell: {"train": [25.0, 90.0], "test": [50.0, 90.0]}}
    assert row(cell, errors[cell], results) == (
        "plain",
        8,
        "0.1",
        "57.50 (25.00 to 90.00)",
        "70.00 (50.00 to 90.00)",
        1,
    )
    write_csv(tmp_path / "all.csv", errors, results)
    rows = list(csv.reader((tmp_path / "all.csv").read_text().splitlines()))
    assert rows[2] == ["plain", "8", "0.1", "1", "90.0", "90.0", "the loss is inf"]


def test_the_closing_line_counts_the_rates_and_depths_that_each_kind_stands():
    rates, depths = [(20, 0.1), (20, 1.0)], [(8, 0.1), (20, 0.1)]
    medians = {
        Cell("plain", 8, 0.1): 2.0,
        Cell("plain", 20, 0.1): 6.0,
        Cell("plain", 20, 1.0): 90.0,
        Cell("residual", 8, 0.1): 1.0,
        Cell("residual", 20, 0.1): 1.5,
        Cell("residual", 20, 1.0): 5.9,
    }
    errors = {
        cell: {"train": [value - 1, value, value + 9], "test": [value + 1]}
        for cell, value in medians.items()
    }
    said = statement(rates, depths, errors)
    assert "within 5 points of the lowest training error (1.00 %)" in said
    assert "plain nets of 20 layers do so at 1 of 2 rates, and at rate 0.1 at 2 of 2 depths" in said
    assert "residual nets of 20 layers do so at 2 of 2 rates" in said
    assert "less sensitive: as claimed" in said
    assert "plain 3.00 %, residual 2.00 % (residual better: as claimed)" in said
    swapped = {
        Cell("plain" if c.kind == "residual" else "residual", *c[1:]): v for c, v in errors.items()
    }
    assert statement(rates, depths, swapped).count("not as claimed") == 2
