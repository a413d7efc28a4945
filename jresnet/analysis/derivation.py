"""Backpropagation through a residual block, derived by hand.

Every layer is written out forwards and backwards. The backward pass gets dL/dy, the gradient of a
scalar loss L by the layer's output y. It returns dL/dx by the input x and dL/dtheta by the
parameters, from values that the forward pass stored: the layer's memory. Nothing here calls
automatic differentiation. `jresnet.analysis.derived_block` puts the layers together to a block, and
the tests compare that with `jax.vjp` of the real `Block`.

The block of He et al. 2015 (arXiv:1512.03385, section 3.2; He et al. 2016, arXiv:1603.05027,
section 2), with S the shortcut, F the branch and f what follows the addition:

    z = S(x) + F(x)        y = f(z)
    dL/dz = f'(z) dL/dy
    dL/dx = (dS/dx)^T dL/dz + (dF/dx)^T dL/dz

Addition passes its gradient unchanged to both summands. Where S is the identity, the block below
therefore receives all of dL/dz, whatever the branch adds to it. This is why residual nets train.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jresnet.models.shortcuts import subsample

Array = jax.Array
Params = dict[str, Array]


class Layer(Protocol):
    """A differentiable function of its parameters (an empty dict if it has none) and its input."""

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        """Output and memory."""
        ...

    def backward(self, params: Params, memory: Any, dy: Array) -> tuple[Array, Params]:
        """dL/dx and dL/dparams from dL/dy."""
        ...


@dataclasses.dataclass(frozen=True)
class ReLU:
    """`y = max(x, 0)`.

    y follows x where x > 0 and is constant elsewhere: `dL/dx = [x > 0] dL/dy`. (At x = 0, where
    there is no derivative, 0 is taken.)
    """

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        del params
        return jnp.maximum(x, 0), x > 0

    def backward(self, params: Params, memory: Array, dy: Array) -> tuple[Array, Params]:
        del params
        return jnp.where(memory, dy, 0), {}


@dataclasses.dataclass(frozen=True)
class Convolution:
    """`y[n, p] = sum_k x[n, s p + d k - pad] W[k]` over kernel offsets k, at any rank.

    `x` is `[batch, *spatial, in]`, each `W[k]` a matrix `[in, out]`, s the strides, d the dilation:
    a convolution is one matrix product for each offset of its kernel, on a shifted input. With
    groups each group of channels has its own matrices.

    For one product `y = x W`, `dL/dW = x^T dL/dy` and `dL/dx = dL/dy W^T`. W[k] is used at every
    example n and position p, and x[n, q] at every (p, k) with `s p + d k - pad = q`. Their
    gradients are the sums over all uses:

        dL/dW[k]    = sum_(n, p) x[n, s p + d k - pad]^T dL/dy[n, p]
        dL/dx[n, q] = sum_(p, k: s p + d k - pad = q) dL/dy[n, p] W[k]^T
        dL/db       = sum_(n, p) dL/dy[n, p]

    The second is itself a convolution, of the output's gradient with the kernel flipped.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        kernel = params["kernel"]
        padding = self.padding(kernel)
        padded = jnp.pad(x, [(0, 0), *[(p, p) for p in padding], (0, 0)])
        out = tuple(
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(
                padded.shape[1:-1], kernel.shape, self.strides, self.dilation, strict=False
            )
        )
        y = jnp.einsum("k...gi,kigo->...go", self.read(padded, kernel, out), self.matrices(kernel))
        y = y.reshape(*y.shape[:-2], -1)
        if "bias" in params:
            y = y + lax.broadcast_to_rank(params["bias"], y.ndim)
        return y, padded

    def backward(self, params: Params, memory: Array, dy: Array) -> tuple[Array, Params]:
        kernel, padded, out = params["kernel"], memory, dy.shape[1:-1]
        grouped = self.split(dy)
        dmatrices = jnp.einsum("k...gi,...go->kigo", self.read(padded, kernel, out), grouped)
        grads = {"kernel": dmatrices.reshape(kernel.shape)}
        if "bias" in params:
            grads["bias"] = dy.sum(tuple(range(dy.ndim - 1)))

        shares = jnp.einsum("...go,kigo->k...gi", grouped, self.matrices(kernel))
        dpadded = jnp.zeros_like(padded)
        for share, where in zip(shares, self.positions(kernel, out), strict=True):
            dpadded = dpadded.at[where].add(share.reshape(*dy.shape[:-1], -1))
        inside = tuple(
            slice(p, n - p) for p, n in zip(self.padding(kernel), padded.shape[1:-1], strict=True)
        )
        return dpadded[(slice(None), *inside)], grads

    def padding(self, kernel: Array) -> list[int]:
        return [d * (k - 1) // 2 for k, d in zip(kernel.shape, self.dilation, strict=False)]

    def positions(self, kernel: Array, out: tuple[int, ...]) -> list[tuple[slice, ...]]:
        """The slices of the padded input that each offset reads, for `out` positions."""
        return [
            (
                slice(None),
                *(
                    slice(d * i, d * i + s * (n - 1) + 1, s)
                    for i, n, s, d in zip(k, out, self.strides, self.dilation, strict=True)
                ),
            )
            for k in np.ndindex(kernel.shape[:-2])
        ]

    def read(self, padded: Array, kernel: Array, out: tuple[int, ...]) -> Array:
        """The input that each offset reads: `[offsets, batch, *out, groups, in / groups]`."""
        return jnp.stack([self.split(padded[where]) for where in self.positions(kernel, out)])

    def matrices(self, kernel: Array) -> Array:
        """`[offsets, in / groups, groups, out / groups]`."""
        return kernel.reshape(-1, kernel.shape[-2], self.groups, kernel.shape[-1] // self.groups)

    def split(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-1], self.groups, -1)


class Normalised(NamedTuple):
    """The memory of `BatchNormalisation`."""

    x_hat: Array
    deviation: Array


@dataclasses.dataclass(frozen=True)
class BatchNormalisation:
    """`y = scale x_hat + bias`, `x_hat = (x - mu) / sigma`, `sigma = sqrt(var + epsilon)`.

    Each channel is normalised alone; mu and var are over its m values in the batch, or in a group
    of the batch. They depend on every x, so that x acts in three ways. With `g = scale dL/dy`,
    the gradient by x_hat:

        through x itself    g_i / sigma
        through mu          dL/dmu = -sum_j g_j / sigma, and dmu/dx_i = 1 / m
        through sigma       dL/dsigma = -sum_j g_j x_hat_j / sigma, and dsigma/dx_i = x_hat_i / m

        dL/dx_i = (g_i - mean(g) - x_hat_i mean(g x_hat)) / sigma
        dL/dscale = sum_i x_hat_i dL/dy_i        dL/dbias = sum_i dL/dy_i

    The gradient by x has mean 0 and no part along x_hat: shifting or scaling the input of a
    BatchNorm changes nothing (Ioffe & Szegedy, arXiv:1502.03167, section 3).

    With `running` statistics, mean and variance, it is the affine map of evaluation, without the
    last two terms.
    """

    epsilon: float
    group: int | None = None
    running: tuple[Array, Array] | None = None

    def forward(self, params: Params, x: Array) -> tuple[Array, Normalised]:
        grouped = x[None] if self.group is None else x.reshape(-1, self.group, *x.shape[1:])
        axes = self.axes(grouped)
        if self.running is None:
            mean, var = grouped.mean(axes, keepdims=True), grouped.var(axes, keepdims=True)
        else:
            mean, var = (lax.broadcast_to_rank(v, grouped.ndim) for v in self.running)
        deviation = jnp.sqrt(var + self.epsilon)
        x_hat = (grouped - mean) / deviation
        scale, bias = (
            lax.broadcast_to_rank(params[name], x_hat.ndim) for name in ("scale", "bias")
        )
        y = scale * x_hat + bias
        return y.reshape(x.shape), Normalised(x_hat, deviation)

    def backward(self, params: Params, memory: Normalised, dy: Array) -> tuple[Array, Params]:
        x_hat, deviation = memory
        dgrouped, axes = dy.reshape(x_hat.shape), self.axes(x_hat)
        everywhere = tuple(range(x_hat.ndim - 1))
        grads = {"scale": (x_hat * dgrouped).sum(everywhere), "bias": dgrouped.sum(everywhere)}
        g = lax.broadcast_to_rank(params["scale"], dgrouped.ndim) * dgrouped
        if self.running is None:
            g = g - g.mean(axes, keepdims=True) - x_hat * (g * x_hat).mean(axes, keepdims=True)
        return (g / deviation).reshape(dy.shape), grads

    @staticmethod
    def axes(grouped: Array) -> tuple[int, ...]:
        return tuple(range(1, grouped.ndim - 1))


@dataclasses.dataclass(frozen=True)
class Padding:
    """The parameter-free shortcut: every `strides`-th position times `scale`, and zero channels.

    It is linear, so its gradient is the transpose: padded channels are cut off, and positions that
    were not sampled get 0. With strides 1 and no channels it is `scale` times the identity.
    """

    strides: tuple[int, ...]
    channels: tuple[int, int]
    scale: float = 1.0

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        del params
        sampled = subsample(x, self.strides)
        return self.scale * jnp.pad(sampled, [(0, 0)] * (x.ndim - 1) + [self.channels]), x

    def backward(self, params: Params, memory: Array, dy: Array) -> tuple[Array, Params]:
        del params
        low, high = self.channels
        cut = self.scale * lax.slice_in_dim(dy, low, dy.shape[-1] - high, axis=-1)
        where = tuple(slice(None, None, s) for s in self.strides)
        return jnp.zeros_like(memory).at[(slice(None), *where)].set(cut), {}
