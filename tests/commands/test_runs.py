"""runs and compare: what is said of finished, stopped and running runs, and of studies."""

import dataclasses
import json
import subprocess
import sys

import pytest

from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Study
from jresnet.run import folder as run_folder
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.run.reading import find_runs
from jresnet.train.optim import sgd
from tests.train.toy import DATA, PLAN, classify

STEPS = 4
PLAN = dataclasses.replace(PLAN, steps=STEPS, log_every=1)


def experiment(rate: float = 0.1) -> Experiment:
    """The toy."""
    return Experiment(classify(), DATA, sgd(lambda step: rate), PLAN)


def study(rate: float = 0.1) -> Study:
    """Two of them."""
    return Study({"a": experiment(rate), "b": experiment(rate)}, lambda *wanted: "both are alike")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, one that was stopped in its third step, a study, and one begun too late."""
    folder = tmp_path_factory.mktemp("runs")
    run(experiment, {}, RunOptions(folder / "done", devices=1))
    run(study, {"rate": 0.2}, RunOptions(folder / "deep" / "study", devices=1))
    run(experiment, {"rate": 0.3}, RunOptions(folder / "stopped", devices=1))
    (folder / "stopped" / "result.json").unlink()
    metrics = folder / "stopped" / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= 3))
    return folder


def test_states_and_results(runs):
    done, two, stopped = sorted(find_runs(runs), key=lambda run: run.config["date"])
    assert [r.folder.name for r in (done, two, stopped)] == ["done", "study", "stopped"]
    assert [r.state for r in (done, two, stopped)] == ["finished", "finished", "stopped"]
    written = json.loads((runs / "done" / "result.json").read_text())["metrics"]
    assert done.trainings[0].metrics == written
    assert f"test error {written['test']['error']:.4g}" in done.result()
    assert (two.is_study, two.result()) == (True, "both are alike")
    assert [training.label for training in two.trainings] == ["a", "b"]
    assert stopped.result() == f"step 3 of {STEPS}"


def test_a_study_tells_how_far_it_is(runs):
    path = runs / "deep" / "study"
    kept = (path / run_folder.CONCLUSION).read_bytes(), (path / "b" / "result.json").read_bytes()
    try:
        (path / run_folder.CONCLUSION).unlink()
        (path / "b" / "result.json").unlink()
        (runs,) = find_runs(path)
        assert runs.state == "stopped"
        assert runs.result() == f"1 of 2 trainings begun are finished; b at step {STEPS} of {STEPS}"
    finally:
        (path / run_folder.CONCLUSION).write_bytes(kept[0])
        (path / "b" / "result.json").write_bytes(kept[1])


def test_another_process_at_work_is_seen_and_not_disturbed(runs, command):
    folder = runs / "stopped"
    holder = "from jresnet.run.folder import hold; from pathlib import Path; import sys\n"
    holder += "with hold(Path(sys.argv[1])): print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", holder, str(folder)], **pipes)
    try:
        process.stdout.readline()
        before = (folder / "metrics.jsonl").read_bytes()
        with pytest.raises(UsageError, match="another process is at work there"):
            run(experiment, {"rate": 0.3}, RunOptions(folder, devices=1))
        assert (folder / "metrics.jsonl").read_bytes() == before
        status, out, _ = command("runs", runs)
        assert status == 0
        (line,) = [line for line in out.splitlines() if line.startswith("stopped")]
        assert "running" in line
        assert f"step 3 of {STEPS}" in line
    finally:
        process.kill()
        process.communicate()
    # The lock died with the process.
    assert find_runs(folder)[0].state == "stopped"


def test_the_list_names_trainings_where_asked(runs, command):
    assert "  a " not in command("runs", runs)[1]
    out = command("runs", runs, "--trainings")[1]
    assert [line.split()[0] for line in out.splitlines()[2:]] == [
        "done", "deep/study", "a", "b", "stopped",
    ]  # fmt: skip


def test_compare_draws_all_and_says_where_they_differ(runs, tmp_path, command):
    page = tmp_path / "page.html"
    status, out, _ = command("compare", runs / "done", runs / "deep", runs / "stopped", "--out", page)  # fmt: skip
    assert (status, out) == (0, f"see {page}\n")
    text = page.read_text()
    assert "4 trainings: 3 finished, 1 stopped" in text
    for name in ("done", "deep/study/a", "deep/study/b", "stopped"):
        assert f">{name}</td>" in text
    assert text.count("data:image/png;base64,") == 2  # loss and error
    # The rates 0.1 (by default, so not in the config of what was given), 0.2 and 0.3.
    assert ">rate</th>" in text
    assert text.count(">0.2</td>") == 2
    assert text.count(">0.3</td>") == 1
    assert all(f">{same}</th>" not in text for same in ("experiment", "jax", "hardware"))


def test_one_training_of_a_study_can_be_compared(runs, tmp_path, command):
    page = tmp_path / "page.html"
    status, _, err = command("compare", runs / "deep" / "study" / "b", runs / "done", "--out", page)
    assert (status, err) == (0, "")
    assert "2 trainings: 2 finished" in page.read_text()


def test_a_wrong_folder_or_page_gets_one_line(runs, tmp_path, command):
    for arguments, words in [
        (("runs", tmp_path / "none"), "is not there"),
        (("runs", tmp_path), "holds no run"),
        (("compare", tmp_path), "holds no run"),
        (("compare", runs / "done", "--out", runs / "done" / "report.html"), "exists already"),
        (
            ("compare", runs / "done", "--out", tmp_path / "page.pdf"),
            "expected a name that ends in .html",
        ),
        (("compare",), "at least one folder"),
    ]:
        status, out, err = command(*arguments)
        assert (status, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
