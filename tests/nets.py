"""Variables and inputs made by numpy, which takes no compilation."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.models.published import abstract_variables


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, which is closed again."""
    with np.load(path) as file:
        return dict(file)


def normal(*shape: int, seed: int = 0) -> jax.Array:
    """Standard normal float32."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def random_variables(net: Any, image: tuple[int, ...], seed: int = 0) -> dict[str, Any]:
    """A net's variables, all random: He-normal kernels, scales and variances about 1."""
    rng = np.random.default_rng(seed)

    def draw(path: Any, leaf: Any) -> jax.Array:
        values, name = rng.normal(size=leaf.shape), path[-1].key
        if name == "kernel":
            values *= math.sqrt(2 / math.prod(leaf.shape[:-1]))
        elif name in ("scale", "var"):
            values = 1 + 0.1 * np.abs(values)
        else:
            values *= 0.1
        return jnp.asarray(values, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, abstract_variables(net, image))


def apply(net: Any, variables: Any, x: Any, seed: int = 0, **options: Any) -> Any:
    """`net.apply` under jit; with `train=True` the output and the new batch statistics."""
    rngs = {"dropout": jax.random.key(seed)}
    mutable = ["batch_stats"] if options.get("train") else False

    def run(variables: Any, x: Any, arrays: Any) -> Any:
        return net.apply(variables, x, rngs=rngs, mutable=mutable, **options, **arrays)

    arrays = {k: options.pop(k) for k in list(options) if isinstance(options[k], jax.Array)}
    return jax.jit(run)(variables, x, arrays)
