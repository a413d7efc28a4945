"""The command line of experiments: help, errors in one line, exit status, nothing overwritten."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments.cifar10 import cifar10
from experiments.degradation import degradation
from experiments.finetune import finetune
from experiments.width_depth import width_depth
from jresnet.data.pipeline import ImageData
from jresnet.data.sources import digits
from jresnet.data.sources.resolve import default_data_dir
from jresnet.errors import UsageError
from jresnet.run import readiness
from jresnet.run.command_line import RunOptions, defaults
from jresnet.run.launch import launch, run
from jresnet.runtime.mesh import make_mesh
from tests.shell import command

ROOT = Path(__file__).parents[1]


def launcher(function):
    return lambda arguments: launch(function, arguments)


def refused(done, words, tmp_path):
    status, _, error = done
    assert status == 2
    assert all(word in error for word in words), error
    assert "Traceback" not in error
    if "error: " in words[0]:
        assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dept", "20"], ["Unrecognized options: --dept", "--depths"]),
        (["--depths", "21"], ["error: depth 21 is not 6n+2: take one of 20, 32, 44, 56, 110"]),
        (["--devices", "3"], ["error: devices=3: expected 1 to 1"]),
    ],
)
def test_bad_input_gets_one_line_and_starts_nothing(arguments, words, tmp_path):
    done = command("experiments.degradation", "--workdir", tmp_path / "run", *arguments)
    refused(done, words, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "many"], ["--steps", "many"]),
        (["--dataset", "cifar10"], ["error: ", "cifar10", "not prepared", "tfds build cifar10"]),
        (["--dataset", "cifar11"], ["error: ", "cifar11", "cifar10"]),
        (["--dataset", "./nowhere"], ["error: ", "./nowhere", "no such folder"]),
        (["--batch-size", "2000"], ["error: batch_size=2000", "1500"]),
        (["--steps", "0"], ["error: steps=0: expected a whole number from 1"]),
        (["--platform", "tpu"], ["error: platform='tpu': expected 'cpu', all that jax"]),
    ],
)
def test_more_bad_input(arguments, words, inside, tmp_path):
    run = launcher(degradation)
    refused(inside(run, "--workdir", tmp_path / "run", *arguments), words, tmp_path)


def test_help_names_every_flag_and_the_paper():
    status, printed, _ = command("experiments.cifar10", "--help")
    assert status == 0
    for word in (
        "--depth",
        "--residual, --no-residual",
        "--workdir",
        "--smoke",
        "arXiv:1512.03385",
    ):
        assert word in printed


TINY = ["--dataset", "digits", "--depth", "8", "--steps", "8", "--batch-size", "16"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-norm-group", "5"], "batch of 16 is not a multiple of BatchNorm group 5"),
        (["--batch-norm-group", "16", "--accumulate", "2"], "batch of 8 is not a multiple of"),
        (["--accumulate", "3"], "accumulate=3: expected a divisor of batch_size=16"),
        (["--batch-size", "1600"], "batch_size=1600: 'digits' has only 1500"),
        (["--batch-size", "12"], "batch_size=12: expected a multiple of the 8 devices"),
        (["--steps-per-dispatch", "3"], "expected a multiple of steps_per_dispatch=3"),
        (["--workdir", ""], "workdir='': expected a value"),
        (["--workdir="], "workdir='': expected a value"),
        (["--workdir", "az://bucket/run"], "workdir=az://bucket/run: expected a path"),
    ],
)
def test_everything_is_checked_before_a_folder_is_made(arguments, words, inside, tmp_path):
    done = inside(launcher(cifar10), *TINY, "--workdir", tmp_path / "run", *arguments)
    refused(done, ["error: ", words], tmp_path)


def test_a_file_in_place_of_the_workdir(inside, tmp_path):
    (tmp_path / "file").write_text("mine")
    status, _, error = inside(launcher(cifar10), *TINY, "--workdir", tmp_path / "file")
    assert (status, "expected a folder, a file is there" in error) == (2, True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_a_corrected_command_runs_and_what_is_finished_is_not_checked_again(
    inside, tmp_path, monkeypatch
):
    arguments = [*TINY, "--smoke", "--workdir", tmp_path / "run"]
    assert inside(launcher(cifar10), *arguments, "--batch-norm-group", "5")[0] == 2
    assert inside(launcher(cifar10), *arguments)[0] == 0
    monkeypatch.setattr("jresnet.run.readiness.check", None)
    assert inside(launcher(cifar10), *arguments)[0] == 0


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (cifar10, {"family": "wrn", "batch_size": 60_000}, "batch_size=60000: 'digits' has only"),
        (width_depth, {"nets": ("16-0",)}, "nets=16-0: expected depth-k, such as 28-10"),
        (finetune, {"width": 3}, "width=3: expected none, the net cifar_resnet has no width"),
        (cifar10, {"family": "resnext", "depth": 3}, "depth 3: the CIFAR ResNeXt"),
    ],
)
def test_arguments_that_make_no_net_or_no_epoch(function, arguments, words, tmp_path):
    values = {**defaults(function), "dataset": "digits", **arguments}
    with pytest.raises(UsageError, match=words):
        run(function, values, RunOptions(workdir=tmp_path / "run", devices=1))
    assert not list(tmp_path.iterdir())


def test_a_study_reads_each_set_and_traces_each_net_once(monkeypatch):
    nets, counted = [], []
    monkeypatch.setattr(ImageData, "check", lambda self: counted.append(self.seed))
    study = degradation(depths=(8, 14), seeds=3, batch_size=16)
    trace = jax.eval_shape
    monkeypatch.setattr(jax, "eval_shape", lambda *args: nets.append(args) or trace(*args))
    runs = study.runs.values()
    readiness.check([(run.task, run.data, run.plan) for run in runs], make_mesh(1))
    assert len(runs) == 12
    assert counted == [0]
    assert len(nets) == 2 * 4  # a key and a net, for plain and residual nets of two depths


def test_a_diverging_run_gives_one_line(inside, tmp_path):
    arguments = [*TINY, "--devices", "1", "--learning-rate", "1e30"]
    status, _, error = inside(launcher(cifar10), *arguments, "--workdir", tmp_path / "run")
    assert status == 1
    assert "error: the loss is" in error
    assert "at step" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_full_disk_gives_one_line(tmp_path):
    digits.prepare(default_data_dir())
    # The largest file a process may write stands in for a disk that is full.
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
        "sys.argv[0] = 'x'; runpy.run_module('experiments.cifar10', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *TINY, "--workdir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "", "JAX_ENABLE_COMPILATION_CACHE": "false"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    # tensorstore's threads add tracebacks of their own; a disk that is really full is met before.
    assert re.search(r"^error: cannot write checkpoints in .*: File too large$", done.stderr, re.M)


def test_a_folder_that_cannot_be_written_is_named(inside):
    status, _, error = inside(launcher(degradation), "--workdir", "/proc/run")
    assert status == 1
    assert error.startswith("error: ")
    assert "/proc/run" in error
    assert len(error.strip().splitlines()) == 1
