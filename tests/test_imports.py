"""Importing any module touches no backend and brings no TensorFlow."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import jresnet

ROOT = Path(__file__).parents[1]
MODULES = [m.name for m in pkgutil.walk_packages(jresnet.__path__, "jresnet.")] + [
    f"experiments.{path.stem}" for path in (ROOT / "experiments").glob("[a-z]*.py")
]


def python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_module_touches_a_backend_or_tensorflow():
    peers = "jresnet.benchmark.torch_"  # need torch
    modules = [
        name for name in MODULES if not name.endswith("__main__") and not name.startswith(peers)
    ]
    assert "jresnet.models.zoo" in modules
    assert "experiments.degradation" in modules
    python(
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge._backends, xla_bridge._backends\n"
        "assert 'tensorflow' not in sys.modules and 'torch' not in sys.modules\n"
    )


def test_models_import_jax_and_flax_only():
    found = python(
        "import sys, jax, flax.linen, numpy\nbefore = set(sys.modules)\n"
        "import jresnet.models.zoo\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    assert set(found.split()) <= {"jresnet", "jax", "flax"}


ALLOWED = {
    "analysis": {"analysis", "models", "tasks"},
    "models": {"models"},
    "data": {"data", "errors", "text"},
    "tasks": {"tasks", "models"},
    "train": {"train", "tasks", "data", "models", "errors", "signals", "text"},
    "report": {"report", "errors", "text"},
}


def test_imports_point_one_way():
    for package, allowed in ALLOWED.items():
        for path in (ROOT / "jresnet" / package).rglob("*.py"):
            for line in path.read_text().splitlines():
                if line.startswith("from jresnet."):
                    assert line.split()[1].split(".")[1] in allowed, f"{path}: {line}"
