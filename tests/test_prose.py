"""Names say something, and docstrings begin with a noun phrase or an imperative verb."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EMPTY_NAMES = {"found", "made", "own", "given", "of", "what"}
RIDDLES = re.compile(r"(What|Of|As|Who|Which)\b")
# Packages that still have such names or docstrings. A clean package must be taken off the list.
NOT_CLEAN: set[str] = set()


def package(path: Path) -> str:
    """`jresnet/train` or `tests/train`; `jresnet`, `tests` for the files outside of packages."""
    top, *inner = path.relative_to(ROOT).parts
    return f"{top}/{inner[0]}" if len(inner) > 1 and top in ("jresnet", "tests") else top


FILES = sorted(
    path for top in ("jresnet", "experiments", "launch", "tests") for path in (ROOT / top).rglob("*.py")
)  # fmt: skip
PACKAGES = sorted({package(path) for path in FILES})


def stored_names(node: ast.AST) -> Iterator[str]:
    """The identifiers that a node binds."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.arg(arg=name):
            yield name
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if node.name:
            yield node.name
        case ast.alias(asname=str(name)):
            yield name


def faults(text: str) -> Iterator[str]:
    """A line on each empty name and each riddle in the source of a module."""
    for node in ast.walk(ast.parse(text)):
        for name in stored_names(node):
            if name.strip("_").lower() in EMPTY_NAMES:
                yield f"{getattr(node, 'lineno', 1)}: name {name}"
        # Docstrings of modules, classes, functions and attributes are all such statements.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            doc = str(node.value.value).strip()
            if RIDDLES.match(doc):
                yield f"{node.lineno}: docstring {doc.splitlines()[0]}"


@pytest.mark.parametrize("name", PACKAGES)
def test_names_and_docstrings(name):
    lines = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in FILES
        if package(path) == name
        for fault in faults(path.read_text())
    ]
    if name in NOT_CLEAN:
        assert lines, f"{name} is clean: take it off NOT_CLEAN"
    else:
        assert not lines, "\n".join(lines)


def test_the_list_names_packages():
    assert set(PACKAGES) >= NOT_CLEAN


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("found = 1", 1),
        ("def given(of, *, _own): made: int = 2", 4),
        ("try: pass\nexcept OSError as what: pass", 1),
        ("(made := 1)", 1),
        ("from x import y as found", 1),
        ('"""What it does."""\nclass A:\n    x: int\n    """Of A."""', 2),
        ('def f():\n    """Which of two."""', 1),
        ('found_runs, x.found = f(found=1)\n"""Whatever it does, as it is."""', 0),
    ],
)
def test_faults_are_seen(text, count):
    assert len(list(faults(text))) == count
