"""The compiled library: where oneDNN lies, the build on first use, and its name in XLA.

`JRESNET_ONEDNN=1` asks for it. oneDNN 3, built for OpenMP, is looked for in DNNLROOT, then where
the extra `jresnet[onednn]` has put it, then in the system's own folders. The machine's C++ compiler
(CXX, or c++) builds the call once, into JRESNET_CACHE or ~/.cache/jresnet.
"""

import ctypes
import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax

from jresnet import storage
from jresnet.errors import UsageError

ASKED = "JRESNET_ONEDNN"
TARGET = "jresnet_convolution"  # the name of the call in compiled programs, and of its function
HEADER = "oneapi/dnnl/dnnl.hpp"
SOURCES = Path(__file__).parent
WHEEL = "onednn-devel-cpu-gomp"
OPTIONS = ("-O3", "-std=c++17", "-fPIC", "-shared")
log = logging.getLogger(__name__)


class Prefix(NamedTuple):
    """Folders of an installed oneDNN."""

    include: Path
    lib: Path


def asked() -> bool:
    """Whether the environment asks for oneDNN. Raises UsageError if it says neither yes nor no."""
    value = os.environ.get(ASKED, "")
    if value not in ("", "0", "1"):
        raise UsageError(f"{ASKED}={value}: expected 0 or 1")
    return value == "1"


def ready() -> bool:
    """Whether oneDNN computes convolutions: it is asked for, and the library is loaded."""
    return asked() and problem() is None


@functools.cache
def problem() -> str | None:
    """Build the library if it is missing, load it and tell XLA of it; the reason if that fails."""
    try:
        path = build()
        function = getattr(ctypes.CDLL(str(path)), TARGET)
    except (UsageError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        log.warning("%s=1: convolutions stay XLA's: %s", ASKED, reason)
        return reason
    jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(function), platform="cpu")
    return None


def build() -> Path:
    """The library, compiled if it is not in the cache. Raises UsageError if it cannot be."""
    prefix = find()
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(compiler[0]) is None:
        raise UsageError(f"CXX={shlex.join(compiler)}: expected a C++ compiler, such as g++")
    include = Path(jax.ffi.include_dir())
    command = [*compiler, *OPTIONS, str(SOURCES / "convolution.cc")]
    for folder in (include, prefix.include):
        command += ["-isystem", str(folder)]
    command += [f"-L{prefix.lib}", "-ldnnl", f"-Wl,-rpath,{prefix.lib}"]
    folder = safe(storage.cache() / "native")
    path = folder / f"convolution-{fingerprint(command, prefix)}.so"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        part = Path(scratch) / path.name
        done = subprocess.run([*command, "-o", str(part)], capture_output=True, text=True)
        if done.returncode:
            told = ("error", "cannot find")
            lines = [x for x in done.stderr.splitlines() if any(word in x for word in told)]
            raise UsageError(f"{compiler[0]} failed: {(lines or [done.stderr])[0]}")
        part.replace(path)
    return path


def find() -> Prefix:
    """The folders of oneDNN. Raises UsageError if there is none."""
    root = os.environ.get("DNNLROOT")
    if root:
        libs = [Path(root) / name for name in ("lib", "lib64")]
        lib = next((lib for lib in libs if (lib / "libdnnl.so").exists()), libs[0])
        prefix = Prefix(Path(root) / "include", lib)
        if (prefix.include / HEADER).exists():
            return prefix
        raise UsageError(f"DNNLROOT={root}: expected a folder with include/{HEADER}")
    wheel = in_wheel()
    if wheel is not None:
        return wheel
    multiarch = f"{platform.machine()}-linux-gnu"
    for lib in (Path("/usr/local/lib"), Path("/usr/lib64"), Path("/usr/lib") / multiarch):
        include = lib.parent if lib.name != multiarch else lib.parent.parent
        prefix = Prefix(include / "include", lib)
        if (prefix.include / HEADER).exists() and (lib / "libdnnl.so").exists():
            return prefix
    raise UsageError("oneDNN is not installed: pip install 'jresnet[onednn]', or set DNNLROOT")


def in_wheel() -> Prefix | None:
    """The folders of the extra's wheels, None where they are not installed."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.as_posix().endswith(f"include/{HEADER}"):
            include = Path(str(file.locate())).resolve().parents[2]
            return Prefix(include, include.parent / "lib")
    return None


def fingerprint(command: list[str], prefix: Prefix) -> str:
    """Tells builds apart: sources, command, and the versions of oneDNN and of XLA's headers."""
    known = [*command, jax.__version__, platform.machine()]
    files = [*sorted(SOURCES.glob("*.cc")), *sorted(SOURCES.glob("*.h"))]
    files.append(prefix.include / "oneapi/dnnl/dnnl_version.h")
    digest = hashlib.sha256("\0".join(known).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def safe(folder: Path) -> Path:
    """The folder, made if it is missing. Raises UsageError if others may write programs into it."""
    folder.mkdir(0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"{str(folder)!r}: expected a folder that only its user can write")
    return folder
