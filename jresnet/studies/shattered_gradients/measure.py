"""Autocorrelation of gradients: on a grid of scalars, and between images."""

import functools
from collections.abc import Mapping
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
from jresnet.studies.subjects import Subject

LAGS = 16
KINDS = {
    "plain": {},
    "plain + BatchNorm": {"normalised": True},
    "residual": {"residual": True},
    "residual + BatchNorm": {"residual": True, "normalised": True},
}


class Findings(NamedTuple):
    """Mean autocorrelation of gradients by lag, each `[LAGS]`.

    - grid: on the grid of scalars, by the kind of net and its depth.
    - noises: of white and of brown noise, by name.
    - images: mean cosine between test images, by the trained net.
    - points: number of points on the grid and on every line.
    """

    grid: dict[str, dict[int, np.ndarray]]
    noises: dict[str, np.ndarray]
    images: dict[str, np.ndarray]
    points: int


def measure(
    layers: tuple[int, ...],
    width: int,
    points: int,
    draws: int,
    lines: int,
    seed: int,
    subjects: Mapping[str, Subject],
) -> Findings:
    """Gradients of nets of scalars at initialisation, and of trained nets for images.

    Args:
        layers: depths of the nets of scalars.
        width: rectifiers a layer.
        points: inputs on the grid, and on every line between images.
        draws: nets of each kind.
        lines: pairs of test images.
        seed: seed of the draws.
        subjects: trained nets by name.
    """
    return Findings(
        on_a_grid(layers, width, points, draws, seed),
        noises(points),
        {
            label: between_images(subject, lines, points, seed)
            for label, subject in subjects.items()
        },
        points,
    )


def on_a_grid(
    layers: tuple[int, ...], width: int, points: int, draws: int, seed: int
) -> dict[str, dict[int, np.ndarray]]:
    """Mean autocorrelation `[LAGS]` by kind and depth; arguments as in `measure`."""
    x = jnp.linspace(-2, 2, points)
    keys = jax.random.split(jax.random.key(seed), draws)
    means: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in KINDS}
    cases = [(kind, depth) for kind in KINDS for depth in sorted(layers)]
    for kind, depth in tqdm(cases, desc="gradients on a grid", unit="net", disable=None):
        net = Rectifier(depth, width, **KINDS[kind])
        slope = jax.jit(functools.partial(derivative, net))
        rows = [autocorrelation(np.asarray(slope(key, x)), LAGS) for key in keys]
        means[kind][depth] = np.mean(rows, 0)
    return means


def noises(points: int, draws: int = 100) -> dict[str, np.ndarray]:
    """Mean autocorrelation `[LAGS]` of white noise and of its running sum."""
    white = np.random.default_rng(0).normal(size=(draws, points))
    series = {"white noise": white, "brown noise": np.cumsum(white, 1)}
    return {
        name: np.mean([autocorrelation(row, LAGS) for row in rows], 0)
        for name, rows in series.items()
    }


def between_images(subject: Subject, lines: int, points: int, seed: int) -> np.ndarray:
    """The mean cosine `[LAGS]` of gradients at points on lines between test images, by distance."""
    batch = subject.examples("test", 2 * lines, seed)
    images = subject.normalize(jnp.asarray(batch["image"]))

    def largest(images: jax.Array) -> Any:
        logits: Any = subject.model.apply(subject.variables, images, train=False)
        return logits.max(-1)

    pairs = zip(images[::2], images[1::2], strict=True)
    return np.mean(
        [correlation_by_lag(gradients_along(largest, a, b, points), LAGS) for a, b in pairs], 0
    )
