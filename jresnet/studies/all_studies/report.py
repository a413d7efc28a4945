"""One page with the figures and sentences of all studies."""

from collections.abc import Mapping
from pathlib import Path

from jresnet.experiment import Result, Study
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Figure, Link, Section, Table, Text

HEADERS = ("study", "claim", "result")


def conclude(
    studies: Mapping[str, Study],
    claims: Mapping[str, str],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Conclude each study in its folder, then write the gallery."""
    sections, rows = [], []
    for name, study in studies.items():
        inner = folder / name
        inner.mkdir(parents=True, exist_ok=True)
        its_results = {label: results[f"{name}/{label}"] for label in study.runs}
        line = study.conclude(inner, its_results, provenance).summary
        print(f"{name}: {line}", flush=True)
        rows.append((name, claims[name], line))
        figures = [Figure(path, caption(path), line) for path in sorted(inner.glob("*.png"))]
        items = [Text((line,)), *figures, Link(f"{name}/report.html", f"The report of {name}")]
        sections.append(Section(claims[name], items))
    contents = Section("Theory to instrument", [Table(HEADERS, rows)])
    summary = f"{len(rows)} studies of why residual networks train, on the embedded data."
    return write_conclusion(
        folder, "Why residual networks train", summary, [contents, *sections], provenance
    )


def caption(figure: Path) -> str:
    """The caption of a figure that the study's own report explains."""
    return f"{figure.stem.replace('_', ' ').replace('-', ' ').capitalize()}."
