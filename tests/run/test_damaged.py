"""Small files of runs that are damaged: one line that names the file, and the other runs are listed."""

import errno
import json
import os
import shutil

import pytest

from jresnet import storage
from jresnet.errors import UsageError
from jresnet.run import folder as run_folder
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.run.reading import find_runs
from tests.commands.conftest import command  # noqa: F401 - a fixture
from tests.commands.test_runs import experiment, study

NOT_JSON = (b"", b"{", b"\xff\xfe{}", b"\0\0\0\0", b"[" * 100_000, b'{"a": %s}' % (b"9" * 5000))
NO_OBJECT = (b"{}", b"[]", b"null", b"3", b'"text"')
WRONG = {
    "config.json": (
        b'{"experiment": 3, "arguments": {}}', b'{"experiment": "a", "arguments": []}',
        b'{"experiment": "a", "arguments": {}, "date": 7}',
    ),
    "result.json": (
        b'{"metrics": [], "seconds": 1, "parameters": 2}', b'{"metrics": {}, "seconds": 1}',
        b'{"metrics": {"test": 3}, "seconds": 1, "parameters": 2}',
        b'{"metrics": {"test": {"error": "x"}}, "seconds": 1, "parameters": 2}',
        b'{"metrics": {}, "seconds": true, "parameters": 2}',
    ),
    "conclusion.json": (b'{"line": null}', b'{"line": 3}'),
}  # fmt: skip
LOGS = (
    b"\xff\x00\n", b"{}\n", b'{"step": "3"}\n', b'{"step": true}\n', b'{"step": -1}\n', b'[1]\n',
    b'{"step": 1e3}\n', b'{"step": 1, "split": "test", "loss": "low"}\n',
    b'{"step": 1, "split": 4}\n', b'{"step": 1, "loss": [1]}\n', b'{"step": %s}\n' % (b"9" * 5000),
    b"[" * 100_000 + b"\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run and a study, both finished."""
    folder = tmp_path_factory.mktemp("runs")
    run(experiment, {}, RunOptions(folder / "done", devices=1))
    run(study, {"rate": 0.2}, RunOptions(folder / "study", devices=1))
    return folder


@pytest.fixture
def copy(runs, tmp_path):
    """Those runs, to be damaged."""
    return shutil.copytree(runs, tmp_path / "runs")


def damaged(folder, name):
    """The one damaged run or training among all in the folder."""
    actual = find_runs(folder)
    assert len(actual) == 2
    lines = [run.damage for run in actual] + [t.damage for run in actual for t in run.trainings]
    (line,) = [line for line in lines if line is not None]
    assert "\n" not in line
    assert len(line) < 400
    assert name in line
    return line


CASES = [
    *[("done/config.json", data) for data in (*NOT_JSON, *NO_OBJECT, *WRONG["config.json"])],
    *[("done/result.json", data) for data in (*NOT_JSON, *NO_OBJECT, *WRONG["result.json"])],
    *[("study/a/result.json", data) for data in NO_OBJECT],
    *[("study/conclusion.json", data) for data in (*NOT_JSON, *NO_OBJECT, *WRONG["conclusion.json"])],
    *[("done/metrics.jsonl", data) for data in LOGS],
    *[("study/b/metrics.jsonl", data) for data in LOGS[:2]],
    *[(name, None) for name in ("done/metrics.jsonl", "study/b/metrics.jsonl")],
    *[(name, ...) for name in ("done/config.json", "done/result.json", "study/b/metrics.jsonl")],
]  # fmt: skip


@pytest.mark.parametrize(("name", "data"), CASES)
def test_a_damaged_file_is_named_and_the_other_runs_are_listed(copy, name, data):
    path = copy / name
    path.unlink()
    if data is ...:
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    damaged(copy, str(path))


def test_the_commands_name_it_in_one_line(copy, tmp_path, command):  # noqa: F811
    (copy / "done" / "config.json").write_text("null")
    (copy / "study" / "b" / "metrics.jsonl").write_bytes(b"\xff\n")
    status, out, _ = command("runs", copy, "--trainings")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()[2:]}
    assert set(lines) == {"done", "study", "a", "b"}
    assert "damaged" in lines["done"]
    assert "config.json" in lines["done"]
    assert "metrics.jsonl" in lines["b"]
    status, out, err = command("compare", copy, "--out", tmp_path / "page.html")
    assert (status, out) == (0, f"see {tmp_path / 'page.html'}\n")
    assert [line.split(":")[0] for line in err.splitlines()] == ["left out", "left out"]
    assert "1 trainings: 1 finished" in (tmp_path / "page.html").read_text()
    status, _, err = command("compare", copy / "done", "--out", tmp_path / "other.html")
    assert (status, err.count("\n")) == (2, 1)
    assert "config.json" in err


@pytest.mark.parametrize("data", [*NOT_JSON, *NO_OBJECT, *WRONG["config.json"][:2]])
def test_a_run_with_a_damaged_config_is_not_gone_on_with(tmp_path, data):
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(UsageError, match=r"config\.json"):
        run(experiment, {}, RunOptions(tmp_path, devices=1))
    assert (tmp_path / "config.json").read_bytes() == data


@pytest.mark.parametrize("data", [NOT_JSON[2], *NO_OBJECT[:3], *WRONG["result.json"]])
def test_a_damaged_result_is_named_and_made_anew_once_it_is_deleted(copy, data):
    path = copy / "done" / "result.json"
    before = json.loads(path.read_text())["metrics"]
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"result\.json"):
        run(experiment, {}, RunOptions(copy / "done", devices=1))
    if data == b"{}":
        path.unlink()
        run(experiment, {}, RunOptions(copy / "done", devices=1))
        assert json.loads(path.read_text())["metrics"] == before


def test_links_in_a_circle_are_followed_once(copy):
    (copy / "loop").symlink_to(copy, target_is_directory=True)
    assert {run.folder.name for run in find_runs(copy)} == {"done", "study"}


def test_a_folder_with_what_a_start_killed_early_left_is_empty(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.json.4711").write_text("{")
    (tmp_path / ".config.json.partial").write_text("{")
    (tmp_path / "empty").mkdir()
    run_folder.claim(tmp_path, "mine", {"a": 1}, {})
    assert run_folder.read_config(tmp_path / "config.json")["arguments"] == {"a": 1}


@pytest.mark.parametrize("name", ["notes.txt", "empty/file", ".hidden", "config.json.bak"])
def test_a_folder_with_anything_else_is_refused_and_left_as_it_is(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="is not empty"):
        run_folder.claim(tmp_path, "mine", {"a": 1}, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    storage.write_json(path, {"whole": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
        storage.write_json(path, {"whole": 2})
    assert storage.read_json(path) == {"whole": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
