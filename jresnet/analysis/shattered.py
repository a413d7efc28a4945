"""Shattered gradients: how alike are the gradients of inputs that are alike?

Balduzzi et al. 2017 (arXiv:1702.08591): in plain rectifier nets the correlation between gradients
at different inputs halves with every layer, so that the gradient as a function of the input comes
to look like white noise; with skip connections it decays as (3/4)^L, with BatchNorm as well as
1/sqrt(L), and looks like brown noise. (On a grid of scalars it takes BatchNorm to see the plain net
shatter: without it, deep rectifier nets also make all inputs alike.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = jax.Array


class Rectifier(NamedTuple):
    """A fully connected net from scalars to scalars, of `depth` layers of `width` rectifiers.

    `h_(l+1) = W relu(norm(h_l)) + b`, plus `h_l` where it is `residual`; `norm` is BatchNorm over the
    inputs where it is `normalised`. (Section 2 of the paper; the residual net adds a layer, not two.)
    """

    depth: int
    width: int = 200
    residual: bool = False
    normalised: bool = False

    def __call__(self, key: Array, x: Array) -> Array:
        """`[n]` to `[n]` with weights and biases drawn from `key`, of variance 2 / fan-in (He).

        The random biases, which the paper does not state, put the kinks at different places:
        without them a net of scalars is linear on either side of 0. BatchNorm's statistics are held
        constant when differentiating, so that each output depends on its own input only; what that
        leaves out is of the order 1 / n.
        """
        first, shift, body, last = jax.random.split(key, 4)
        scale = np.sqrt(2 / self.width)
        h = x[:, None] * np.sqrt(2) * jax.random.normal(first, (1, self.width))
        h = h + np.sqrt(2) * jax.random.normal(shift, (self.width,))[None]

        def layer(h: Array, key: Array) -> tuple[Array, None]:
            weights, biases = jax.random.split(key)
            y = jax.nn.relu(self.norm(h)) @ jax.random.normal(weights, (self.width,) * 2) * scale
            y = y + scale * jax.random.normal(biases, (self.width,))[None]
            return (h + y if self.residual else y), None

        h, _ = lax.scan(layer, h, jax.random.split(body, self.depth - 1))
        return jax.nn.relu(self.norm(h)) @ jax.random.normal(last, (self.width,)) * scale

    def norm(self, h: Array) -> Array:
        if not self.normalised:
            return h
        mean, var = lax.stop_gradient((h.mean(0, keepdims=True), h.var(0, keepdims=True)))
        return (h - mean) * lax.rsqrt(var + 1e-5)


def derivative(net: Callable[[Array, Array], Array], key: Array, x: Array) -> Array:
    """df/dx at each of the scalars `x` `[n]`, of a net whose outputs depend on their own input."""
    return jax.jvp(lambda x: net(key, x), (x,), (jnp.ones_like(x),))[1]


def autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    """Of a series `[n]` at the lags 0, 1, ..., `lags - 1`: 1 at lag 0; 0 for a constant series."""
    centred = np.asarray(values, np.float64) - np.mean(values)
    total = centred @ centred
    if total == 0:
        return np.zeros(lags)
    return np.array([centred[: len(centred) - k] @ centred[k:] for k in range(lags)]) / total


def gradients_along(
    function: Callable[[Array], Array], start: Array, end: Array, points: int
) -> np.ndarray:
    """Gradients of `function`, `[n, *image]` to `[n]` example by example, on the straight line of
    `points` images from `start` to `end`: `[points, pixels]`."""
    t = jnp.linspace(0, 1, points).reshape(-1, *(1,) * start.ndim)
    images = (1 - t) * start[None] + t * end[None]
    gradients = jax.jit(jax.grad(lambda images: function(images).sum()))(images)
    return np.asarray(gradients).reshape(points, -1)


def correlation_by_lag(gradients: np.ndarray, lags: int) -> np.ndarray:
    """Mean cosine between rows of `[n, pixels]` that are 0, 1, ..., `lags - 1` apart."""
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    unit = gradients / np.maximum(norms, np.finfo(np.float32).tiny)
    return np.array(
        [(unit[: len(unit) - k] * unit[k:]).sum(1).mean() for k in range(lags)], np.float64
    )
