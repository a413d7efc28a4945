"""A few hundred cases of `python -m tests.fuzz_data`, and that it would tell of a failure."""

import logging
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from jresnet.data import images
from tests import fuzz_data

ROOT = Path(__file__).parents[2]


def test_mutated_files_are_one_line_in_bounded_memory(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with caplog.at_level(logging.ERROR, "jresnet"):
        cases = list(fuzz_data.run(range(600), seed=7))
    assert [case for case in cases if case[-1] is not None] == []
    assert len({kind for _, kind, *_ in cases}) == 6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
    assert capfd.readouterr() == ("", "")


def test_an_exception_of_another_kind_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> None:
        raise NotImplementedError

    monkeypatch.setattr(images, "header", fail)
    (case,) = fuzz_data.run(range(1, 2), seed=7)
    assert case[1] == "picture"
    assert "NotImplementedError" in str(case[-1])


def test_the_cases_are_those_of_the_seed() -> None:
    kinds = fuzz_data.seeds()
    assert fuzz_data.case(4, 1, kinds) == fuzz_data.case(4, 1, kinds) != fuzz_data.case(4, 2, kinds)


@pytest.mark.slow
def test_the_command_counts(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "tests.fuzz_data", *arguments],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip

    done = run("--seconds", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("500 cases: ")
    assert done.stdout.endswith("0 failed\n")
    run("--pictures", str(tmp_path), "--count", "9")
    assert len(list(tmp_path.rglob("*-*.*"))) == 9
