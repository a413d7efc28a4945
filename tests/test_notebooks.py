"""The notebooks run, in one process and without Jupyter, and say what their stored outputs say."""

import ast
import contextlib
import io
import json
import linecache
import re
import sys
import types

import pytest
from matplotlib.figure import Figure

from tests.pages import PAGES, ROOT, links

NAMES = ("quick_start", "looking_into_a_net", "your_own_task")
BOOKS = {
    name: json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    for name in NAMES
}
# What makes a training short here; the words that the cells print are the same.
SHORTER = {'"steps": 80': '"steps": 4', "RunOptions(": "RunOptions(devices=1, "}


def cells(name, kind):
    return [cell for cell in BOOKS[name]["cells"] if cell["cell_type"] == kind]


def text(lines):
    return lines if isinstance(lines, str) else "".join(lines)


def stored(cell):
    """(what it printed, whether it drew) in the notebook."""
    outputs = cell["outputs"]
    printed = "".join(text(o["text"]) for o in outputs if o["output_type"] == "stream")
    return printed, any("image/png" in o.get("data", {}) for o in outputs)


def masked(printed):
    """Numbers differ from machine to machine; words do not."""
    return re.sub(r"\d+(\.\d+)?", "N", printed).split()


def run(module, source, filename):
    """Run a cell: its printed text, and the value of its last expression, as Jupyter has it.

    Jupyter's own lines, which begin with %, are left out.
    """
    source = re.sub(r"^%.*\n", "", source, flags=re.MULTILINE)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    tree = ast.parse(source, filename)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    value, printed = None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, filename, "exec"), module.__dict__)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), filename, "eval"), module.__dict__)
    return printed.getvalue(), value


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_cells_run_in_order(name, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    module = types.ModuleType(f"notebook_{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    sources = [text(cell["source"]) for cell in cells(name, "code")]
    for usual, shorter in SHORTER.items():
        assert any(usual in source for source in sources)
        sources = [source.replace(usual, shorter) for source in sources]
    for number, (cell, source) in enumerate(zip(cells(name, "code"), sources, strict=True), 1):
        printed, value = run(module, source, f"<{name} {number}>")
        before, drew = stored(cell)
        assert masked(printed) == masked(before), number
        assert isinstance(value, Figure) == drew, number


@pytest.mark.parametrize("name", NAMES)
def test_they_are_stored_as_they_were_run(name):
    book, code = BOOKS[name], cells(name, "code")
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        kinds = {output["output_type"] for output in cell["outputs"]}
        assert kinds <= {"stream", "display_data", "execute_result"}, cell["id"]
        assert all(o.get("name", "stdout") == "stdout" for o in cell["outputs"])
    drawn = sum(stored(cell)[1] for cell in code)
    assert drawn >= 1
    whole = json.dumps(book)
    assert len(whole) < 300_000
    assert not re.search(r"/(tmp|home|root|work|Users)/", whole)


@pytest.mark.parametrize("name", NAMES)
def test_they_can_be_read(name):
    prose = [text(cell["source"]) for cell in cells(name, "markdown")]
    assert prose[0].startswith("# ")
    for page in prose:
        assert max(map(len, page.splitlines())) <= 100
        for link in links(page):
            assert (ROOT / "notebooks" / link.partition("#")[0]).exists(), link
    assert f"(notebooks/{name}.ipynb)" in PAGES["README.md"]
