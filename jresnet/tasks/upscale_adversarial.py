"""Super-resolution against a judge of pictures: SRGAN (Ledig et al. 2017, arXiv:1609.04802)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.heads.upsample import Discriminator
from jresnet.tasks.base import CONSTANTS, Array, Batch, Metrics, Variables, total
from jresnet.tasks.upscale import Upscale

JUDGE = "discriminator"  # its variables, in each collection beside those of the model


@dataclasses.dataclass(frozen=True)
class UpscaleAdversarially(Upscale):
    """`Upscale` with a second player, the `judge`, which learns to tell results from truth.

    The scalar is `L_G(g, stop_gradient(d)) + L_D(stop_gradient(g), d)`: each player's gradient is that
    of its own loss. The model's is `criterion` plus `adversarial` times -log D(result), the judge's
    -log D(truth) - log(1 - D(result)), the mean over the batch (section 2.2 and equation 3). The
    judge's variables lie under `discriminator`; its size is that of the training patches.

    Its BatchNorm normalises truth and results each by their own statistics, and its running
    statistics take in truth, then results, once a step; what the model's loss asks of the judge
    leaves no trace in it.

    Further metrics in training: `model` and `judge`, the two losses, and `told`, the share of pictures
    that the judge takes for what they are.
    """

    judge: nn.Module = dataclasses.field(default_factory=Discriminator)
    adversarial: float = 1e-3

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        one, two = jax.random.split(rng)
        variables = super().init(one, batch)
        judge = self.judge.init(two, batch["image"].astype(jnp.float32) / 255, train=True)
        for kind, tree in judge.items():
            variables[kind] = {**variables.get(kind, {}), JUDGE: tree}
        return variables

    def of_model(self, variables: Variables) -> dict[str, Any]:
        kept = {
            kind: {name: leaf for name, leaf in tree.items() if name != JUDGE}
            for kind, tree in variables.items()
            if kind != CONSTANTS
        }
        return {kind: tree for kind, tree in kept.items() if tree}

    def of_judge(self, variables: Variables) -> dict[str, Any]:
        """The variables that are the judge's."""
        return {
            kind: tree[JUDGE]
            for kind, tree in variables.items()
            if kind != CONSTANTS and JUDGE in tree
        }

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, place = jax.random.split(rng)
        low, truth = self.patches(batch, place)
        ours, state = self.enlarged(variables, low, dropout)
        pixels = self.criterion(ours, truth / 255, variables.get(CONSTANTS))
        judge = self.of_judge(variables)

        # The model plays against the judge as it stands.
        frozen = jax.lax.stop_gradient(judge)
        fooled, _ = self._judged(frozen, ours)
        model = pixels + self.adversarial * jax.nn.softplus(-fooled)

        # The judge plays against results as they stand.
        real, seen = self._judged(judge, truth / 255)
        fake, seen = self._judged({**judge, **seen}, jax.lax.stop_gradient(ours))
        judging = jax.nn.softplus(-real) + jax.nn.softplus(fake)

        for kind, tree in seen.items():
            state[kind] = {**state.get(kind, {}), JUDGE: tree}
        valid = batch.get("valid")
        told = ((real > 0).astype(jnp.float32) + (fake < 0)) / 2
        metrics = self.training_metrics(model + judging, ours, truth, batch)
        for name, values in (("model", model), ("judge", judging), ("told", told)):
            metrics[name] = total(values, valid)
        return (model + judging).mean(), (state, metrics)

    def _judged(self, judge: Variables, pictures: Array) -> tuple[Array, dict[str, Any]]:
        """Logits of pictures in [0, 1], and the judge's new statistics."""
        state = [kind for kind in judge if kind != "params"]
        logits, new = self.judge.apply(judge, pictures, train=True, mutable=state)
        return logits, dict(new)
