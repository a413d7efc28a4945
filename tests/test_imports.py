"""Importing any module touches no backend and brings no TensorFlow."""

import ast
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
    actual = python(
        "import sys, jax, flax.linen, numpy\nbefore = set(sys.modules)\n"
        "import jresnet.models.zoo\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    assert set(actual.split()) - sys.stdlib_module_names <= {"jresnet", "jax", "flax"}


# What each package may import beside itself: arrows point down only.
BASE = {"errors", "text", "storage", "description", "padding", "extras", "store"}
TRAINED = BASE | {"models", "report", "tasks", "data", "analysis", "weights", "runtime", "train"}
ALLOWED = {
    "errors": set(),
    "text": set(),
    "storage": {"errors"},
    "extras": {"errors"},
    "store": {"errors", "text", "storage", "extras"},
    "description": set(),
    "padding": set(),
    "native": {"errors", "storage"},
    "models": {"native"},
    "report": BASE,
    "tasks": {"errors", "models", "report", "data"},
    "runtime": BASE,
    "data": BASE,
    "analysis": {"models", "tasks", "padding"},
    "weights": BASE | {"models", "data"},
    "train": BASE | {"models", "report", "tasks", "data", "weights", "runtime"},
    "experiment": BASE | {"report", "tasks", "train"},
    "recipes": TRAINED | {"experiment"},
    "subjects": {"recipes"},
    "run": TRAINED | {"experiment"},
    "studies": TRAINED | {"experiment", "recipes", "run"},
    "benchmark": TRAINED | {"experiment", "recipes", "studies"},
    "commands": TRAINED | {"run", "benchmark", "native"},
    "__main__": {"errors", "run", "runtime", "store", "commands"},
}
# Scripts of the first version import `launch` from here; it is looked up when they do.
EXCEPT = {("experiment", "run")}


def imported(path):
    """Names of the packages of jresnet that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jresnet":
            names = [alias.name for alias in node.names]
            modules = [f"jresnet.{n}" for n in names] if node.module == "jresnet" else [node.module]
            yield from (module.split(".")[1] for module in modules)


def test_imports_point_one_way():
    packages = {path.stem for path in (ROOT / "jresnet").iterdir() if path.name[0] not in "_."}
    assert packages | {"__main__"} == set(ALLOWED)
    for package, allowed in ALLOWED.items():
        place = ROOT / "jresnet" / package
        files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
        for path in files:
            strange = set(imported(path)) - allowed - {package}
            assert all((package, name) in EXCEPT for name in strange), f"{path}: {strange}"


def test_experiments_are_imported_by_nothing():
    for path in (ROOT / "jresnet").rglob("*.py"):
        assert "from experiments" not in path.read_text(), path


def test_scripts_of_the_first_version_find_their_names():
    python(
        "from jresnet.experiment import Experiment, launch\n"
        "from jresnet.subjects import he2015\n"
        "import jresnet.run.launch as run, jresnet.recipes as recipes\n"
        "assert launch is run.launch and he2015 is recipes.he2015\n"
    )
