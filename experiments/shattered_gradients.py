"""Shattered gradients: white noise in plain nets, brown noise in residual ones.

    python -m experiments.shattered_gradients
    python -m experiments.shattered_gradients --dataset cifar10 --depth 110 --steps 64000

Balduzzi et al. 2017 (arXiv:1702.08591, sections 2 and 3, figures 1 and 2), on fully connected
nets of scalars at initialisation; the same on trained nets for images. The second line trains the
nets that the paper's argument is about.
"""

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jresnet.analysis.shattered import (
    Rectifier,
    autocorrelation,
    correlation_by_lag,
    derivative,
    gradients_along,
)
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.lines import Line, line_panels
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.subjects import Subject, trained

LAGS = 16
KINDS = {
    "plain": {},
    "plain + BatchNorm": {"normalised": True},
    "residual": {"residual": True},
    "residual + BatchNorm": {"residual": True, "normalised": True},
}


def shattered_gradients(
    dataset: str = "digits",
    layers: tuple[int, ...] = (2, 10, 24, 50),
    width: int = 200,
    points: int = 256,
    draws: int = 8,
    depth: int = 20,
    steps: int = 60,
    lines: int = 8,
    learning_rate: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Study:
    """Autocorrelation of the input gradient: plain, residual, residual with BatchNorm.

    At initialisation, as in the paper: nets of rectifiers from scalars to scalars, on a grid of
    inputs from -2 to 2; the autocorrelation of df/dx over the grid, averaged over draws, beside
    that of white and of brown noise. Then a plain and a residual net for images are trained by the
    recipe of He et al. 2015, and the cosine between gradients of the largest logit by the image is
    taken between points of the straight lines from test image to test image, in evaluation.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        layers: depths of the nets of scalars.
        width: rectifiers a layer.
        points: inputs on the grid, and on every line between images.
        draws: nets of each kind.
        depth: layers of the nets for images, 6n+2.
        steps: their training steps.
        lines: pairs of test images.
        learning_rate: peak rate of training.
        batch_size: examples a training step.
        seed: of the draws and of training.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    if points <= LAGS or min(layers) < 2:
        raise ValueError(f"points {points}, layers {layers}: take over {LAGS} and 2 or more each")
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    net = zoo.cifar_resnet(depth, data.info().num_classes, bottleneck=False)
    runs = {
        f"plain-{depth}": he2015(zoo.plain(net), data, steps, seed, learning_rate),
        f"ResNet-{depth}": he2015(net, data, steps, seed, learning_rate),
    }
    setting = Setting(tuple(sorted(layers)), width, points, draws, lines, seed)
    return Study(runs, functools.partial(conclude, setting, runs))


class Setting(NamedTuple):
    """As the arguments of the study."""

    layers: tuple[int, ...]
    width: int
    points: int
    draws: int
    lines: int
    seed: int


def on_a_grid(setting: Setting) -> dict[str, dict[int, np.ndarray]]:
    """Mean autocorrelation `[LAGS]` by kind and depth."""
    x = jnp.linspace(-2, 2, setting.points)
    keys = jax.random.split(jax.random.key(setting.seed), setting.draws)
    found: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in KINDS}
    cases = [(kind, depth) for kind in KINDS for depth in setting.layers]
    for kind, depth in tqdm(cases, desc="gradients on a grid", unit="net", disable=None):
        net = Rectifier(depth, setting.width, **KINDS[kind])
        slope = jax.jit(functools.partial(derivative, net))
        rows = [autocorrelation(np.asarray(slope(key, x)), LAGS) for key in keys]
        found[kind][depth] = np.mean(rows, 0)
    return found


def noises(points: int, draws: int = 100) -> dict[str, np.ndarray]:
    """Mean autocorrelation `[LAGS]` of white noise and of its running sum."""
    white = np.random.default_rng(0).normal(size=(draws, points))
    series = {"white noise": white, "brown noise": np.cumsum(white, 1)}
    return {
        name: np.mean([autocorrelation(row, LAGS) for row in rows], 0)
        for name, rows in series.items()
    }


def between_images(setting: Setting, subject: Subject) -> np.ndarray:
    """Mean cosine `[LAGS]` between gradients at neighbouring points between test images."""
    batch = subject.examples("test", 2 * setting.lines, setting.seed)
    images = subject.normalize(jnp.asarray(batch["image"]))

    def largest(images: jax.Array) -> Any:
        logits: Any = subject.model.apply(subject.variables, images, train=False)
        return logits.max(-1)

    pairs = zip(images[::2], images[1::2], strict=True)
    return np.mean(
        [
            correlation_by_lag(gradients_along(largest, a, b, setting.points), LAGS)
            for a, b in pairs
        ],
        0,
    )


def conclude(
    setting: Setting,
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measures, draws, writes autocorrelation.csv and the report; returns the closing line."""
    found, reference = on_a_grid(setting), noises(setting.points)
    subjects = trained(runs, results)
    cosines = {label: between_images(setting, subject) for label, subject in subjects.items()}
    records = [
        (kind, depth, lag, float(value))
        for kind, by_depth in found.items()
        for depth, values in by_depth.items()
        for lag, value in enumerate(values)
    ]
    records += [
        (n, "", k, float(v)) for n, vs in (reference | cosines).items() for k, v in enumerate(vs)
    ]
    with (folder / "autocorrelation.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("net", "layers", "lag", "correlation"), *records])

    depths = list(next(iter(found.values())))
    headers = ("net", *(f"lag 1, {depth} layers" for depth in depths))
    rows = [(kind, *(f"{v[1]:.2f}" for v in values.values())) for kind, values in found.items()]
    print(format_table(headers, rows))
    lags = list(range(LAGS))
    panels = {
        kind: {
            **{f"{depth} layers": Line(lags, v.tolist()) for depth, v in values.items()},
            **{name: Line(lags, v.tolist(), dashed=True) for name, v in reference.items()},
        }
        for kind, values in found.items()
    }
    figure = line_panels(panels, "lag (grid points)", "autocorrelation of df/dx", columns=6)
    trained_lines = {"": {label: Line(lags, v.tolist()) for label, v in cosines.items()}}
    images = line_panels(
        trained_lines,
        f"distance (1/{setting.points - 1} of the way between two images)",
        "cosine of gradients",
    )
    plain, residual = (
        found[f"{kind} + BatchNorm"][depths[-1]][1] for kind in ("plain", "residual")
    )
    seen = "as the paper has it" if residual > plain + 0.1 else "not as the paper has it"
    ends = ", ".join(f"{label} {values[-1]:.2f}" for label, values in cosines.items())
    summary = (
        f"With BatchNorm and {depths[-1]} layers, gradients of neighbouring inputs correlate by "
        f"{plain:.2f} in plain and {residual:.2f} in residual nets, {seen}; without BatchNorm by "
        f"{found['plain'][depths[-1]][1]:.2f} and {found['residual'][depths[-1]][1]:.2f}. Trained on "
        f"images, cosine of gradients {LAGS - 1} points apart: {ends}."
    )
    if residual < found["residual"][depths[-1]][1]:
        summary += (
            " BatchNorm lowers the residual nets' correlation on this grid; the paper's rates have "
            "it raise it."
        )
    sections = [
        Section(
            "At initialisation, on a grid of scalars",
            [
                Figure(save(figure, folder / "grid.png"), GRID, summary),
                Table(headers, rows, "Autocorrelation at lag 1, mean over the draws."),
            ],
        ),
        Section("Trained nets", [Figure(save(images, folder / "images.png"), IMAGES, summary)]),
        Section("What is seen, and what the paper found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Shattered gradients", summary, sections, provenance)


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
    "Gradients like white noise say nothing about the next point, which is why steps along them do "
    "not add up: vanishing is not what ails a deep plain net.",
    "The rates assume that any two inputs switch on rectifiers independently. On a grid of scalars "
    "deep plain nets without BatchNorm map all inputs to much the same direction, and neighbouring "
    "gradients stay alike for that reason; BatchNorm undoes this, and then the plain net shatters.",
)


if __name__ == "__main__":
    launch(shattered_gradients)
