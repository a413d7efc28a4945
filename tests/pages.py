"""The pages that a reader sees, and the commands, links and headings in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [
        ROOT / "README.md",
        ROOT / "launch/README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
}
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"python(?: -m (?P<module>[\w.]+)| (?P<script>launch/\w+\.py))(?P<rest>.*)")


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return FENCED.sub("", text)


def spans(text: str) -> list[str]:
    """Inline code, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Modules or scripts that a page runs, each with its arguments.

    A launcher's command after `--` is listed too, by itself. `experiments.NAME ...` in prose
    counts as a command; an ellipsis among the arguments is left out.
    """
    lines = [line for kind, code in FENCED.findall(text) if kind == "bash" for line in joined(code)]
    for span in spans(text):
        lines.append(f"python -m {span}" if re.match(r"experiments\.\w+ --", span) else span)
    listed = []
    while lines:
        words = shlex.split(lines.pop(), comments=True)
        match = COMMAND.search(shlex.join(words))
        if match:
            rest = shlex.split(match["rest"])
            if "--" in rest:
                lines.append(shlex.join(rest[rest.index("--") + 1 :]))
                rest = rest[: rest.index("--")]
            listed.append((match["module"] or match["script"], [w for w in rest if w != "..."]))
    return listed


def joined(code: str) -> list[str]:
    """Lines of a shell, with those that end in a backslash joined to the next, split at `&&`."""
    lines = code.replace("\\\n", " ").splitlines()
    return [part for line in lines for part in line.split("&&")]


def links(text: str) -> list[str]:
    """Targets of links and pictures that lead to this project."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [target for target in targets if "://" not in target]


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
