"""Eight fake CPU devices, the XLA flag that makes their reductions right, and quick compilation.

All of it must stand before jax meets its backend.
"""

import os
import tempfile
from pathlib import Path

from jresnet import runtime

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    # Most of the suite's time is compilation; convolutions and products are precompiled kernels.
    + " --xla_backend_optimization_level=0"
)
runtime.set_cpu_flag()
os.environ["TFDS_DATA_DIR"] = tempfile.mkdtemp(prefix="jresnet-tests-")

import pytest  # noqa: E402

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers that torchvision and timm computed."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"the golden files are not at {folder}")
    return folder
