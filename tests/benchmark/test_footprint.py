"""The memory that a program is said to take, beside what the compiler says."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jresnet.benchmark.footprint import footprint
from jresnet.commands.step_memory import compiled_footprint, step_footprint, usual_step
from jresnet.models import zoo

MIB = 2**20


@pytest.mark.parametrize(
    ("build", "image", "batch"),
    [
        (functools.partial(zoo.cifar_resnet, 20), (32, 32, 3), 32),
        pytest.param(
            functools.partial(zoo.cifar_resnet, 32, scan=True),
            (32, 32, 3),
            16,
            marks=pytest.mark.slow,
        ),
        pytest.param(functools.partial(zoo.wrn, 16, 4), (32, 32, 3), 32, marks=pytest.mark.slow),
        pytest.param(zoo.resnet18, (64, 64, 3), 16, marks=pytest.mark.slow),
    ],
    ids=["unrolled", "scanned", "wide", "pooled"],
)
def test_a_train_step_takes_what_was_said(build, image, batch):
    step = usual_step(build(), image)
    stated, said = compiled_footprint(step, batch), step_footprint(step, batch)
    assert said.arguments == pytest.approx(stated.arguments, rel=0.01)
    assert said.total == pytest.approx(stated.total, rel=0.15)


def test_elementwise_work_keeps_its_origins_and_takes_nothing():
    x, w = (
        jax.ShapeDtypeStruct((512, 512), jnp.float32),
        jax.ShapeDtypeStruct((512, 512), jnp.float32),
    )

    def product(x, w):
        return jnp.sum(x @ w)

    def chained(x, w):
        return jnp.sum(jnp.tanh(jnp.exp(x @ w) + 1))

    assert footprint(product, x, w).arguments == 2 * MIB
    # The product itself, and its sum.
    assert MIB <= footprint(product, x, w).working < 1.01 * MIB
    assert footprint(chained, x, w).working == footprint(product, x, w).working
    # What a product reads must lie in memory.
    read = footprint(lambda x, w: jnp.sum(jnp.exp(x) @ w), x, w).working
    assert 2 * MIB <= read < 2.01 * MIB


def test_what_nothing_reads_takes_nothing():
    x = jax.ShapeDtypeStruct((512, 512), jnp.float32)

    def idle(x):
        _ = (x @ x) @ x
        return jnp.sum(x)

    assert footprint(idle, x).working < 0.01 * MIB
