"""Numbers that do not vary from machine to machine: operations of a compiled step, compilations, transfers.

Whoever changes the step sees here what became of it.
"""

import collections
import contextlib
import logging
import re
from typing import Any

import jax
import pytest

from jresnet.models import zoo
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.classify import Classify
from jresnet.train import pending
from jresnet.train.feed import Feed
from jresnet.train.optim import sgd
from jresnet.train.setup import compiled, initialisation, spread
from jresnet.train.step import make_train_step
from tests.train.toy import DATA, classify, train


def program(net, devices=1):
    """How often each operation is in the compiled train step, and what becomes of its arguments."""
    task = Classify(net, classify().normalize)
    optimizer = sgd(lambda step: 0.1, weight_decay=1e-4)
    mesh = make_mesh(devices)
    example = spread(DATA.example_batch, mesh)
    _, state = initialisation(task, optimizer, None, example, mesh)
    step: Any
    step, _ = compiled(
        lambda key, _: make_train_step(task, optimizer, key),
        jax.random.key(0),
        state,
        Feed(DATA, mesh),
    )
    (step,) = step.programs.values()
    return (
        collections.Counter(re.findall(r"= (?:\(.*?\)|\S+) ([a-z][\w-]*)\(", step.as_text())),
        step,
        state,
    )


def test_convolutions_and_what_surrounds_them():
    counts, *_ = program(zoo.cifar_resnet(8))
    # Seven layers forward, seven gradients of kernels, six of inputs: the images need none.
    assert counts["convolution"] == 7 + 7 + 6
    # A BatchNorm sums x and x^2, and its gradient three; and so do the head and its gradient.
    assert counts["dot"] <= 7 * 8 + 3
    # For XLA:CPU the gradients' operands are laid out anew: four times a layer, less for the first.
    assert counts["transpose"] <= 4 * 7
    assert counts["copy"] <= 8 * 7
    moved = {"send", "recv", "infeed", "outfeed"}
    assert not moved & set(counts)  # nothing leaves the device while a step runs


@pytest.mark.parametrize("blocks", [1, 3])
def test_all_reduces_of_the_whole_batch_and_of_groups(blocks):
    def reduces(**backbone):
        net = zoo.cifar_resnet(6 * blocks + 2, **backbone)
        return program(net, devices=8)[0]["all-reduce"]

    # All gradients and metrics go together; each BatchNorm sums forward and backward.
    assert reduces() <= 2 * (6 * blocks + 1) + 1
    assert reduces(norm=part(BatchNorm, group=2)) == 1


def test_the_state_is_donated():
    _, step, state = program(zoo.cifar_resnet(8))
    memory = step.memory_analysis()
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert memory.alias_size_in_bytes == size


@contextlib.contextmanager
def compilations():
    """Names of what is compiled meanwhile."""
    names: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            if name := re.match(r"Finished XLA compilation of jit\((\w+)\)", record.getMessage()):
                names.append(name[1])

    handler, logger = Handler(), logging.getLogger("jax._src.dispatch")
    logger.addHandler(handler)
    before = jax.config.jax_log_compiles
    jax.config.update("jax_log_compiles", True)
    try:
        yield names
    finally:
        jax.config.update("jax_log_compiles", before)
        logger.removeHandler(handler)


def test_a_run_compiles_each_program_once(tmp_path):
    with compilations() as names:
        train(tmp_path)
    counted = collections.Counter(names)
    # Three evaluations on the way and one of two splits at the end, several batches each.
    assert counted["train_step"] == counted["eval_step"] == counted["init"] == 1


def test_runs_that_differ_in_their_seed_are_one_program():
    task, optimizer, mesh = classify(), sgd(lambda step: 0.1), make_mesh(1)
    example = spread(DATA.example_batch, mesh)
    _, state = initialisation(task, optimizer, None, example, mesh)

    def text(seed):
        step: Any
        step, _ = compiled(
            lambda key, _: make_train_step(task, optimizer, key),
            jax.random.key(seed),
            state,
            Feed(DATA, mesh),
        )
        (compiled_step,) = step.programs.values()
        lines = [line for line in compiled_step.as_text().splitlines() if " = " in line]
        return [re.sub(r", metadata=\{.*?\}", "", line) for line in lines]  # where it was written

    assert len(text(0)) > 100
    assert text(0) == text(1)


def test_metrics_are_taken_over_when_a_window_ends_and_not_every_step(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(pending, "fetch", lambda metrics: taken.append(len(metrics)) or metrics)
    train(tmp_path, steps=8, log_every=4, eval_every=None, save_every=None)
    assert taken == [4, 4]
