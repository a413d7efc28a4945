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
STEEPEST = 2.33  # of `linear`: cos m + m sin m is at least 1 up to here
EDGE = 1e-7  # the exact derivative of arccos is infinite at 1 and -1: cosines stay this far off


@dataclasses.dataclass(frozen=True)
class Margin:
    """`scale * (cos(angular * theta + additive) - cosine)` for the true class, `scale * cos` for others.

    - scale: s, at least as large as more classes need it.
    - angular: m1 of SphereFace (arXiv:1704.08063); 1 for none.
    - additive: m2 of ArcFace, in radians, below pi: at pi the true class would have no margin.
    - cosine: m3 of CosFace.
    - beyond_pi: where the angle `angular * theta + additive` exceeds pi its cosine would grow again.
      `linear`, for an `angular` of 1 alone, takes `cos - additive * sin(pi - additive)` there, as
      ArcFace's first code; beyond an `additive` of 2.33 that line would begin above the curve.
      `falling` takes `(-1)^k * cos(angle) - 2 k` from k pi to (k + 1) pi, SphereFace's psi (section
      3.2). `none` lets it grow, as insightface's PyTorch code.
    - gradient: `exact`, or `straight` through the margin as insightface's PyTorch code: the derivative
      of the logit by the cosine is `scale`.

    Raises ValueError for a scale that is not positive, for a margin below 0 or too large for the
    rule, and for numbers that are not finite.
    """

    scale: float = 64.0
    angular: float = 1.0
    additive: float = 0.0
    cosine: float = 0.0
    beyond_pi: Literal["linear", "falling", "none"] = "linear"
    gradient: Gradient = "exact"

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale={self.scale}: expected a finite number above 0")
        for name, low in (("angular", 1), ("cosine", 0)):
            if not low <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name}={getattr(self, name)}: expected a finite number of {low} or more"
                )
        if not 0 <= self.additive < math.pi:
            raise ValueError(f"additive={self.additive}: expected 0 or more and below pi")
        if self.beyond_pi != "linear":
            return
        if self.additive > STEEPEST:
            raise ValueError(f"additive={self.additive}: expected at most {STEEPEST} unless beyond_pi=falling")  # fmt: skip
        if self.angular != 1:
            raise ValueError(f"angular={self.angular}: expected 1 unless beyond_pi=falling or none")

    def target(self, cosine: Array) -> Array:
        """The logit of the true class, `[...]` like its cosine."""
        if self.angular == 1 and self.additive == 0:
            return self.scale * (cosine - self.cosine)
        inside = jnp.clip(cosine, -1 + EDGE, 1 - EDGE) if self.gradient == "exact" else cosine
        angle = self.angular * jnp.arccos(jnp.clip(inside, -1, 1)) + self.additive
        moved = jnp.cos(angle)
        if self.beyond_pi == "linear":
            edge = math.cos(math.pi - self.additive)
            line = cosine - self.additive * math.sin(math.pi - self.additive)
            moved = jnp.where(cosine > edge, moved, line)
        elif self.beyond_pi == "falling":
            turns = jnp.floor(angle / math.pi)
            moved = jnp.where(turns % 2 == 0, moved, -moved) - 2 * turns
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
    """The combined margin of the ArcFace paper, equation 4; it falls beyond pi as SphereFace's.

    With an `angular` margin of 1 and an `additive` one of 2.33 or less it goes on as ArcFace's.
    """
    rule = "linear" if angular == 1 and additive <= STEEPEST else "falling"
    return Margin(scale, angular, additive, cosine, rule)


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
