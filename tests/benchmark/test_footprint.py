"""The memory that a program is said to take, beside what the compiler says."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jresnet.benchmark.footprint import footprint
from jresnet.commands.step_memory import step_footprint, usual_step
from jresnet.models import zoo
from jresnet.tasks.classify import Classify
from jresnet.train.optim import sgd
from jresnet.train.state import create
from jresnet.train.step import make_train_step
from tests.train.toy import classify

MIB = 2**20


def of_compiled(net, image, batch):
    """Arguments, and all that XLA holds at most."""
    task, optimizer = Classify(net, classify().normalize), sgd(lambda step: jnp.asarray(0.1))
    key = jax.random.key(0)
    images = {
        "image": jax.ShapeDtypeStruct((batch, *image), jnp.uint8),
        "label": jax.ShapeDtypeStruct((batch,), jnp.int32),
    }
    state = jax.eval_shape(lambda images: create(task, optimizer, key, images, False), images)
    step = jax.jit(make_train_step(task, optimizer, key), donate_argnums=0)
    used: Any = step.lower(state, images).compile().memory_analysis()
    results = used.output_size_in_bytes - used.alias_size_in_bytes
    return used.argument_size_in_bytes, (
        used.argument_size_in_bytes + results + used.temp_size_in_bytes
    )


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
    arguments, total = of_compiled(build(), image, batch)
    said = step_footprint(usual_step(build(), image), batch)
    assert said.arguments == pytest.approx(arguments, rel=0.01)
    assert said.total == pytest.approx(total, rel=0.15)


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
