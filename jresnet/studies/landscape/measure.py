"""Measurements of the landscape of the loss around a net."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jresnet.analysis.landscape import point_mesh, random_direction
from jresnet.studies.landscape.probe import Probe, Steps, Surface, Trajectory
from jresnet.studies.subjects import Subject


class Landscape(NamedTuple):
    """The measurements of one net."""

    line: Surface  # y has one value, 0
    plane: Surface
    hessian_axis: np.ndarray
    extremes: np.ndarray  # [x, y, smallest and largest eigenvalue]
    eigenvalues: np.ndarray  # of the net itself: Ritz values, ascending
    density_at: np.ndarray
    density: np.ndarray
    sharpness: float  # per cent
    trajectory: Trajectory | None

    @property
    def ratios(self) -> np.ndarray:
        """|smallest / largest eigenvalue| `[x, y]`."""
        return np.abs(self.extremes[..., 0] / self.extremes[..., 1])


def landscape_of(
    subject: Subject,
    path: Steps,
    folder: Path,
    *,
    points: int,
    reach: float,
    hessian_points: int,
    lanczos_steps: int,
    probes: int,
    split: Literal["train", "test"],
    examples: int | None,
    hessian_examples: int,
    seed: int,
) -> Landscape:
    """Measure a net. Long computations are kept in `folder`, and another call goes on from there.

    Args:
        subject: the net and its data.
        path: its training; fewer than three steps have no trajectory.
        folder: the study's folder.
        points: points along each side of the plane, an odd number; the line has twice as many.
        reach: distance from the net to the sides, in lengths of its filters.
        hessian_points: points along each side of the map of curvature.
        lanczos_steps: steps at each of them; the spectrum has twice as many.
        probes: random vectors for the spectral density.
        split: split of the examples.
        examples: number of examples that measure the loss; None for all.
        hessian_examples: number of examples for second derivatives.
        seed: seed of directions and of starts.
    """
    batches = subject.batches(split, examples)
    few = subject.batches(split, hessian_examples)
    probe = Probe(subject, batches, few, seed, folder, point_mesh())
    rng = np.random.default_rng(seed)
    directions = [random_direction(rng, subject.variables["params"]) for _ in range(2)]
    axis = np.linspace(-reach, reach, points)
    fine = np.linspace(-reach, reach, 2 * points - 1)
    coarse = np.linspace(-reach, reach, hessian_points)
    line = probe.surface("line", directions, fine, np.zeros(1))
    plane = probe.surface("plane", directions, axis, axis)
    ends = probe.hessian_extremes(directions, coarse, lanczos_steps)
    values, at, density = probe.spectrum(probes, 2 * lanczos_steps)
    return Landscape(
        line,
        plane,
        coarse,
        ends,
        values,
        at,
        density,
        probe.sharpness(),
        probe.trajectory(path, points) if len(path) > 2 else None,
    )
