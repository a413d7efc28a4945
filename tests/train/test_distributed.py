"""Several processes: who takes part, who is missing, and one result on any topology."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jresnet.errors import UsageError
from jresnet.experiment import RunOptions, run
from jresnet.train.distributed import Processes, find_membership
from jresnet.train.roll_call import Membership, call_roll
from tests.killable import killable
from tests.quick import QUICK
from tests.test_experiments import defaults

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def roll(count, come, timeout=30.0, address=None, claims=None):
    """What each process that comes is told."""
    address = address or f"localhost:{free_port()}"

    def one(index):
        try:
            call_roll(Membership(address, (claims or {}).get(index, count), index), timeout)
        except (TimeoutError, UsageError) as error:
            return str(error)
        return "all came"

    with ThreadPoolExecutor(len(come)) as pool:
        return dict(zip(come, pool.map(one, come), strict=True))


def test_all_come_in_any_order_and_the_port_is_free_again():
    address = f"localhost:{free_port()}"
    for _ in range(2):
        assert roll(4, [2, 1, 0, 3], address=address) == dict.fromkeys([2, 1, 0, 3], "all came")
    socket.create_server(("localhost", int(address.split(":")[1]))).close()


def test_everyone_is_told_who_did_not_come():
    answers = roll(4, [0, 2], timeout=1.0)
    assert answers[0] == answers[2]
    assert "processes 1, 3 of 4 did not come to localhost:" in answers[0]
    assert answers[0].endswith("within 1 s")


def test_without_process_0_the_others_say_so():
    answer = roll(3, [2], timeout=0.5)[2]
    assert answer.startswith("process 0 of 3 did not come within 0.5 s: process 2 gets no answer")


def test_one_that_came_and_died_counts_as_missing():
    port = free_port()

    def come_and_die():
        while True:
            try:
                with socket.create_connection(("localhost", port)) as connection:
                    connection.sendall(b"1 3\n")
                return
            except ConnectionRefusedError:
                time.sleep(0.01)

    threading.Thread(target=come_and_die).start()
    assert "process 1 of 3 did not" in roll(3, [0, 2], 1.5, f"localhost:{port}")[0]


def test_contradictions_end_the_roll_at_once():
    answers = roll(3, [0, 1], claims={1: 2})
    assert answers[0] == answers[1]
    assert answers[0].startswith("process 1 has num_processes 2, process 0 has 3")


def test_a_taken_port_is_named():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert (
            f"localhost:{port}': process 0 cannot listen" in roll(2, [0], 1, f"localhost:{port}")[0]
        )


SLURM = {
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_NODELIST": "node[003-006]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}


def test_the_place_comes_from_flags_then_the_environment_then_detection(monkeypatch):
    assert find_membership(Processes(), {}) is None
    given = {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "1"}
    assert find_membership(Processes(), given) == Membership("a:1", 3, 1)
    assert find_membership(Processes(process_id=0), given) == Membership("a:1", 3, 0)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    detected = find_membership(Processes(), {})
    assert detected is not None
    assert (detected.endpoint[0], detected.count, detected.index) == ("node003", 4, 2)
    assert find_membership(Processes(num_processes=1), {}) is None


@pytest.mark.parametrize(
    ("given", "environment", "words"),
    [
        (Processes(num_processes=2), {}, "coordinator_address, process_id missing: .* go together"),
        (Processes("here", 2, 0), {}, "coordinator_address 'here': expected host:port"),
        (Processes("a:1", 2, 2), {}, "process_id 2: expected 0 to 1"),
        (Processes("a:1", 0, 0), {}, "num_processes=0: expected 1 or more"),
        (Processes(), {"JAX_PROCESS_ID": "x"}, "JAX_PROCESS_ID='x': expected a whole number"),
    ],
)
def test_half_a_place_is_refused(given, environment, words):
    with pytest.raises(UsageError, match=words):
        find_membership(given, environment)


def processes(count, folder, *arguments, devices=1):
    """The killable study in `count` processes on this machine."""
    return subprocess.Popen(
        [sys.executable, "launch/local.py", str(count), "--devices", str(devices), "--",
         sys.executable, "-m", "tests.killable", "--workdir", folder, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": QUICK},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def finished(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return out


def alone(folder, **arguments):
    """The same study in this process, on one device."""
    run(killable, defaults(killable) | arguments, RunOptions(workdir=folder, devices=1))


def losses(folder, name, tolerance=1e-5):
    found = [json.loads(line) for line in (folder / name / "metrics.jsonl").open()]
    return [(r["step"], r["split"], pytest.approx(r["loss"], rel=tolerance)) for r in found]


@pytest.mark.slow
def test_processes_and_devices_give_one_result(tmp_path):
    alone(tmp_path / "1", only="whole")
    out = finished(processes(2, tmp_path / "8", "--only", "whole", devices=4))
    assert losses(tmp_path / "8", "whole") == losses(tmp_path / "1", "whole")
    # The first process alone writes and prints.
    assert {line[:3] for line in out.splitlines() if "loss" in line} == {"[0]"}
    assert len(list(tmp_path.glob("8/whole/events.*"))) == 1


@pytest.mark.slow
def test_sigterm_to_one_of_two_stops_both_and_one_goes_on(tmp_path):
    arguments = {"steps": 300, "every": 100, "only": "groups"}
    alone(tmp_path / "1", **arguments)
    flags = [str(word) for name, value in arguments.items() for word in (f"--{name}", value)]
    both = processes(2, tmp_path / "2", *flags)
    timing = tmp_path / "2" / "groups" / "timing.jsonl"
    while not (timing.exists() and "images" in timing.read_text()):
        time.sleep(0.02)
        assert both.poll() is None
    children = Path(f"/proc/{both.pid}/task/{both.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGTERM)
    assert "[0] stopped by SIGTERM; step" in finished(both)
    assert not (tmp_path / "2" / "groups" / "result.json").exists()
    first = losses(tmp_path / "2", "groups", tolerance=1e-4)[0]
    assert first == losses(tmp_path / "1", "groups", tolerance=1e-4)[0]
    alone(tmp_path / "2", **arguments)
    one, two = (losses(tmp_path / where, "groups", tolerance=0.1) for where in ("1", "2"))
    assert two == one  # so loosely because the order of additions tells more with every step
