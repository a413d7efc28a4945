import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.figure import Figure as Drawing

from jresnet.report import html

VOID = {"meta", "link", "img", "br", "hr"}


class Reader(HTMLParser):
    """Collects attributes and text, and fails on a tag that is not closed in order."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        if data.strip():
            self.text.append((self.open[-1], data.strip()))

    def texts(self, tag: str) -> list[str]:
        return [data for where, data in self.text if where == tag]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


@pytest.fixture
def pngs(tmp_path) -> list[Path]:
    paths = [tmp_path / "wide.png", tmp_path / "tall.png"]
    for path, size in zip(paths, [(3, 1), (1, 2)], strict=True):
        Drawing(figsize=size).savefig(path, dpi=50)
    return paths


@pytest.fixture
def report(tmp_path, pngs) -> Path:
    sections = [
        html.Section(
            "Result <1>",
            [
                html.Figure(pngs[0], "A & B", 'an "alt"'),
                html.Text(["<i>one</i>", "two"]),
            ],
        ),
        html.Section(
            "Numbers",
            [
                html.Table(["net", "error (%)"], [["plain-20", 9.35], ["a<b", None]], "Errors."),
                html.Figure(pngs[1], "C", ""),
            ],
        ),
    ]
    return html.write_report(
        tmp_path / "new" / "report.html",
        "<b>Nets</b>",
        "6 < 7 %.",
        sections,
        {"command": "python -m x --a '<y>'", "seeds": 3},
    )


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader


def test_tags_are_balanced(report):
    assert read(report).open == []


def test_nothing_is_fetched(report):
    page = report.read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]|url\(|@import|<script|<iframe", page)
    for tag, attributes in read(report).seen:
        for name in ("src", "href", "srcset", "data", "action"):
            if name in attributes:
                assert (attributes[name] or "").startswith("data:"), (tag, attributes)
    policies = [m["content"] for m in read(report).attributes("meta") if "http-equiv" in m]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_images_are_the_files_byte_for_byte(report, pngs):
    images = read(report).attributes("img")
    assert len(images) == len(pngs)
    for image, path in zip(images, pngs, strict=True):
        kind, _, data = (image["src"] or "").partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True) == path.read_bytes()
        height, width = matplotlib.image.imread(path).shape[:2]
        assert (image["width"], image["height"]) == (str(width), str(height))
    assert images[0]["alt"] == 'an "alt"'


def test_markup_is_shown_and_not_obeyed(report):
    reader = read(report)
    assert reader.texts("h1") == reader.texts("title") == ["<b>Nets</b>"]
    assert reader.texts("p") == ["6 < 7 %.", "<i>one</i>", "two"]
    assert reader.texts("h2") == ["Result <1>", "Numbers"]
    assert not reader.attributes("b")
    assert not reader.attributes("i")
    assert "&lt;b&gt;Nets&lt;/b&gt;" in report.read_text(encoding="utf-8")


def test_table_marks_the_columns_of_numbers(report):
    reader = read(report)
    assert reader.texts("td") == ["plain-20", "9.35", "a<b", "–"]
    assert [cell["class"] for cell in reader.attributes("td")] == ["word", "number"] * 2
    assert [cell["class"] for cell in reader.attributes("th")] == ["word", "number"]
    assert "tabular-nums" in report.read_text(encoding="utf-8")


def test_says_how_it_was_made(report):
    reader = read(report)
    assert reader.texts("dt") == ["command", "seeds"]
    assert reader.texts("dd") == ["python -m x --a '<y>'", "3"]
    assert reader.texts("summary") == ["How this was made"]


def test_nothing_but_the_report_is_left_and_an_old_one_survives_failure(report, monkeypatch):
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]
    before = report.read_bytes()

    def full_disk(self, target):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        html.write_report(report, "new", "", [], {})
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]
    assert report.read_bytes() == before


def test_refuses_a_figure_that_is_no_png(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"\xff\xd8\xff" + bytes(100))
    with pytest.raises(ValueError, match=r"x\.png: expected a PNG"):
        html.write_report(
            tmp_path / "r.html",
            "",
            "",
            [html.Section("", [html.Figure(path, "", "")])],
            {},
        )
    assert not (tmp_path / "r.html").exists()


def test_nothing_hides_in_a_colour(tmp_path):
    section = html.Section("A", [html.Gallery("B", [], [("red; x: url(a)", "right")])])
    with pytest.raises(ValueError, match="expected #rrggbb"):
        html.write_report(tmp_path / "a.html", "A", "B", [section], {})
