"""A layer with noise in its weights, by which an agent explores."""

import jax
import jax.numpy as jnp
from flax import linen as nn

Array = jax.Array


class NoisyDense(nn.Module):
    """Weights with factorised noise of a learnt size (Fortunato et al. 2017, arXiv:1706.10295, 3b).

    `[batch, inputs]` to `[batch, features]`. The noise is drawn once a pass, from the random key
    "noise"; without that key there is none, as in evaluation. `size` is the paper's sigma 0.
    """

    features: int
    size: float = 0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inputs = x.shape[-1]
        bound = inputs**-0.5

        def uniform(key: Array, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        level = nn.initializers.constant(self.size * bound)
        kernel = self.param("kernel", uniform, (inputs, self.features))
        bias = self.param("bias", uniform, (self.features,))
        kernel_noise = self.param("kernel_noise", level, (inputs, self.features))
        bias_noise = self.param("bias_noise", level, (self.features,))
        if self.has_rng("noise"):
            key, other = jax.random.split(self.make_rng("noise"))
            before = _shaped(jax.random.normal(key, (inputs,)))
            after = _shaped(jax.random.normal(other, (self.features,)))
            kernel = kernel + kernel_noise * jnp.outer(before, after)
            bias = bias + bias_noise * after
        return x @ kernel + bias[None]


def _shaped(noise: Array) -> Array:
    """The paper's f: the square root of the size, with the sign."""
    return jnp.sign(noise) * jnp.sqrt(jnp.abs(noise))
