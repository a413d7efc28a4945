"""Margin losses: softmax over cosines in which the true class must win by a margin. All float32.

ArcFace: Deng et al. 2019, arXiv:1801.07698, section 2; CosFace: Wang et al. 2018, arXiv:1801.09414;
NormFace: Wang et al. 2017, arXiv:1704.06369.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

Array = jax.Array
Gradient = Literal["exact", "straight"]

SMALL = 1e-12  # torch's `normalize` divides by at least this
EDGE = 1e-7  # the exact derivative of arccos is infinite at 1 and -1: cosines stay this far off


@dataclasses.dataclass(frozen=True)
class Margin:
    """`scale * (cos(angular * theta + additive) - cosine)` for the true class, `scale * cos` for others.

    - scale: s, at least as large as more classes need it.
    - angular: m1 of SphereFace (arXiv:1704.08063); 1 for none.
    - additive: m2 of ArcFace, in radians.
    - cosine: m3 of CosFace.
    - beyond_pi: where `theta + additive` exceeds pi the cosine would grow again. `linear` takes
      `cos - additive * sin(pi - additive)` there, as ArcFace's first code; `none` lets it grow, as
      insightface's PyTorch code.
    - gradient: `exact`, or `straight` through the margin as insightface's PyTorch code: the derivative
      of the logit by the cosine is `scale`.

    Raises ValueError for a scale that is not positive, and for a negative margin.
    """

    scale: float = 64.0
    angular: float = 1.0
    additive: float = 0.0
    cosine: float = 0.0
    beyond_pi: Literal["linear", "none"] = "linear"
    gradient: Gradient = "exact"

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"scale={self.scale}: expected more than 0")
        for name, low in (("angular", 1), ("additive", 0), ("cosine", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least {low}")

    def target(self, cosine: Array) -> Array:
        """The logit of the true class, `[...]` like its cosine."""
        if self.angular == 1 and self.additive == 0:
            return self.scale * (cosine - self.cosine)
        inside = jnp.clip(cosine, -1 + EDGE, 1 - EDGE) if self.gradient == "exact" else cosine
        theta = jnp.arccos(jnp.clip(inside, -1, 1))
        moved = jnp.cos(self.angular * theta + self.additive)
        if self.beyond_pi == "linear" and self.angular == 1:
            edge = math.cos(math.pi - self.additive)
            line = cosine - self.additive * math.sin(math.pi - self.additive)
            moved = jnp.where(cosine > edge, moved, line)
        logit = self.scale * (moved - self.cosine)
        if self.gradient == "exact":
            return logit
        return self.scale * cosine + jax.lax.stop_gradient(logit - self.scale * cosine)

    def logits(self, cosines: Array, target: Array) -> Array:
        """`[batch, classes]`, from cosines and one-hot targets; rows without a target have no margin."""
        true = jnp.sum(cosines * target, -1, keepdims=True)
        return jnp.where(target > 0, self.target(true), self.scale * cosines)


def arcface(scale: float = 64.0, margin: float = 0.5) -> Margin:
    """ArcFace with its rule beyond pi."""
    return Margin(scale, additive=margin)


def cosface(scale: float = 64.0, margin: float = 0.35) -> Margin:
    """CosFace; insightface's margin is 0.4."""
    return Margin(scale, cosine=margin)


def combined(scale: float, angular: float, additive: float, cosine: float) -> Margin:
    """The combined margin of the ArcFace paper, equation 4."""
    return Margin(scale, angular, additive, cosine)


def normalised_softmax(scale: float = 64.0) -> Margin:
    """No margin (NormFace)."""
    return Margin(scale)


def unit(vectors: Array) -> Array:
    """`[..., n]` in float32, of length 1; a vector of zeros stays, and has a gradient of zero."""
    vectors = vectors.astype(jnp.promote_types(vectors.dtype, jnp.float32))
    square = jnp.sum(jnp.square(vectors), -1, keepdims=True)
    tiny = square < SMALL**2
    length = jnp.sqrt(jnp.where(tiny, 1.0, square))
    return jnp.where(tiny, 0.0, vectors / length)


def cosines(embeddings: Array, classes: Array) -> Array:
    """`[batch, classes]` of `[batch, n]` and `[classes, n]`, in [-1, 1]."""
    product = jnp.matmul(unit(embeddings), unit(classes).T, precision=jax.lax.Precision.HIGHEST)
    return jnp.clip(product, -1, 1)


def margin_losses(
    margin: Margin, cosines: Array, target: Array, known: Array | None = None
) -> Array:
    """Cross-entropy `[batch]` in nats.

    Args:
        margin: of the true class.
        cosines: `[batch, classes]`; the class axis may lie on any devices.
        target: one-hot, `[batch, classes]`.
        known: bool `[classes]`; others take no part (Partial FC).
    """
    logits = margin.logits(cosines, target)
    if known is not None:
        logits = jnp.where(known[None], logits, -jnp.inf)
    true = jnp.sum(jnp.where(target > 0, logits, 0.0), -1)
    return jax.nn.logsumexp(logits, -1) - true
