"""Paths: their lengths in closed form, their gradients against the loss's."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.analysis.chain import chain
from jresnet.analysis.paths import PathGradients, ShortPaths, effective_lengths, path_lengths
from jresnet.models import zoo
from tests.nets import apply, normal, random_variables


def test_lengths_of_the_paper_s_54_blocks():
    shares = path_lengths(54)
    assert shares.sum() == pytest.approx(1)
    assert shares[19:36].sum() == pytest.approx(0.9802, abs=5e-5)
    assert shares[5:18].sum() == pytest.approx(0.004537, abs=5e-7)
    assert np.arange(55) @ shares == pytest.approx(27)
    assert effective_lengths(shares, 0.98) == (19, 35)


def test_effective_lengths_are_the_shortest_run():
    shares = np.array([0.0, 1, 5, 3, 1, 0])
    assert effective_lengths(shares, 0.8) == (2, 3)
    assert effective_lengths(shares, 0.9) == (1, 3)
    assert effective_lengths(shares, 1.0) == (1, 4)


@pytest.mark.parametrize("preactivation", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_all_paths_add_up_to_the_gradient(preactivation):
    net, x = zoo.cifar_resnet(14, preactivation=preactivation), normal(3, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    batch = {"image": x, "label": jnp.array([1, 2, 3])}
    actual = PathGradients(chain(net), variables, batch)
    paths = [
        np.asarray(actual(chosen))
        for length in range(7)
        for chosen in itertools.combinations(range(6), length)
    ]
    assert len(paths) == 2**6

    @jax.jit
    def whole(h):
        logits = h
        for block in chain(net).blocks:
            logits = block(variables, logits)
        logits = chain(net).head(variables, logits)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

    expected = jax.grad(whole)(actual.inputs[0])
    np.testing.assert_allclose(np.sum(paths, 0), expected, rtol=1e-3, atol=1e-6)
    # The path through no branch sees shortcuts only, and is one of them.
    norms = actual.norms(0, 2, np.random.default_rng(0))
    np.testing.assert_allclose(norms, np.linalg.norm(paths[0]), rtol=1e-5)
    lengths = actual.norms(6, 1, np.random.default_rng(0))
    np.testing.assert_allclose(lengths, np.linalg.norm(paths[-1]), rtol=1e-5)


@pytest.mark.slow
def test_short_paths_train_as_many_blocks_as_said():
    net = zoo.cifar_resnet(14, 7)
    short = ShortPaths(net.backbone, 7, modules=2)
    x = normal(4, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    assert jax.tree.structure(random_variables(short, x.shape[1:])) == jax.tree.structure(variables)
    np.testing.assert_array_equal(
        apply(short, variables, x, train=False), apply(net, variables, x, train=False)
    )
    pairs = list(itertools.combinations(range(6), 2))

    @jax.jit
    def of_gates(gates):
        return net.apply(variables, x, train=True, gates=gates, mutable=["batch_stats"])[0]

    @jax.jit
    def drawn(key):
        rngs = {"dropout": key}
        return short.apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"])[0]

    expected = [of_gates(jnp.zeros(6).at[jnp.array(pair)].set(3.0)) for pair in pairs]
    chosen = set()
    for seed in range(3):
        actual = drawn(jax.random.key(seed))
        (pair,) = (
            p for p, e in zip(pairs, expected, strict=True) if jnp.allclose(e, actual, atol=1e-5)
        )
        chosen.add(pair)
    assert len(chosen) > 1
