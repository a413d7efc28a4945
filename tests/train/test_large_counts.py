"""Counts of an evaluation that 32 bits cannot hold."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import total
from jresnet.train import setup
from jresnet.train.state import create


@dataclasses.dataclass(frozen=True)
class Count:
    """A task that counts 2 x 10^8 pixels in each row, as maps of large volumes have."""

    def init(self, rng, batch):
        return {"params": {"w": jnp.zeros(())}}

    def loss(self, variables, batch, rng):
        raise NotImplementedError

    def evaluate(self, variables, batch):
        pixels = jnp.full((2, 2), 200_000_000, jnp.uint32)
        examples, _ = total(jnp.ones(len(batch["x"])))
        return {"confusion": (pixels, jnp.ones(())), "examples": (examples, jnp.ones(()))}

    def summary(self, totals):
        return {"pixels": float(np.asarray(totals["confusion"][0])[0, 0])}


class Rows:
    """Batches of one row each."""

    def examples(self, split, host):
        for _ in range(40):
            yield {"x": np.zeros((1, 2), np.float32)}

    def size(self, split):
        return 40


def test_pixels_of_many_batches_are_all_counted():
    task, data = Count(), Rows()
    state = create(task, optax.sgd(0.1), jax.random.key(0), {}, False)
    evaluate = setup.evaluator(task, data, make_mesh(1), (0, 1))
    results = evaluate(state, ("test",), lambda split: None)
    assert results["test"]["pixels"] == 40 * 200_000_000  # 1.9 times 2 ** 32
    assert jax.config.jax_enable_x64 is False
