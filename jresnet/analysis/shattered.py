"""Shattered gradients: how alike are the gradients of inputs that are alike?

Balduzzi et al. 2017 (arXiv:1702.08591): in plain rectifier nets the correlation between gradients
at different inputs halves with every layer, so that the gradient as a function of the input becomes
like white noise. With skip connections it decays as (3/4)^L; with skip connections and BatchNorm as
1/sqrt(L), which is like brown noise. On a grid of scalars the plain net shatters only with
BatchNorm: without it, deep rectifier nets also map all inputs to much the same direction.
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

    `h_(l+1) = W relu(norm(h_l)) + b`, plus `h_l` if it is `residual`; `norm` is BatchNorm over the
    inputs if it is `normalised`. As section 2 of the paper, but a branch has one layer, not two.
    """

    depth: int
    width: int = 200
    residual: bool = False
    normalised: bool = False

    def __call__(self, key: Array, x: Array) -> Array:
        """`[n]` to `[n]` with weights and biases drawn from `key`, of variance 2 / fan-in (He).

        The paper does not mention random biases. They put the kinks at different places; without
        them a net of scalars is linear on either side of 0. BatchNorm's statistics are constants
        for differentiation, so that each output depends on its own input only; this changes the
        derivative by terms of the order 1 / n.
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
    """df/dx at each of the scalars `x` `[n]`; each output depends on its own input only."""
    return jax.jvp(lambda x: net(key, x), (x,), (jnp.ones_like(x),))[1]


def autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    """Autocorrelation of a series `[n]` at the lags 0 to `lags - 1`; 0 for a constant one."""
    centred = np.asarray(values, np.float64) - np.mean(values)
    total = centred @ centred
    if total == 0:
        return np.zeros(lags)
    return np.array([centred[: len(centred) - k] @ centred[k:] for k in range(lags)]) / total


def gradients_along(
    function: Callable[[Array], Array], start: Array, end: Array, points: int
) -> np.ndarray:
    """Gradients `[points, pixels]` of `function` at images on the line from `start` to `end`.

    `function` maps `[n, *image]` to `[n]`, example by example.
    """
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
