"""The machine under a run: XLA flags, the platform, versions.

Nothing here runs at import; `launch` and the command line call it before jax meets a device.
"""

import hashlib
import importlib.metadata
import logging
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import filelock
import jax
import jax.numpy as jnp
import numpy as np

from jresnet.errors import UsageError
from jresnet.runtime.private import open_to_others, remove_foreign

log = logging.getLogger(__name__)

# jaxlib 0.10.2 computes some fused CPU reductions wrongly (jax issue 39103). An empty list of
# YNNPACK fusions makes it right and was faster too. Later jaxlibs know the flag up to here; an
# unknown flag would abort the process.
CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type="
_FLAG_KNOWN = ((0, 10, 2), (0, 12))
CACHE_BYTES = 4 * 2**30
VECTORS = ("avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")  # the widest first
FILES = 64  # a run with few workers has about 30 open at once


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
        backend = jax.default_backend()
    except RuntimeError as error:  # JAX_PLATFORMS, or a driver that another process holds
        raise UsageError(
            f"jax {jax.__version__} finds no device (platform {wanted!r}, JAX_PLATFORMS "
            f"{os.environ.get('JAX_PLATFORMS')!r}): {error}"
        ) from error
    if wanted is not None and backend != wanted:
        raise UsageError(
            f"platform={wanted!r}: expected {backend!r}, all that jax {jax.__version__} finds here; "
            "leave --platform out, or install the extra for it (jresnet[cuda], jresnet[tpu])"
        )


def check_file_limit() -> None:
    """Raises UsageError if this process may open so few files that something in it would hang."""
    try:
        import resource
    except ImportError:  # no Unix
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < FILES:
        raise UsageError(
            f"open files {limit}: expected a limit of at least {FILES}; raise it by ulimit -n 1024"
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
    """Versions of Python and of the packages that compute or read: a result depends on them."""
    names = ("jresnet", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain",
             "tensorflow-datasets", "numpy")  # fmt: skip
    numbers = {"python": platform.python_version()}
    for name in names:
        try:
            numbers[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            numbers[name] = "not installed"
    return numbers


def hardware() -> str:
    """One line: devices and their kind; CPU cores, their model and vector instructions."""
    kinds = {device.device_kind for device in jax.devices()}
    described = f"{jax.device_count()} x {', '.join(sorted(kinds))}; {os.cpu_count()} CPU cores"
    return f"{described} ({processor})" if (processor := cpu_model()) else described


def cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor and its widest vector instructions, as `AMD EPYC, AVX2`; empty if not told.

    XLA compiles for these instructions, so losses of the same run differ between processors in
    their last bits, and after many steps in more.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    told: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    flags = told.get("flags", told.get("Features", "")).split()
    vectors = next((known.upper() for known in VECTORS if known in flags), "")
    return ", ".join(part for part in (told.get("model name", ""), vectors) if part)


def git_commit(folder: Path) -> str | None:
    """The commit checked out around `folder`, followed by `+` if files changed; None outside git."""
    try:
        answer = subprocess.run(
            [
                "git",
                "--no-optional-locks",
                "describe",
                "--always",
                "--dirty=+",
                "--abbrev=12",
                "--exclude=*",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def prepare() -> None:
    """For commands that compute and keep no programs of their own, before jax meets a device."""
    set_cpu_flag()
    if _config().jax_compilation_cache_dir:
        keep_compiled()


def keep_compiled() -> Path | None:
    """Keep what jax compiles for later processes; the folder, None where none is used.

    A cached program is run as it is, so the folder is in the user's own cache, private to the
    user, and one for each jaxlib and kind of processor: XLA's programs for one CPU may not run on
    another. JAX_COMPILATION_CACHE_DIR takes its place, JAX_ENABLE_COMPILATION_CACHE=0 turns it off
    and JAX_COMPILATION_CACHE_MAX_SIZE bounds it otherwise than by 4 GiB. Whichever it is, it is
    left aside if others can write to it, and programs in it that another user wrote are removed.
    """
    config = _config()
    chosen = config.jax_compilation_cache_dir
    if not config.jax_enable_compilation_cache or "://" in (chosen or ""):
        return None  # a bucket has no owners that we could ask for
    try:
        folder = Path(chosen) if chosen else _cache_folder()
        _make_safe(folder)
        if not chosen:
            _tidy(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        log.warning("compiled programs are not kept: %s", error)
        jax.config.update("jax_compilation_cache_dir", None)
        return None
    if chosen:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if config.jax_compilation_cache_max_size == -1:
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    return folder


def _config() -> Any:
    return jax.config  # whose fields no type checker knows


def _make_safe(folder: Path) -> None:
    """Raises PermissionError if others can change the folder; removes programs that they wrote."""
    if reason := open_to_others(folder):
        raise PermissionError(reason)
    folder.mkdir(0o700, parents=True, exist_ok=True)
    if removed := remove_foreign(folder, "*-cache"):
        count = len(removed)
        log.warning("%d programs were removed that others wrote: %s, ...", count, removed[0])


def _cache_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "jresnet" / f"{importlib.metadata.version('jaxlib')}-{_processor()}"


def _tidy(folder: Path) -> None:
    """Removes what a process left half written that was killed: jax would trip over it for ever."""
    with filelock.FileLock(folder / ".lockfile", timeout=10):
        for program in folder.glob("*-cache"):
            # jax writes this one last.
            if not program.with_name(program.name.removesuffix("cache") + "atime").exists():
                program.unlink()


def _processor() -> str:
    """Tells CPUs apart that differ in what they can execute."""
    known = [platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []  # no Linux
    for word in ("model name", "flags", "Features"):
        known += [line for line in lines if line.startswith(word)][:1]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]
