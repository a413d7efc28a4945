"""Seconds to an accuracy: what is kept, what begins anew, and what is said."""

import functools
import json
import shutil

import jax
import pytest

from jresnet.benchmark import accuracy, plan
from jresnet.benchmark.accuracy import SECONDS, Timed, note, row, times
from jresnet.errors import UsageError
from tests.benchmark.test_plan import counted


def test_the_times_are_those_of_the_log(tmp_path):
    log = tmp_path / "timing.jsonl"
    entries = [
        {"step": 0, "steps": 50, "compile_seconds": 7.5},
        {"step": 40, "images_per_second": 1024.0, "waiting": 0.0},
        {"step": 50, "images_per_second": 512.0, "waiting": 0.0},
        {"step": 50, "note": "a checkpoint was set aside"},
    ]
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert times(log, 512) == (40 * 512 / 1024 + 10 * 512 / 512, 7.5)


def test_the_note_counts_the_trainings_that_reached_the_aim():
    cold = [Timed("cold", 0.9405, 41.0, 6.0, 30.0, 2e5)]
    assert note(cold) == "94.05 % right, 41.0 s, 6.0 s of them steps"
    warm = [Timed(f"warm {n}", 0.939 + n / 1000, 9.0 + n, 6.0, 1.0, 2e5 + n) for n in range(3)]
    assert note(warm) == (
        "94.00 % right (93.90 to 94.10; 2 of 3 at 94 % or more), 10.0 s, 6.0 s of them steps"
    )
    record = row("warm", warm, 2e9)
    assert (record["slowest"], record["images_per_second"]) == (2e5, 2e5 + 1)
    assert record["accuracy"] == pytest.approx(0.94)


def test_a_plan_says_that_the_data_are_not_there_and_goes_on(tmp_path):
    begun: list[str] = []
    absent = functools.partial(accuracy.conclude, str(tmp_path / "none"), None, 1, False)
    parts = [plan.Part("cifar10", absent), counted("next", begun)]
    line = str(plan.conclude(parts, 1, tmp_path, {}, {}))
    assert begun == ["next"]
    assert "1 of 2 parts are measured. Failed: cifar10 (UsageError: dataset=" in line
    lines = json.loads((tmp_path / plan.RECORD).read_text())["lines"]
    assert (lines[0]["part"], lines[0]["timed"], lines[0]["rate"]) == (
        "cifar10", "not measured", None,
    )  # fmt: skip
    assert "no such folder" in lines[0]["note"]
    told = next(row for row in (tmp_path / plan.TABLE).read_text().splitlines() if "cifar10" in row)
    assert "no such folder" in told


@pytest.mark.slow
def test_a_training_that_ended_is_kept_and_one_that_did_not_begins_anew(tmp_path, monkeypatch):
    kept = jax.config.jax_compilation_cache_dir
    run = functools.partial(accuracy.conclude, "cifar10", None, 1, True, tmp_path, {}, {"jax": "0"})
    line = str(run())
    assert "Cold: " in line
    assert "Warm: " in line
    record = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["mode"] for row in record["rows"]] == ["cold", "warm"]
    assert all(row["images_per_second"] > 0 for row in record["rows"])
    cold, warm = record["trainings"]
    assert list((tmp_path / "compiled").iterdir())
    assert warm["compiling"] < cold["compiling"]
    assert jax.config.jax_compilation_cache_dir == kept

    # Interrupted after its checkpoint: the cold one is read, the warm one trained from its start.
    (tmp_path / "warm-1" / SECONDS).unlink()
    shutil.copytree(tmp_path / "cold" / "checkpoints", tmp_path / "warm-1" / "x")
    trained: list[str] = []
    real = accuracy.fit

    def noted(*arguments, **fields):
        trained.append(arguments[5])
        assert not arguments[4].exists()
        return real(*arguments, **fields)

    monkeypatch.setattr(accuracy, "fit", noted)
    run()
    assert trained == ["warm 1"]
    assert json.loads((tmp_path / "benchmark.json").read_text())["trainings"][0] == cold


def test_the_trainings_differ_in_their_seed_alone():
    data = accuracy.ImageData("cifar10", 512)
    plans = [accuracy.training(data, seed, False).plan for seed in (0, 1)]
    assert [one.seed for one in plans] == [0, 1]
    assert plans[0].steps == plans[1].steps
    with pytest.raises(UsageError):
        accuracy.ImageData("./nowhere", 512).info()
