"""The wheel: every module and page is in it, and its experiments run where only it is installed."""

import fnmatch
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def wheel_files():
    """Files below the folders that setuptools finds: those with __init__.py, of a name that is included."""
    include = SETUPTOOLS["packages"]["find"]["include"]
    files = set()
    for init in ROOT.glob("*/**/__init__.py"):
        folder = init.parent
        name = ".".join(folder.relative_to(ROOT).parts)
        if any(fnmatch.fnmatch(name, pattern) for pattern in include):
            patterns = ["*.py", *SETUPTOOLS["package-data"].get(name, [])]
            files |= {path for pattern in patterns for path in folder.glob(pattern)}
    return files


def test_all_of_jresnet_and_the_experiments_is_in_the_wheel():
    there = {
        path
        for package in ("jresnet", "experiments")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wheel_files() == there
    assert ROOT / "jresnet/report/report.html" in there


@pytest.mark.slow
def test_an_experiment_runs_where_only_the_wheel_is_installed(tmp_path):
    """From another folder, without data, and without a home that can be written."""
    for file in wheel_files():
        copy = tmp_path / "site" / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (tmp_path / "here").mkdir()
    environment = {**os.environ, "HOME": "/proc/nothing", "PYTHONPATH": str(tmp_path / "site")}
    for name in ("TFDS_DATA_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "experiments.degradation", "--smoke", "--depths", "8"],
        cwd=tmp_path / "here",
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "atplotlib" not in done.stderr
    assert (tmp_path / "here" / "runs" / "degradation-depths=8-smoke=True" / "report.html").exists()
