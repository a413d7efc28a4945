"""The table, figures and sentences about landscapes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from jresnet.analysis.landscape import rising_rays
from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Figure, Section, Table
from jresnet.storage import replacing
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.landscape import figures
from jresnet.studies.landscape.figures import Grid
from jresnet.studies.landscape.measure import Landscape
from jresnet.studies.landscape.probe import Steps, Surface, Trajectory
from jresnet.studies.subjects import Subject, trained
from jresnet.weights.run import read_trajectory

HEADERS = (
    "net",
    "loss",
    "error (%)",
    "highest loss on the plane",
    "rising rays",
    "mean |λmin/λmax|",
    "λmin",
    "λmax",
    "sharpness (%)",
    "path in two components (%)",
)
TABLE = (
    "Loss, error and eigenvalues at the net itself, on the examples of the plots. Rising rays: of "
    "the eight directions of the compass over the plane, those along which the loss never falls by "
    "more than a hundredth of its range there. "
    "Sharpness: the rise of the loss within |change| <= 0.001 (|weight| + 1), of 1 + loss."
)
PAPER = (
    "Li et al. 2018 drew ResNet-56 with and without shortcuts (5.89 and 13.31 % error on CIFAR-10): "
    "without, the surface is chaotic and full of steep hills, with, it is a smooth bowl; their map "
    "of |λmin/λmax| is near 0 over most of the latter's plane, so the surface is as convex as it looks, and "
    "large where the surface is chaotic. A 20-layer net without shortcuts is still benign. Two "
    "principal components hold 40 to 90 % of the variance of a path of training.",
)


def row(label: str, one: Landscape) -> tuple[object, ...]:
    """One line of the table."""
    middle = len(one.plane.x) // 2
    path = one.trajectory
    return (
        label,
        f"{one.plane.loss[middle, middle]:.4f}",
        f"{100 * one.plane.error[middle, middle]:.2f}",
        f"{one.plane.loss.max():.4g}",
        f"{8 * rising_rays(one.plane.loss):.0f} of 8",
        f"{one.ratios.mean():.3f}",
        f"{one.eigenvalues[0]:.4g}",
        f"{one.eigenvalues[-1]:.4g}",
        f"{one.sharpness:.3g}",
        "–" if path is None else f"{100 * path.explained.sum():.1f}",
    )


def statement(measured: Mapping[str, Landscape]) -> str:
    """A sentence for each net; with two nets, also a comparison of their convexity."""
    sentences = []
    for label, one in measured.items():
        path = one.trajectory
        held = (
            ""
            if path is None
            else f", and two components hold {100 * path.explained.sum():.0f} % of its path"
        )
        sentences.append(
            f"Around {label} the loss rises along {8 * rising_rays(one.plane.loss):.0f} of 8 rays, "
            f"|λmin/λmax| is {one.ratios.mean():.2f} on average, the largest eigenvalue at the net "
            f"{one.eigenvalues[-1]:.3g}{held}."
        )
    if len(measured) == 2:
        residual, plain = measured.values()
        agrees = residual.ratios.mean() < plain.ratios.mean()
        sentences.append(
            f"By that ratio the residual net's surroundings are {'more' if agrees else 'not more'} "
            f"convex than the plain net's, {'as' if agrees else 'unlike what'} the paper found."
        )
    return " ".join(sentences)


def arrays(one: Landscape) -> dict[str, np.ndarray]:
    """All measurements, under flat names."""
    flat: dict[str, np.ndarray] = {}

    def add(name: str, value: Any) -> None:
        if hasattr(value, "_asdict"):
            for key, inner in value._asdict().items():
                add(f"{name}_{key}" if name else key, inner)
        elif value is not None:
            flat[name] = np.asarray(value)

    add("", one)
    return flat


def drawn(measured: Mapping[str, Landscape], folder: Path) -> list[Section]:
    """All figures, in sections."""

    def figure(drawing: Any, name: str, caption: str) -> Figure:
        return picture(drawing, folder / f"{name}.png", caption)

    def along(line: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return line.x, line.loss[:, 0], 100 * line.error[:, 0]

    planes = {net: Grid(one.plane.x, one.plane.y, one.plane.loss) for net, one in measured.items()}
    ratios = {
        net: Grid(one.hessian_axis, one.hessian_axis, one.ratios) for net, one in measured.items()
    }
    densities = {
        net: (one.density_at, one.density, one.eigenvalues) for net, one in measured.items()
    }
    lines = {net: along(one.line) for net, one in measured.items()}
    sections = [
        Section(
            "The surface",
            [
                figure(figures.lines(lines), "line", LINE),
                figure(figures.contours(planes), "contours", CONTOURS),
                figure(figures.surfaces(planes), "surfaces", SURFACES),
            ],
        ),
        Section(
            "Its curvature",
            [
                figure(figures.heat(ratios, "|λmin / λmax|"), "convexity", CONVEXITY),
                figure(figures.spectra(densities), "spectrum", SPECTRUM),
            ],
        ),
    ]
    paths = {net: one.trajectory for net, one in measured.items() if one.trajectory is not None}
    if paths:
        grids = {net: path_grid(path) for net, path in paths.items()}
        smooth = {net: (path.steps[1:], path.lipschitz) for net, path in paths.items()}
        items = [
            figure(figures.contours(grids, shared=False), "trajectory", TRAJECTORY),
            figure(figures.smoothness(smooth), "lipschitz", LIPSCHITZ),
        ]
        sections.append(Section("The way there", items))
    return sections


def path_grid(path: Trajectory) -> Grid:
    """The plane of a path, its axes named by the variance they hold."""
    first, second = (
        f"component {number} ({100 * share:.0f} % of variance)"
        for number, share in enumerate(path.explained, 1)
    )
    return Grid(path.surface.x, path.surface.y, path.surface.loss, path.path, first, second)


LINE = (
    "Loss and error along the first filter-normalised random direction, in lengths of the net's "
    "filters; the trained net is at 0."
)
CONTOURS = "The loss over two such directions, on one logarithmic scale."
SURFACES = "The same, seen from the side."
CONVEXITY = (
    "|smallest / largest eigenvalue| of the Hessian over the same plane, by Lanczos iteration: "
    "0 is convex."
)
SPECTRUM = (
    "Density of the Hessian's eigenvalues at the trained net, smoothed by a hundredth of the range; "
    "ticks are the Ritz values of one probe."
)
TRAJECTORY = (
    "The checkpoints of training in the plane of their two principal components, on the loss there; "
    "the star is the trained net. BatchNorm's statistics are those of the star throughout."
)
LIPSCHITZ = (
    "How much the gradient changed between checkpoints, over the distance between them: a lower "
    "bound of its Lipschitz constant."
)


def conclude(
    measure: Callable[[Subject, Steps, Path], Landscape],
    subjects: Mapping[str, Subject],
    checkpoints: Mapping[str, Path],
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure, draw, write the numbers (landscape-NET.npz) and the report.

    Args:
        measure: `landscape_of` with all arguments but the net, its path and the folder.
        subjects: trained nets to examine by name; without them, those of `runs`.
        checkpoints: folders with the steps of their trainings, if they are there.
        runs: the trainings, if there were any.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    if not subjects:
        subjects = trained(runs, results)
        checkpoints = {label: run.folder / "checkpoints" for label, run in results.items()}
    measured: dict[str, Landscape] = {}
    for label, subject in subjects.items():
        path = read_trajectory(checkpoints[label]) if label in checkpoints else []
        steps = [(step, variables["params"]) for step, variables in path]
        measured[label] = measure(subject, steps, folder)
        with replacing(folder / f"landscape-{label}.npz") as file:
            cast(Any, np.savez)(file, **arrays(measured[label]))
    rows = [row(label, one) for label, one in measured.items()]
    summary = statement(measured)
    sections = [
        *drawn(measured, folder),
        Section("Numbers", [Table(HEADERS, rows, TABLE)]),
    ]
    return conclude_study(folder, "Loss landscapes", summary, sections, provenance, PAPER)
