"""Eight fake CPU devices, the XLA flag that makes their reductions right, and quick compilation.

All of it must stand before jax is imported. The suite runs in two processes
(pytest-xdist); what they write lies in a temporary folder of each, but for compiled programs.
"""

import gc
import os
import shutil
import tempfile
from pathlib import Path

from tests.quick import QUICK

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# An axis that is missing is written out where it is meant: a wrong one would go unnoticed.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count=8 {QUICK}"
)
SCRATCH = Path(tempfile.mkdtemp(prefix="jresnet-tests-"))
os.environ["TFDS_DATA_DIR"] = tempfile.mkdtemp(dir=SCRATCH)
# A program that several tests train is compiled once; the first process's folder serves all.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(SCRATCH / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

# Traces are many small objects that live until they are compiled: collecting now and then is enough.
gc.set_threshold(100_000, 50, 100)

import absl.logging  # noqa: E402
import pytest  # noqa: E402

from jresnet.runtime import environment as runtime  # noqa: E402

runtime.set_cpu_flag()

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers that torchvision and timm computed."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"the golden files are not at {folder}")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, so that no process is left with a long one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_unconfigure() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture
def inside(capfd, monkeypatch):
    """Run a command in this process, which has imported everything already and has eight devices."""
    monkeypatch.setenv("COLUMNS", "200")
    verbosity = absl.logging.get_verbosity()

    def run(function, *arguments):
        try:
            status = function([str(argument) for argument in arguments]) or 0
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    yield run
    absl.logging.set_verbosity(verbosity)
