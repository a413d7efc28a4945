"""README.md and docs/ name only things that exist: pages, anchors, commands with their flags, files, packages."""

import importlib.util
import re
from pathlib import Path

import pytest

import experiments
from jresnet.__main__ import find_command
from jresnet.run.command_line import parse
from tests.pages import FENCED, PAGES, ROOT, anchors, commands, links, prose, spans
from tests.test_experiments import experiment_function
from tests.test_imports import ALLOWED, BASE, TRAINED

COMMANDS = sorted({(name, *words) for text in PAGES.values() for name, words in commands(text)})
# Words that stand for a name in a sentence, and programs of others.
OTHERS = {"venv", "pytest", "experiments.NAME"}


def test_the_readme_is_short():
    assert PAGES["README.md"].count("\n") <= 120
    assert (ROOT / "docs/degradation.png").stat().st_size < 100_000


def test_the_readme_s_first_commands_are_one_line_each():
    first, tests = [code for kind, code in FENCED.findall(PAGES["README.md"]) if kind == "bash"]
    assert [first.count("\n"), tests.count("\n")] == [1, 1]
    assert "python -m experiments.degradation" in first
    assert "python -m pytest" in tests
    assert f"<!-- tests -->\n```bash\n{tests}" in PAGES["README.md"]  # where .ci/run looks


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for link in links(PAGES[page]):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            text = PAGES[str(target.resolve().relative_to(ROOT.resolve()))]
            assert anchor in anchors(text), link


def test_every_page_is_linked_from_the_readme():
    pages = {page for page in PAGES if page.startswith("docs/")}
    assert pages <= set(links(PAGES["README.md"]))


@pytest.mark.parametrize("page", PAGES)
def test_lines_of_prose_have_at_most_100_columns(page):
    assert [x for x in prose(PAGES[page]).splitlines() if len(x) > 100 and x[0] != "|"] == []


def test_there_are_commands():
    modules = {name for name, *_ in COMMANDS}
    assert {"jresnet", "tests.violence", "launch/topology.py", "experiments.lesion"} <= modules
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] not in OTHERS], ids=" ".join)
def test_every_command_is_one_that_can_be_given(command, capsys):
    name, *words = command
    package, _, rest = name.partition(".")
    if package == "experiments":
        parse(experiment_function(rest), words)
    elif name == "jresnet":
        check_jresnet(words, capsys)
    else:
        file = ROOT / (name if "/" in name else name.replace(".", "/") + ".py")
        for flag in flags(words):
            assert f'"{flag}"' in file.read_text()


def check_jresnet(words, capsys):
    """The command exists, and its own help lists the flags."""
    if not words:
        return  # `python -m jresnet` by itself prints its usage
    name, *rest = words
    command = find_command(name)
    if flags(rest):
        run_s_net = ["resnet50" if word.startswith("runs/") else word for word in rest]
        with pytest.raises(SystemExit) as ended:
            command([*run_s_net, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        for flag in flags(rest):
            assert flag in shown or (name, flag) == ("convert", "--model")


def flags(words):
    return [word for word in words if word.startswith("--")]


def test_every_flag_in_a_sentence_is_one_of_some_command():
    """Those that stand alone, such as `--smoke`."""
    files = [
        *ROOT.glob("jresnet/**/*.py"),
        *ROOT.glob("tests/*.py"),
        *ROOT.glob("experiments/*.py"),
    ]
    files += [*ROOT.glob("launch/*.py")]
    source = "\n".join(path.read_text() for path in files)
    for page, text in PAGES.items():
        for span in spans(text):
            for flag in flags(span.split()) if span.startswith("--") else ():
                field = flag.removeprefix("--").replace("-", "_")
                # A field or parameter of that name, or argparse's word for it.
                assert re.search(rf'\b{field}: |"{flag}"', source), f"{page}: {flag}"


def test_every_experiment_is_listed():
    for path in Path(experiments.__path__[0]).glob("[a-z]*.py"):
        assert f"`python -m experiments.{path.stem}`" in PAGES["docs/runs.md"]


@pytest.mark.parametrize("page", PAGES)
def test_files_and_modules_that_are_named_exist(page):
    for span in spans(PAGES[page]):
        if re.fullmatch(r"(jresnet|experiments|launch|tests|docs)/[\w./]*", span):
            assert (ROOT / span).exists(), span
        if re.fullmatch(r"jresnet(\.[a-z_]+)+", span):
            assert importlib.util.find_spec(span), span


def test_the_house_is_the_one_that_the_imports_are_held_to():
    text = PAGES["docs/house.md"]
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \|([^|]*)\|$", text, re.MULTILINE)
    groups = {"base": BASE, "trained": TRAINED}

    def names(cell):
        whole = [groups[word] for word in re.findall(r"\b(?<!`)(base|trained)\b", cell)]
        return set(re.findall(r"`(\w+)`", cell)).union(*whole)

    assert {name: names(cell) for name, cell in rows if name in ALLOWED} == ALLOWED
    base, trained = re.search(
        r"\*\*base\*\* is (.*?);\s\*\*trained\*\* is (.*?)\.", text, re.S
    ).groups()
    assert (names(base), names(trained)) == (BASE, TRAINED)


@pytest.mark.parametrize("page", ["docs/results.md", "docs/performance.md", "docs/theory.md"])
def test_tables_of_numbers_have_a_command_a_machine_versions_and_a_date(page):
    sections = re.split(r"^## ", PAGES[page], flags=re.MULTILINE)
    for section in sections:
        if "---:|" in section:
            title = section.splitlines()[0]
            assert re.search(r"`python (-m )?[\w./]+", section), title
            assert re.search(r"\b20\d\d-\d\d-\d\d\b", section), title
            assert "same machine" in section or re.search(
                r"2\s+CPU\s+cores,?[^|]*Python 3\.", section
            ), title
