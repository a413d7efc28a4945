"""Table and sentences of the study of shattered gradients."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.shattered_gradients.figures import grid_figure, images_figure
from jresnet.studies.shattered_gradients.measure import LAGS, Findings
from jresnet.studies.subjects import Subject, trained

GRID = (
    "Autocorrelation of the derivative over the grid of inputs, by the depth of the net; dashed, "
    "white noise and its running sum."
)
IMAGES = (
    "Mean cosine between gradients of the largest logit by the image, against the distance of the "
    "two points on the straight line between two test images."
)
PAPER = (
    "Balduzzi et al. 2017: the correlation of gradients decays with the depth L as 1/2^L in plain "
    "nets, so that those of 24 layers resemble white noise; as (3/4)^L with skip connections and as "
    "1/sqrt(L) with skip connections and BatchNorm, where 50 layers still resemble brown noise. "
    "Gradients like white noise say nothing about the next point, so steps along them do not add up. "
    "By this account, vanishing gradients are not the trouble of deep plain nets.",
    "The rates assume that any two inputs switch on rectifiers independently. On a grid of scalars "
    "deep plain nets without BatchNorm map all inputs to much the same direction, and neighbouring "
    "gradients stay alike for that reason; BatchNorm undoes this, and then the plain net shatters.",
)


def conclude(
    measured: Callable[[Mapping[str, Subject]], Findings],
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure, draw, write autocorrelation.csv and the report.

    Args:
        measured: `measure` with all arguments but the trained nets.
        runs: the trainings.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    findings = measured(trained(runs, results))
    write_table(folder, findings)
    depths = list(next(iter(findings.grid.values())))
    headers = ("net", *(f"lag 1, {depth} layers" for depth in depths))
    rows = [
        (kind, *(f"{v[1]:.2f}" for v in values.values())) for kind, values in findings.grid.items()
    ]
    summary = statement(findings)
    grid = picture(grid_figure(findings), folder / "grid.png", GRID, summary)
    images = picture(images_figure(findings), folder / "images.png", IMAGES, summary)
    sections = [
        Section(
            "At initialisation, on a grid of scalars",
            [
                grid,
                Table(headers, rows, "Autocorrelation at lag 1, mean over the draws."),
            ],
        ),
        Section("Trained nets", [images]),
    ]
    return conclude_study(folder, "Shattered gradients", summary, sections, provenance, PAPER)


def write_table(folder: Path, findings: Findings) -> None:
    """Write autocorrelation.csv."""
    records = [
        (kind, depth, lag, float(value))
        for kind, by_depth in findings.grid.items()
        for depth, values in by_depth.items()
        for lag, value in enumerate(values)
    ]
    records += [
        (name, "", lag, float(value))
        for name, values in (findings.noises | findings.images).items()
        for lag, value in enumerate(values)
    ]
    write_csv(folder / "autocorrelation.csv", ("net", "layers", "lag", "correlation"), records)


def statement(findings: Findings) -> str:
    """Correlations of neighbouring gradients at the greatest depth, and in the trained nets."""
    depth = list(next(iter(findings.grid.values())))[-1]
    neighbours = {kind: values[depth][1] for kind, values in findings.grid.items()}
    plain, residual = (neighbours[f"{kind} + BatchNorm"] for kind in ("plain", "residual"))
    seen = "as the paper has it" if residual > plain + 0.1 else "not as the paper has it"
    ends = ", ".join(f"{label} {values[-1]:.2f}" for label, values in findings.images.items())
    text = (
        f"With BatchNorm and {depth} layers, gradients of neighbouring inputs correlate by "
        f"{plain:.2f} in plain and {residual:.2f} in residual nets, {seen}; without BatchNorm by "
        f"{neighbours['plain']:.2f} and {neighbours['residual']:.2f}. Trained on "
        f"images, cosine of gradients {LAGS - 1} points apart: {ends}."
    )
    if residual < neighbours["residual"]:
        text += (
            " BatchNorm lowers the residual nets' correlation on this grid; the paper's rates have "
            "it raise it."
        )
    return text
