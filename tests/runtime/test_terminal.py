"""Programs whose terminal is not UTF-8, whose reader goes away, or whose names are hostile."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cifar10 import cifar10
from jresnet.__main__ import main
from jresnet.run.launch import launch
from jresnet.runtime.terminal import LogLines

ROOT = Path(__file__).parents[2]
PROGRAM = "from jresnet.runtime.terminal import program\n@program\ndef main():\n    {}\nmain()\n"


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def without_reader(process):
    """Its status and standard error, after its reader went away at once."""
    with process:
        process.stdout.close()
        error = process.stderr.read()
        return process.wait(120), error


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_character_is_printed_in_any_encoding(encoding):
    code = PROGRAM.format(r"print('\u2500\u732b\udcff', flush=True)")
    status, out, err = finished(start("-c", code, PYTHONIOENCODING=encoding))
    assert (status, err) == (0, "")
    assert out == ("─猫" if encoding == "utf-8" else r"-\u732b") + r"\udcff" + "\n"


@pytest.mark.parametrize(
    "body",
    [
        "print('x')",  # written when Python exits, if not before
        "print('x' * 100_000)",
        "print('x'); raise SystemExit(0)",  # as after --help
    ],
)
def test_a_reader_that_goes_away_ends_a_program_quietly(body):
    code = PROGRAM.format(f"import sys; sys.stdin.read(); {body}")
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        process.stdin.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 141)


def test_another_broken_pipe_is_an_error():
    code = PROGRAM.format("raise BrokenPipeError('a socket')")
    status, _, err = finished(start("-c", code))
    assert status == 1
    assert "BrokenPipeError: a socket" in err


@pytest.mark.slow
def test_commands_and_experiments_are_such_programs():
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    commands = [
        start("-m", "jresnet", "list", **ascii_only),
        start("-m", "experiments.identity_init", "--help", **ascii_only),
    ]
    for status, out, err in map(finished, commands):
        assert (status, err) == (0, "")
        assert len(out) > 1000
    for words in (["jresnet", "list"], ["experiments.degradation", "--help"]):
        assert without_reader(start("-m", *words)) == (141, "")


@pytest.mark.parametrize(
    ("gone", "status", "said"), [(True, 141, ""), (False, 1, "error: a socket\n")]
)
def test_a_training_whose_reader_goes_away_ends_as_quietly(gone, status, said, monkeypatch, capfd):
    def broken(*arguments):
        raise BrokenPipeError("a socket")

    monkeypatch.setattr("jresnet.run.launch.run", broken)
    monkeypatch.setattr("jresnet.runtime.terminal.reader_gone", lambda: gone)
    with pytest.raises(SystemExit) as stop:
        launch(cifar10, [])
    assert (stop.value.code, capfd.readouterr().err) == (status, said)


def test_log_lines_show_names_and_stay_lines():
    record = logging.LogRecord(
        "x", logging.WARNING, "", 0, "%s is\nbroken", ("\x1b[2J\udcff",), None
    )
    formatted = LogLines("%(levelname)s: %(message)s").format(record)
    assert formatted == "WARNING: \\x1b[2J\\xff is\nbroken"


@pytest.mark.slow
def test_a_run_in_a_folder_of_a_hostile_name(tmp_path, capfd):
    """Its closing line, the listing, the comparison and their pages show the name and obey nothing."""
    folder = tmp_path / "\x1b[31m$\\frac$ <b>"
    arguments = ["--dataset", "digits", "--depth", "8", "--smoke", "--devices", "1"]
    launch(cifar10, [*arguments, "--workdir", str(folder)])
    main(["runs", str(tmp_path)])
    main(["compare", str(folder), "--out", str(tmp_path / "page.html")])
    printed = "".join(capfd.readouterr())
    assert "\x1b" not in printed
    assert printed.count(r"\x1b[31m$\frac$ <b>") >= 3
    for page in (folder / "report.html", tmp_path / "page.html"):
        assert r"\x1b[31m$\frac$ &lt;b&gt;" in page.read_text()
