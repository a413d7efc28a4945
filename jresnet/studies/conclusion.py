"""The end of every study: its drawings saved, its tables printed, its page written."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.figure

from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.text import format_table


def picture(
    drawing: matplotlib.figure.Figure, path: Path, caption: str, alt: str | None = None
) -> Figure:
    """A drawing, saved as PNG at `path`, as an item of a page; `alt` is by default the caption."""
    return Figure(save(drawing, path), caption, caption if alt is None else alt)


def by_net(labels: Iterable[str]) -> dict[str, list[str]]:
    """The trainings of each net, in their order, by labels NET-seedN."""
    nets: dict[str, list[str]] = {}
    for label in labels:
        nets.setdefault(label.rsplit("-seed", 1)[0], []).append(label)
    return nets


def conclude_study(
    folder: Path,
    title: str,
    summary: str,
    sections: Sequence[Section],
    provenance: Mapping[str, object],
    papers: Sequence[str] = (),
) -> Conclusion:
    """Print the tables of a study and write `report.html` in its folder.

    Args:
        folder: the study's folder.
        title: heading of the page.
        summary: the result, in a sentence or a few.
        sections: tables and figures.
        provenance: versions and the like, for the end of the page.
        papers: paragraphs on what papers found; a last section has them after the summary.
    """
    for item in (item for section in sections for item in section.items):
        if isinstance(item, Table):
            print(format_table(item.headers, item.rows))
    if papers:
        text = Text((summary, *papers))
        sections = [*sections, Section("The result, and what the papers found", [text])]
    return write_conclusion(folder, title, summary, sections, provenance)
