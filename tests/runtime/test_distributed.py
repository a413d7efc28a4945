"""Several processes: who takes part, who is missing, and one result on any topology."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.runtime.distributed import Processes, find_membership
from jresnet.runtime.roll_call import Membership
from jresnet.storage import read_json
from jresnet.train.loop import Interrupted
from jresnet.weights.run import read_fields, steps_in
from tests.commands.conftest import write_image
from tests.data.box_folders import coco
from tests.killable import killable
from tests.quick import QUICK
from tests.tasks import identities
from tests.test_experiments import defaults
from tests.train.detecting import detecting
from tests.train.sharded import sharded

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


SLURM = {
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_NODELIST": "node[003-006]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}


def test_the_place_comes_from_flags_then_the_environment_then_detection(monkeypatch):
    assert find_membership(Processes(), {}) is None
    told = {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "1"}
    assert find_membership(Processes(), told) == Membership("a:1", 3, 1)
    assert find_membership(Processes(process_id=0), told) == Membership("a:1", 3, 0)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    detected = find_membership(Processes(), {})
    assert detected is not None
    assert (detected.endpoint[0], detected.count, detected.index) == ("node003", 4, 2)
    assert find_membership(Processes(num_processes=1), {}) is None


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        (Processes(num_processes=2), {}, "coordinator_address, process_id missing: .* go together"),
        (Processes("here", 2, 0), {}, "coordinator_address=here: expected host:port"),
        (Processes("a:1", 2, 2), {}, "process_id=2: expected 0 to 1"),
        (Processes("a:1", 0, 0), {}, "num_processes=0: expected 1 or more"),
        (Processes(), {"JAX_PROCESS_ID": "x"}, "JAX_PROCESS_ID='x': expected a whole number"),
    ],
)
def test_half_a_place_is_refused(flags, environment, words):
    with pytest.raises(UsageError, match=words):
        find_membership(flags, environment)


LEAVE = """
import sys, threading
from jresnet.runtime.distributed import leave
class Waiting(threading.Thread):
    def run(self):
        threading.Event().wait()
Waiting.__module__ = "orbax.checkpoint._src.futures.future"
Waiting().start()
print("said", file=sys.stderr)
leave(1)
"""


def test_a_thread_that_orbax_left_waiting_holds_no_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LEAVE], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (1, "said\n")


def processes(count, folder, *arguments, devices=1, module="tests.killable"):
    """A study, by default the killable one, in `count` processes on this machine."""
    return subprocess.Popen(
        [sys.executable, "launch/local.py", str(count), "--devices", str(devices), "--",
         sys.executable, "-m", module, "--workdir", folder, *map(str, arguments)],
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


def alone(folder, pictures=None, **arguments):
    """The same study in this process, on one device."""
    options = RunOptions(workdir=folder, devices=1, pictures=pictures)
    run(killable, defaults(killable) | arguments, options)


def losses(folder, name, tolerance=1e-5):
    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [(r["step"], r["split"], pytest.approx(r["loss"], rel=tolerance)) for r in records]


def differing(words, folders):
    """Standard error of each of several processes, of which each has words and a folder of its own."""
    address = f"localhost:{free_port()}"
    place = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(len(words))}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**os.environ, "XLA_FLAGS": QUICK, "PYTHONPATH": str(ROOT), **place,
                 "JAX_PROCESS_ID": str(index)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, (arguments, folder) in enumerate(zip(words, folders, strict=True))
    ]  # fmt: skip
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert {process.returncode for process in started} == {2}, errors
    return errors


def test_processes_with_other_arguments_end_with_one_line(tmp_path):
    common = ["tests.killable", "--workdir", str(tmp_path / "run")]
    errors = differing([[*common, "--every", "2"], [*common, "--every", "3"]], [ROOT, ROOT])
    said = "error: process 1 has every=3, process 0 has every=2: expected the same in all\n"
    assert errors == [said, said]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("a/0.png", "b/9.png"), "process 1 has train_names="),
        (("a/0.png", "c/0.png"), "process 1 has classes=a c, "),
        ((), "process 1: dataset='./set': no such folder"),
    ],
)
@pytest.mark.slow
def test_processes_with_other_data_end_with_one_line(files, said, tmp_path):
    for index, present in enumerate((("a/0.png", "b/0.png"), files)):
        (tmp_path / str(index)).mkdir()
        for file in present:
            for split in ("train", "test"):
                write_image(tmp_path / str(index) / "set" / split / file)
    words = ["experiments.cifar10", "--dataset", "./set", "--depth", "8", "--batch-size", "2"]
    words += ["--steps", "2", "--workdir", str(tmp_path / "run")]
    errors = differing([words, words], [tmp_path / "0", tmp_path / "1"])
    assert errors[0] == errors[1]
    assert errors[0].startswith(f"error: {said}")
    assert len(errors[0].splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_processes_and_devices_give_one_result(tmp_path):
    alone(tmp_path / "1", only="whole", pictures=6)
    flags = ("--only", "whole", "--pictures", 6)
    out = finished(processes(2, tmp_path / "8", *flags, devices=4))
    assert losses(tmp_path / "8", "whole") == losses(tmp_path / "1", "whole")
    # The first process alone writes and prints.
    assert {line[:3] for line in out.splitlines() if "loss" in line} == {"[0]"}
    assert len(list(tmp_path.glob("8/whole/events.*"))) == 1
    drawn = [
        [(p["file"], p["index"]) for p in read_json(folder / "pictures.json")["pictures"]]
        for folder in sorted(tmp_path.glob("*/whole/pictures"))
    ]
    assert len(drawn[0]) == 6
    assert drawn[0] == drawn[1]


@pytest.mark.slow
def test_two_processes_detect_as_one(tmp_path):
    """In COCO's layout; of the test split's one image the second process has padding alone."""
    folder = coco(tmp_path / "set")
    run(detecting, {"dataset": folder, "steps": 2}, RunOptions(workdir=tmp_path / "1", devices=1))
    both = processes(2, tmp_path / "2", "--dataset", folder, module="tests.train.detecting")
    finished(both)
    assert losses(tmp_path / "2", "tiny", 1e-3) == losses(tmp_path / "1", "tiny", 1e-3)
    one, two = (
        read_json(tmp_path / where / "tiny" / "result.json")["metrics"]["test"] for where in "12"
    )
    assert {"ap", "ap50/dog", "loss/objectness"} <= one.keys()
    assert two == pytest.approx(one, rel=1e-3, abs=1e-3, nan_ok=True)


def terminate_second(launcher):
    """Send SIGTERM to the second of the launcher's processes."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGTERM)


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
    terminate_second(both)
    assert "[0] stopped by SIGTERM or Ctrl-C; step" in finished(both)
    assert not (tmp_path / "2" / "groups" / "result.json").exists()
    first = losses(tmp_path / "2", "groups", tolerance=1e-4)[0]
    assert first == losses(tmp_path / "1", "groups", tolerance=1e-4)[0]
    alone(tmp_path / "2", **arguments)
    one, two = (losses(tmp_path / where, "groups", tolerance=0.1) for where in ("1", "2"))
    assert two == one  # so loosely because the order of additions tells more with every step


@pytest.mark.slow
def test_a_head_saved_by_two_processes_goes_on_in_one_and_again_in_two(tmp_path, monkeypatch):
    arguments, folder = {"steps": 60, "every": 10}, tmp_path / "2"
    run(sharded, arguments, RunOptions(workdir=tmp_path / "1", devices=1))
    words = ("--steps", 60, "--every", 10, "--model-parallel", 4)
    both = processes(2, folder, *words, devices=2, module="tests.train.sharded")
    checkpoints = folder / "heads" / "checkpoints"
    while not (checkpoints / "10").exists():
        time.sleep(0.02)
        assert both.poll() is None
    terminate_second(both)
    assert "[0] stopped by SIGTERM or Ctrl-C; step" in finished(both)
    newest = steps_in(checkpoints)[0]
    saved = read_fields(checkpoints / str(newest))  # raises if checksums differ
    assert saved["params"]["head"]["kernel"].shape == (identities.FEATURES, identities.CLASSES)
    assert newest < 50

    train = ImageData.train

    def terminating(self, start, host):
        for number, batch in enumerate(train(self, start, host)):
            if number == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    monkeypatch.setattr(ImageData, "train", terminating)
    with pytest.raises(Interrupted, match=f"step {newest + 4} is saved"):
        run(sharded, arguments, RunOptions(workdir=folder, devices=2, model_parallel=2))
    assert not list(checkpoints.glob("*.aside-*"))
    finished(processes(2, folder, *words, devices=2, module="tests.train.sharded"))
    assert not list(checkpoints.glob("*.aside-*"))
    assert losses(folder, "heads", 1e-3) == losses(tmp_path / "1", "heads", 1e-3)
