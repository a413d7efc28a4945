"""A run whose folder lies in an object store: killed, resumed, listed, compared, predicted from."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jresnet.__main__ import main
from jresnet.run.command_line import RunOptions, defaults
from jresnet.run.launch import run
from jresnet.storage import read_json
from jresnet.store.copy import MARKER, copied
from jresnet.weights.run import read_meta, steps_in
from tests.commands.conftest import write_image
from tests.killable import killable
from tests.quick import QUICK
from tests.runtime.test_distributed import alone, finished, losses, processes
from tests.stores import environment

ROOT = Path(__file__).parents[2]
CHANGES = {"steps": 20, "every": 10, "only": "whole"}


def trained(workdir):
    """The closing line of the run, in this process, on one device."""
    options = RunOptions(workdir=workdir, devices=1)
    return run(killable, defaults(killable) | CHANGES, options)


def killed(place, proxy, tmp_path):
    """The same run in a process of its own, killed once its second checkpoint is whole there."""
    flags = [str(word) for name, value in CHANGES.items() for word in (f"--{name}", value)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.killable", "--workdir", place, "--devices", "1", *flags],
        cwd=ROOT,
        env={**os.environ, **environment(place[:2], proxy.url)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not any(f"checkpoints/8/{MARKER}" in request for request in proxy.requests):
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()[0]
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_run_in_a_store_that_is_killed_ends_as_if_undisturbed(store, tmp_path, capfd):
    place, proxy = store
    assert f"--xla_force_host_platform_device_count=8 {QUICK}" in os.environ["XLA_FLAGS"]
    trained(tmp_path / "undisturbed")
    number = itertools.count()
    proxy.fault = lambda request: 0 if next(number) % 13 == 7 else None
    killed(f"{place}/runs/a", proxy, tmp_path)
    assert proxy.faults
    half = copied(f"{place}/runs/a")
    assert not (half / "whole" / "result.json").exists()
    assert 8 in steps_in(half / "whole" / "checkpoints")
    line = trained(Path(f"{place}/runs/a"))
    assert line == trained(tmp_path / "undisturbed")

    one, two = tmp_path / "undisturbed" / "whole", copied(f"{place}/runs/a") / "whole"
    assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    metrics = [read_json(folder / "result.json")["metrics"] for folder in (one, two)]
    assert metrics[0] == metrics[1]
    assert steps_in(one / "checkpoints") == steps_in(two / "checkpoints")
    sums = [read_meta(folder / "checkpoints" / "20")["crc32"] for folder in (one, two)]
    assert sums[0] == sums[1]
    reads_from(place, tmp_path, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_two_processes_that_share_no_disk_stop_and_go_on(store, tmp_path):
    place, proxy = store
    flags = ("--steps", "40", "--every", "10", "--only", "whole")
    first = processes(2, f"{place}/run", *flags)
    while not any(f"checkpoints/4/{MARKER}" in request for request in proxy.requests):
        time.sleep(0.01)
        assert first.poll() is None, first.communicate()[0]
    first.send_signal(signal.SIGTERM)
    finished(first)
    newest = steps_in(copied(f"{place}/run") / "whole" / "checkpoints")[0]
    assert 4 <= newest < 40
    finished(processes(2, f"{place}/run", *flags))
    alone(tmp_path / "alone", steps=40, every=10, only="whole")
    folder = copied(f"{place}/run")
    assert losses(folder, "whole", 1e-3) == losses(tmp_path / "alone", "whole", 1e-3)
    assert steps_in(folder / "whole" / "checkpoints")[0] == 40


def reads_from(place, tmp_path, capfd):
    """`runs`, `compare` and `predict` on the folders in the store."""
    capfd.readouterr()
    assert main(["runs", f"{place}/runs", "--trainings"]) == 0
    listed = capfd.readouterr().out
    assert "finished" in listed
    assert "whole" in listed
    page = tmp_path / "page.html"
    assert main(["compare", f"{place}/runs/a", "--out", str(page)]) == 0
    assert "whole" in page.read_text()
    write_image(tmp_path / "a.png")
    assert main(["predict", f"{place}/runs/a/whole", str(tmp_path / "a.png")]) == 0
    assert "a.png" in capfd.readouterr().out
    assert main(["runs", f"{place}/nothing"]) == 2
    error = capfd.readouterr().err
    assert error == f"error: {place}/nothing: nothing is there; expected a file or a folder\n"
