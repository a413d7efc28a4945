"""Nets of agents: published counts, a second way of computing, twins, scanned depth."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.headed import unrolled
from jresnet.models.scan import stack, unstack

SEEN = jax.random.uniform(jax.random.key(1), (3, 10, 10, 4))


def count(net, *shape):
    x = jnp.zeros((1, *shape))
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), x, train=False))
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        (zoo.impala(18), 1_094_115),  # with a value, without an LSTM
        (zoo.nature_cnn(18, values=True), 1_693_362),
        # With a scale and a shift for 32, 64, 64 and 512 channels.
        (zoo.nature_cnn(18, values=True, norm=True), 1_693_362 + 2 * (32 + 64 + 64 + 512)),
    ],
)
def test_published_counts(net, parameters):
    assert count(net, 84, 84, 4) == parameters


def test_boards_too_small_for_the_dqn_paper_s_net_are_refused():
    with pytest.raises(ValueError, match="images of 10 x 10: expected at least 36 pixels"):
        count(zoo.nature_cnn(3), 10, 10, 4)
    assert count(zoo.nature_cnn(3), 36, 36, 4) > 0


def test_plain_twin_has_the_same_parameters_and_another_result():
    net = zoo.small_impala(3, 4, 2)
    twin = zoo.plain(net)
    variables = net.init(jax.random.key(0), SEEN, train=False)
    assert jax.tree.structure(twin.init(jax.random.key(0), SEEN, train=False)) == (
        jax.tree.structure(variables)
    )
    logits, values = net.apply(variables, SEEN, train=False)
    assert logits.shape == (3, 3)
    assert values.shape == (3,)
    assert not np.allclose(values, twin.apply(variables, SEEN, train=False)[1])


# The net of figure 3 once more, in NumPy.
def convolution(x, layer):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("bhwikl,klio->bhwo", windows, layer["kernel"]) + layer["bias"]


def pooled(x):
    """3x3/2, SAME: an even side is padded at its end alone, an odd one at both."""
    pads = [(0, 1) if side % 2 == 0 else (1, 1) for side in x.shape[1:3]]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return windows[:, ::2, ::2].max((-1, -2))


def test_impala_is_the_published_net():
    net = zoo.impala(3, hidden=8)
    variables = net.init(jax.random.key(0), SEEN, train=False)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    x = np.asarray(SEEN, np.float64)
    body = params["backbone"]
    for stage in (1, 2, 3):
        x = pooled(convolution(x, body[f"conv{stage}"]))
        for block in ("block1", "block2"):
            layers = body[f"stage{stage}"][block]
            y = convolution(np.maximum(x, 0), layers["conv1"])
            x = x + convolution(np.maximum(y, 0), layers["conv2"])
    flat = np.maximum(x, 0).reshape(3, -1)
    hidden = np.maximum(flat @ params["hidden"]["kernel"] + params["hidden"]["bias"], 0)
    logits, values = net.apply(variables, SEEN, train=False)
    np.testing.assert_allclose(logits, hidden @ params["policy"]["kernel"], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(values, (hidden @ params["value"]["kernel"])[:, 0], rtol=2e-3)


def test_a_scanned_encoder_is_the_unrolled_one_and_is_deep():
    net = zoo.small_impala(3, 4, 32, 8)
    assert net.backbone.scan
    variables = net.init(jax.random.key(0), SEEN, train=False)
    assert len(jax.tree.leaves(variables["params"]["backbone"]["stage1"]["blocks"])[0]) == 31
    shallow = zoo.small_impala(3, 4, 4, 8, scan=True)
    variables = shallow.init(jax.random.key(0), SEEN, train=False)
    flat = unstack(variables)
    assert set(flat["params"]["backbone"]["stage1"]) == {f"block{n}" for n in (1, 2, 3, 4)}
    assert jax.tree.structure(stack(flat)) == jax.tree.structure(variables)
    one, other = shallow.apply(variables, SEEN, train=False), unrolled(shallow).apply(flat, SEEN, train=False)  # fmt: skip
    np.testing.assert_allclose(one[1], other[1], rtol=1e-4)


def test_a_scanned_encoder_of_any_depth_is_one_program():
    """By shapes and traces alone: parameters grow by those of a block, equations do not."""
    equations = set()
    for blocks in (8, 32, 128):
        net = zoo.small_impala(3, 4, blocks, 8)
        assert net.backbone.scan == (blocks > 8)
        net = zoo.small_impala(3, 4, blocks, 8, scan=True)
        rest = 9 * 4 * 4 + 4 + (10 * 10 * 4 + 1) * 8 + (8 + 1) * (3 + 1)
        assert count(net, 10, 10, 4) == rest + blocks * 2 * (9 * 4 * 4 + 4)
        abstract = jax.eval_shape(lambda net=net: net.init(jax.random.key(0), SEEN, train=False))
        flat = jax.eval_shape(unstack, abstract)
        assert len(flat["params"]["backbone"]["stage1"]) == blocks
        expected = jax.eval_shape(
            lambda net=net: unrolled(net).init(jax.random.key(0), SEEN, train=False)
        )
        assert jax.tree.map(jnp.shape, flat) == jax.tree.map(jnp.shape, expected)
        trace = jax.make_jaxpr(lambda variables, net=net: net.apply(variables, SEEN, train=False))
        equations.add(len(trace(abstract).eqns))
    assert len(equations) == 1


def test_dueling_values_are_centred_and_policies_have_none():
    net = zoo.small_impala(3, 4, values=True, dueling=True, norm=True)
    variables = net.init(jax.random.key(0), SEEN, train=False)
    params: Any = variables["params"]
    values: Any = net.apply(variables, SEEN, train=False)
    shifted = params | {"advantage": params["advantage"] | {"bias": jnp.full((3,), 5.0)}}
    np.testing.assert_allclose(
        net.apply({"params": shifted}, SEEN, train=False), values, rtol=1e-4, atol=1e-5
    )
    raised = params | {"value": params["value"] | {"bias": jnp.full((1,), 5.0)}}
    after = net.apply({"params": raised}, SEEN, train=False)
    np.testing.assert_allclose(after, values + 5, rtol=1e-5)
    with pytest.raises(ValueError, match="dueling=True: expected values=True"):
        zoo.small_impala(3, dueling=True)
