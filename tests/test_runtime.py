"""The XLA flag, and the miscompilation it is for (jax issue 39103)."""

import os
import subprocess
import sys
from pathlib import Path

import jax

from jresnet import runtime

ROOT = Path(__file__).parents[1]


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_this_suite_computes_rightly():
    assert not runtime.cpu_miscompiles()


def test_the_guard_sees_what_the_flag_cures():
    """If the first half fails on a new jaxlib, that one no longer needs the flag: note it."""
    code = "from jresnet import runtime; print(runtime.cpu_miscompiles())"
    if jax.__version__ == "0.10.2":
        assert python(code, XLA_FLAGS="") == "True"
    with_flag = f"from jresnet import runtime; runtime.set_cpu_flag(); {code}"
    assert python(with_flag, XLA_FLAGS="") == "False"


def test_a_flag_the_user_set_stays():
    code = (
        "import os; from jresnet import runtime; runtime.set_cpu_flag(); runtime.set_cpu_flag(); "
        "print(os.environ['XLA_FLAGS'])"
    )
    flags = python(code, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert flags.startswith("--xla_force_host_platform_device_count=2")
    assert flags.count(runtime.CPU_FLAG) <= 1


def test_versions_name_what_computes():
    assert runtime.versions()["jax"] == jax.__version__
    assert "not installed" not in runtime.versions().values()


def test_a_folder_outside_git_has_no_commit(tmp_path):
    assert runtime.git_commit(tmp_path) is None


def test_a_platform_that_is_not_there_is_refused_and_not_replaced():
    code = (
        "from jresnet import runtime; from jresnet.errors import UsageError\n"
        "try: runtime.require_platform('tpu')\n"
        "except UsageError as error: print(error)"
    )
    assert "platform 'tpu' is not at hand" in python(code, JAX_PLATFORMS="cpu")
    assert "finds no device (platform 'tpu'" in python(code, JAX_PLATFORMS="tpu")
