"""Classification with a teacher: a net learns the probabilities or the features of another one."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jresnet.errors import UsageError
from jresnet.tasks.base import CONSTANTS, Array, Batch, Metrics, Variables, total
from jresnet.tasks.classify import Classify

TEACHER = "teacher"  # among an Experiment's constants: the variables of the teacher
START = "start"  # and the backbone's parameters where the training began


@dataclasses.dataclass(frozen=True)
class Distil(Classify):
    """The loss of `Classify`, and how far the net is from its teacher on the same views.

    The teacher sees each image as it is augmented and mixed for the net (arXiv:2106.05237, section
    3.1), in evaluation mode, normalised alike. Its variables are the constant `TEACHER`.

    - teacher: a classifier.
    - share: weight of the teacher's probabilities; the labels' is 1 - share. Their loss is the
      Kullback-Leibler divergence at `temperature`, times its square (Hinton et al. 2015,
      arXiv:1503.02531, section 2).
    - temperature: of both softmaxes.
    - hints: weight of the features of all stages: mean squared differences, over the teacher's mean
      square. Deviation from arXiv:1412.6550, section 2.2: no regressor, features need one shape.

    Metrics in training: `loss` (the sum that is minimised) and `error` against the labels; besides
    `divergence` and `hint_loss` where they count.
    """

    teacher: nn.Module = dataclasses.field(kw_only=True)
    share: float = 1.0
    temperature: float = 1.0
    hints: float = 0.0
    predicts_without_constants = True

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"share={self.share}: expected 0 to 1")
        if self.temperature <= 0:
            raise UsageError(f"temperature={self.temperature}: expected above 0")

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        passed = self.forward(variables, batch, rng, features=self.hints > 0)
        teacher = variables[CONSTANTS][TEACHER]
        losses = (1 - self.share) * self.criterion(passed.logits, passed.targets)
        parts: Metrics = {}
        if self.share:
            taught: Any = self.teacher.apply(teacher, passed.images, train=False)
            apart = divergence(passed.logits, jax.lax.stop_gradient(taught), self.temperature)
            losses = losses + self.share * apart
            parts["divergence"] = total(apart)
        if self.hints:
            features: Any = self.teacher.apply(
                teacher, passed.images, train=False, method="features"
            )
            apart = hint_losses(passed.features, jax.lax.stop_gradient(features))
            losses = losses + self.hints * apart
            parts["hint_loss"] = total(apart)
        return losses.mean(), (passed.state, self.metrics(losses, passed.logits, batch) | parts)


def divergence(logits: Array, taught: Array, temperature: float) -> Array:
    """The divergence of a net from its teacher in nats times the temperature's square, `[batch]`.

    Raises UsageError for logits `[batch, classes]` of other classes than the teacher's.
    """
    if logits.shape != taught.shape:
        raise UsageError(
            f"teacher={taught.shape[-1]} classes: expected {logits.shape[-1]}, those of the net"
        )
    log_shares = jax.nn.log_softmax(logits / temperature)
    shares = jax.nn.softmax(taught / temperature)
    return temperature**2 * optax.kl_divergence(log_shares, shares)


def hint_losses(features: Mapping[str, Array], taught: Mapping[str, Array]) -> Array:
    """Squared differences over the teacher's mean square, a mean over the features, `[batch]`.

    Raises UsageError for features of another shape than the teacher's.
    """
    losses = []
    for name, x in taught.items():
        if name not in features or features[name].shape != x.shape:
            shape = features[name].shape if name in features else None
            raise UsageError(f"teacher={name} {x.shape}: expected {shape}, that of the net")
        axes = tuple(range(1, x.ndim))
        squares = jnp.mean(jnp.square(x), dtype=jnp.float32)
        apart = jnp.mean(jnp.square(features[name] - x), axes, dtype=jnp.float32)
        losses.append(apart / jnp.maximum(squares, 1e-8))
    return jnp.mean(jnp.stack(losses), 0)


@dataclasses.dataclass(frozen=True)
class Anchored(Classify):
    """The loss of `Classify`, and a penalty on the way that the backbone's parameters went.

    L2-SP (Li et al. 2018, arXiv:1802.01483, equation 3): half of `strength` times the squared
    distance from where they started, the constant `START`, plus half of `decay` times the squared
    norm of the others, which began at random. It takes the place of weight decay.
    """

    strength: float = 0.01
    decay: float = 0.01
    predicts_without_constants = True

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        loss, rest = super().loss(variables, batch, rng)
        params, start = variables["params"], variables[CONSTANTS][START]
        moved = jax.tree.map(jnp.subtract, params["backbone"], start)
        others = {name: tree for name, tree in params.items() if name != "backbone"}
        penalty = self.strength * optax.tree.norm(moved, squared=True)
        penalty += self.decay * optax.tree.norm(others, squared=True)
        return loss + penalty / 2, rest
