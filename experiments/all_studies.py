"""All studies of the treatise, each with its quick defaults, in one gallery.

python -m experiments.all_studies
python -m experiments.all_studies --studies lesion landscape
"""

import functools
import importlib
from collections.abc import Mapping
from pathlib import Path

from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Result, Study
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Figure, Link, Section, Table, Text
from jresnet.run.launch import launch

STUDIES = {
    "degradation": "Deeper plain nets train worse, deeper residual nets better",
    "derivation": "The backward pass by hand, and the net as the sum of its branches",
    "expressiveness": "Every plain net is a residual net",
    "gradient_flow": "How the gradient reaches the first block",
    "shattered_gradients": "How alike the gradients of inputs that are alike are",
    "identity_init": "Nets that start as the identity",
    "shortcuts": "What stands on the shortcut, and where norms and activations stand",
    "cardinality": "Many narrow paths against few wide ones",
    "width_depth": "Wide and shallow against thin and deep",
    "lesion": "Blocks deleted and swapped",
    "paths": "Which paths carry the gradient",
    "landscape": "The surface of the loss",
    "sensitivity": "How much the learning rate and the depth matter",
    "responses": "How strongly layers respond",
}


def all_studies(studies: tuple[str, ...] = tuple(STUDIES)) -> Study:
    """One study after another on the embedded data, and a page with all their figures.

    From the degradation of plain nets (He et al. 2015, arXiv:1512.03385) to why residual ones train.

    Each leaves its own folder and report in the run's folder, as if it had been run alone, and
    what is trained already is not trained again.

    Args:
        studies: which, and in what order.
    """
    if strange := [name for name in studies if name not in STUDIES]:
        raise UsageError(f"studies {', '.join(strange)}: take some of {', '.join(STUDIES)}")
    made = {
        name: getattr(importlib.import_module(f"experiments.{name}"), name)() for name in studies
    }
    runs: dict[str, Experiment] = {
        f"{name}/{label}": run for name, study in made.items() for label, run in study.runs.items()
    }
    return Study(runs, functools.partial(conclude, made))


def conclude(
    studies: Mapping[str, Study],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Concludes each study in its folder, then writes the gallery."""
    sections, rows = [], []
    for name, study in studies.items():
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        found = {label: results[f"{name}/{label}"] for label in study.runs}
        line = study.conclude(own, found, provenance).summary
        print(f"{name}: {line}", flush=True)
        rows.append((name, STUDIES[name], line))
        figures = [Figure(path, caption(path), line) for path in sorted(own.glob("*.png"))]
        items = [Text((line,)), *figures, Link(f"{name}/report.html", f"The report of {name}")]
        sections.append(Section(STUDIES[name], items))
    contents = Section("Theory to instrument", [Table(HEADERS, rows)])
    summary = f"{len(rows)} studies of why residual networks train, on the embedded data."
    return write_conclusion(
        folder, "Why residual networks train", summary, [contents, *sections], provenance
    )


def caption(figure: Path) -> str:
    """Of a figure that its own report explains."""
    return f"{figure.stem.replace('_', ' ').replace('-', ' ').capitalize()}."


HEADERS = ("study", "claim", "what was measured")


if __name__ == "__main__":
    launch(all_studies)
