"""The end of a study: its page, and the sentences that say what was found."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from jresnet.report.html import Section, write_report
from jresnet.report.run import flat


@dataclasses.dataclass(frozen=True)
class Conclusion:
    """The result of a study in sentences, and the page that shows it, if there is one."""

    summary: str
    page: Path | None = None

    def __str__(self) -> str:
        return self.summary if self.page is None else f"{self.summary} See {self.page}"


def write_conclusion(
    folder: Path,
    title: str,
    summary: str,
    sections: Sequence[Section],
    provenance: Mapping[str, object],
) -> Conclusion:
    """`report.html` in a study's folder, with `summary` under its title."""
    page = write_report(folder / "report.html", title, summary, sections, flat(provenance))
    return Conclusion(summary, page)
