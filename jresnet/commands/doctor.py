"""`python -m jresnet doctor`: what is here, what is wrong, what is missing and how to get it."""

import importlib.util
import os
import shutil
from pathlib import Path

import jax

from jresnet.data.sources.digits import prepare
from jresnet.data.sources.resolve import default_data_dir, open_split
from jresnet.errors import UsageError
from jresnet.native import library
from jresnet.runtime import environment as runtime

OPTIONAL = {
    "simplejpeg": ("faster JPEG decoding", "pip install simplejpeg"),
    "tensorflow": ("preparing TFDS sets whose builders need it", "pip install tensorflow-cpu"),
    "pytest": ("the tests", "pip install -e '.[test]'"),
}
KNOWN_SETS = ("digits", "cifar10", "cifar100", "imagenet2012")


def examine() -> int:
    """Print the findings; 1 if something is broken, 0 otherwise. Missing extras break nothing."""
    broken = [*_versions(), *_devices(), *_data()]
    _optional()
    for problem in broken:
        print(f"BROKEN: {problem}")
    print("nothing is broken" if not broken else f"{len(broken)} problem(s)")
    return 1 if broken else 0


def _versions() -> list[str]:
    versions = runtime.versions()
    print("versions  " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    commit = runtime.git_commit(Path(__file__).parent)
    print(f"commit    {commit or 'not a git checkout'}")
    return [
        f"{name} is not installed: pip install jresnet"
        for name, version in versions.items()
        if version == "not installed" and name != "jresnet"
    ]


def _devices() -> list[str]:
    raw = runtime.cpu_miscompiles()
    flag = runtime.CPU_FLAG in os.environ.get("XLA_FLAGS", "")
    print(f"devices   {runtime.hardware()} ({jax.default_backend()})")
    print(f"XLA_FLAGS {os.environ.get('XLA_FLAGS') or 'none'}")
    if raw:
        advice = "which stands there and does not help" if flag else "which jresnet's launches set"
        print(
            "jaxlib    computes some fused CPU reductions wrongly (jax issue 39103) without "
            f"XLA_FLAGS={runtime.CPU_FLAG} {advice}"
        )
    else:
        print("jaxlib    computes the reductions of jax issue 39103 rightly here")
    print(f"oneDNN    {_onednn()}")
    return ["jaxlib computes wrongly even with the flag set"] if raw and flag else []


def _onednn() -> str:
    """Whether convolutions on this CPU are oneDNN's."""
    try:
        if not library.asked():
            return f"not asked for: {library.ASKED}=1 has it compute convolutions on CPUs"
    except UsageError as error:
        return f"not used: {error}"
    reason = library.problem()
    return f"not used: {reason}" if reason else f"computes convolutions: {library.build()}"


def _data() -> list[str]:
    folder = default_data_dir()
    print(f"data      {folder}" + ("" if folder.exists() else " (not there yet)"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder)
    except OSError as error:
        return [f"data folder {folder} cannot be written ({error.strerror}): set TFDS_DATA_DIR"]
    print(f"          {shutil.disk_usage(folder).free / 2**30:.1f} GiB free")
    for name in KNOWN_SETS:
        try:
            size = len(open_split(name, "train", encoded=True))
            print(f"          {name}: {size:,} training examples")
        except UsageError as error:
            print(f"          {name}: {error}")
    return []


def _optional() -> None:
    for module, (use, command) in OPTIONAL.items():
        here = importlib.util.find_spec(module) is not None
        print(f"optional  {module}: " + ("here" if here else f"missing, for {use}: {command}"))
