"""Runs that are killed, or whose disk is full, at one single file-system call of all they make."""

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.ends import assert_same_end
from tests.quick import QUICK

ROOT = Path(__file__).parents[1]
KILL, TORN, FULL = range(3)  # the modes of inject.c
SMALL = ("--steps", "6", "--every", "2", "--only", "whole")  # three saves; the oldest is deleted
PATIENCE = 120.0  # seconds


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@dataclasses.dataclass(frozen=True)
class Ended:
    """The exit status of a run (negative: a signal; None: it hung) and what it printed."""

    status: int | None
    out: str
    err: str


class Runs:
    """Starts small runs quickly; of `started`."""

    def __init__(self, process: subprocess.Popen[str], scratch: Path):
        self.process, self.scratch = process, scratch

    def run(
        self,
        folder: Path,
        at: int | None = None,
        mode: int = KILL,
        command: tuple[str, ...] = SMALL,
    ) -> Ended:
        """A run in `folder`, hit at call number `at`; 0: only counted, None: left alone."""
        out, err, log = (self.scratch / name for name in ("out", "err", "calls"))
        log.unlink(missing_ok=True)
        inject = None if at is None else (str(folder), at, mode, str(log))
        wanted = {"argv": [*command, "--workdir", str(folder)], "out": str(out), "err": str(err)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(
            json.dumps({**wanted, "inject": inject, "patience": PATIENCE}),
            file=self.process.stdin,
            flush=True,
        )
        status = json.loads(self.process.stdout.readline())
        return Ended(status, out.read_text(), err.read_text())

    def calls(self) -> list[str]:
        """`rename /whole/...` of each call that the last run made."""
        log = self.scratch / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split(" ", 1)[1] for line in lines]


@contextlib.contextmanager
def started(scratch: Path) -> Iterator[Runs]:
    """A process that forks runs, with the library that hits them; what it compiles is kept in `scratch`."""
    library, cc = scratch / "inject.so", compiler()
    assert cc is not None
    source = Path(__file__).with_name("inject.c")
    subprocess.run([cc, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked"],
        cwd=ROOT,
        env={
            **clean,
            "LD_PRELOAD": str(library),
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "XLA_FLAGS": QUICK,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Runs(process, scratch)
    finally:
        process.kill()
        process.communicate()


def strike(runs: Runs, folder: Path, reference: Path, at: int, mode: int) -> str | None:
    """Hit a run at one call and run the same command again: it ends as the reference did.

    Returns the call, such as `rename`; None if the run made fewer. Raises AssertionError.
    """
    hit = runs.run(folder, at, mode)
    calls = runs.calls()
    if len(calls) < at:
        assert hit.status == 0, hit.err
        return None
    if mode == FULL:
        assert hit.status == 1, hit
        assert re.fullmatch("error: .*No space left on device.*\n", hit.err), hit.err[:999]
    else:
        assert hit.status == -9, hit
        assert not hit.err, hit.err
    again = runs.run(folder)
    assert again.status == 0, again.err
    assert not again.err, again.err
    assert_same_end(reference, folder)
    return calls[at - 1]


def at_calls(
    scratch: Path, mode: int, every: int = 1, first: int = 1
) -> tuple[collections.Counter[str], list[str]]:
    """`strike` at each call, or at every so manieth from the `first`; by kind, and what went wrong."""
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    with started(scratch) as runs:
        reference = scratch / "undisturbed"
        assert runs.run(reference).status == 0
        for at in itertools.count(first, every):
            folder = scratch / "struck"
            try:
                call = strike(runs, folder, reference, at, mode)
            except AssertionError as error:
                call = (runs.calls() or ["?"])[-1]
                wrong.append(f"call {at}, {call}: {error}")
                print(wrong[-1], flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            if call is None:
                return counts, wrong
            counts[call.split()[0]] += 1
            print(f"call {at} {call}", flush=True)
    raise AssertionError("not reached")
