"""Heads of agents: a policy with a value, and the values of actions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.heads.noisy import NoisyDense

Array = jax.Array
SQRT2 = 2.0**0.5


class Agent(nn.Module):
    """A backbone, its last feature flattened, and a layer of `hidden` units with ReLU.

    With `norm` a LayerNorm stands before that ReLU (PQN, arXiv:2407.04811, section 3). Images of
    uint8 are scaled to [0, 1].
    """

    backbone: nn.Module
    actions: int
    hidden: int = 256
    norm: bool = False

    def features(self, x: Array, *, train: bool) -> dict[str, Array]:
        """The backbone's features by name: `model.apply(..., method="features")`."""
        call: Callable[..., dict[str, Array]] = self.backbone  # type: ignore[assignment]
        x = x / 255.0 if x.dtype == jnp.uint8 else x
        return call(x, train=train)

    def embedded(self, x: Array, *, train: bool) -> Array:
        """`[batch, H, W, channels]` to float32 `[batch, hidden]`."""
        last = list(self.features(x, train=train).values())[-1]
        flat = last.reshape(len(last), -1).astype(jnp.float32)
        y = self.layer(self.hidden, SQRT2, "hidden")(flat)
        return nn.relu(nn.LayerNorm(name="hidden_norm")(y) if self.norm else y)

    def layer(self, features: int, scale: float, name: str) -> Any:
        """A layer after the encoder."""
        return linear(features, scale, name)


class ActorCritic(Agent):
    """Logits of the actions `[batch, actions]` and the value `[batch]`, float32.

    Layers start orthogonal: the policy at 0.01, so that all actions are about as likely at first,
    the value at 1 (arXiv:2006.05990, section 3.2, and the code of PPO, arXiv:1707.06347).
    """

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        y = self.embedded(x, train=train)
        return linear(self.actions, 0.01, "policy")(y), linear(1, 1.0, "value")(y)[:, 0]


class ActionValues(Agent):
    """The value of each action, float32 `[batch, actions]`.

    - dueling: a value of the state is added to advantages that are centred (arXiv:1511.06581,
      equation 9).
    - atoms: with it the result is `[batch, actions, atoms]`, logits of a distribution of the return
      over so many values (arXiv:1707.06887, section 4).
    - noisy: layers after the encoder have noise in their weights (`NoisyDense`).
    """

    dueling: bool = False
    atoms: int | None = None
    noisy: bool = False

    def layer(self, features: int, scale: float, name: str) -> Any:
        if self.noisy:
            return NoisyDense(features, name=name)
        return linear(features, scale, name)

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        y = self.embedded(x, train=train)
        each = self.atoms or 1
        name = "advantage" if self.dueling else "values"
        values = self.layer(self.actions * each, 1.0, name)(y).reshape(-1, self.actions, each)
        if self.dueling:
            centred = values - values.mean(1, keepdims=True)
            values = self.layer(each, 1.0, "value")(y)[:, None] + centred
        return values if self.atoms else values[..., 0]


def linear(features: int, scale: float, name: str) -> Any:
    """A layer whose kernel starts orthogonal times `scale`, its bias at 0."""
    return nn.Dense(features, kernel_init=nn.initializers.orthogonal(scale), name=name)
