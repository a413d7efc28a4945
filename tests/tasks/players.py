"""A GAN on the digits: two players by one scalar."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.tasks.base import total
from tests.tasks.toys import examples


class Critic(nn.Module):
    """How real an image looks."""

    @nn.compact
    def __call__(self, x):
        x = nn.leaky_relu(nn.Conv(8, (3, 3), strides=2, name="conv1")(x))
        x = nn.leaky_relu(nn.Conv(16, (3, 3), strides=2, name="conv2")(x))
        return nn.Dense(1, name="head")(x.reshape(len(x), -1))[:, 0]


class Painter(nn.Module):
    """An image from noise."""

    @nn.compact
    def __call__(self, z):
        x = nn.relu(nn.Dense(64, name="dense1")(z))
        return nn.sigmoid(nn.Dense(64, name="dense2")(x)).reshape(-1, 8, 8, 1)


@dataclasses.dataclass(frozen=True)
class TwoPlayers:
    """L_G(g, stop_gradient(d)) + L_D(stop_gradient(g), d), Goodfellow et al. 2014, arXiv:1406.2661."""

    painter: nn.Module = dataclasses.field(default_factory=Painter)
    critic: nn.Module = dataclasses.field(default_factory=Critic)
    noise: int = 8

    def init(self, rng, batch):
        one, two = jax.random.split(rng)
        z = jnp.zeros((len(batch["image"]), self.noise))
        g = self.painter.init(one, z)["params"]
        return {"params": {"g": g, "d": self.critic.init(two, batch["image"] / 255.0)["params"]}}

    def players(self, params, images, z, frozen=jax.lax.stop_gradient):
        """The losses of the painter and of the critic, `[batch]` each."""
        g, d = params["g"], params["d"]

        def judged(d, images) -> Any:
            return self.critic.apply({"params": d}, images)

        fake = self.painter.apply({"params": g}, z)
        painter = jax.nn.softplus(-judged(frozen(d), fake))
        critic = jax.nn.softplus(-judged(d, images)) + jax.nn.softplus(judged(d, frozen(fake)))
        return painter, critic

    def loss(self, variables, batch, rng):
        z = jax.random.normal(rng, (len(batch["image"]), self.noise))
        painter, critic = self.players(variables["params"], batch["image"] / 255.0, z)
        metrics = {
            "loss": total(painter + critic),
            "painter": total(painter),
            "critic": total(critic),
            "examples": examples(batch),
        }
        return (painter + critic).mean(), ({}, metrics)

    def evaluate(self, variables, batch):
        z = jax.random.normal(jax.random.key(0), (len(batch["image"]), self.noise))
        painter, critic = self.players(variables["params"], batch["image"] / 255.0, z)
        valid = batch["valid"]
        return {
            "loss": total(painter + critic, valid),
            "critic": total(critic, valid),
            "examples": examples(batch),
        }
