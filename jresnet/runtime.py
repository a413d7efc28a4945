"""The machine under a run: XLA flags, the platform, versions.

Nothing here runs at import; `launch` and the command line call it before jax meets a device.
"""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.errors import UsageError

# jaxlib 0.10.2 computes some fused CPU reductions wrongly (jax issue 39103). An empty list of
# YNNPACK fusions makes it right and was faster too. Later jaxlibs know the flag up to here; an
# unknown flag would abort the process.
CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type="
_FLAG_KNOWN = ((0, 10, 2), (0, 12))


def set_cpu_flag() -> bool:
    """Put `CPU_FLAG` into XLA_FLAGS unless the user set it; True if it stands there.

    Takes effect only before jax initialises its backend.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if CPU_FLAG in flags:
        return True
    version = tuple(int(part) for part in jax.__version__.split(".")[:3] if part.isdigit())
    if not _FLAG_KNOWN[0] <= version or version[:2] > _FLAG_KNOWN[1]:
        return False
    os.environ["XLA_FLAGS"] = f"{flags} {CPU_FLAG}".strip()
    return True


def require_platform(wanted: str | None) -> None:
    """Initialise the backend; raise UsageError if it is not the `wanted` one (cpu, gpu, tpu)."""
    if wanted == "cpu":
        jax.config.update("jax_platforms", "cpu")
    try:
        found = jax.default_backend()
    except RuntimeError as error:  # JAX_PLATFORMS, or a driver that another process holds
        raise UsageError(
            f"jax {jax.__version__} finds no device (platform {wanted!r}, JAX_PLATFORMS "
            f"{os.environ.get('JAX_PLATFORMS')!r}): {error}"
        ) from error
    if wanted is not None and found != wanted:
        raise UsageError(
            f"platform {wanted!r} is not at hand: jax {jax.__version__} found only {found!r}; "
            "leave --platform out, or install the extra for it (jresnet[cuda], jresnet[tpu])"
        )


def cpu_miscompiles() -> bool:
    """Whether this process computes jax issue 39103's sum of squares wrongly under `jit`."""
    if jax.default_backend() != "cpu":
        return False
    n = 32769
    x = np.zeros((n, 3), np.float32)
    x[:, 0] = np.arange(n)

    def squares(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))(x)

    return float(jax.jit(squares)(x)[-1]) != float((n - 1) ** 2)


def versions() -> dict[str, str]:
    """What a result depends on: versions of Python and of the packages that compute or read."""
    names = ("jresnet", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain",
             "tensorflow-datasets", "numpy")  # fmt: skip
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware() -> str:
    """One line: devices and their kind, CPU cores."""
    kinds = {device.device_kind for device in jax.devices()}
    return f"{jax.device_count()} x {', '.join(sorted(kinds))}; {os.cpu_count()} CPU cores"


def git_commit(folder: Path) -> str | None:
    """The commit checked out around `folder`, `+` behind it if files changed; None outside git."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
