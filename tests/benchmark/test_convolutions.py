"""Single convolutions and their gradients, beside second ways and beside PyTorch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.benchmark import beside, convolutions
from jresnet.benchmark.convolutions import KINDS, PASSES, Convolution, one_pass
from jresnet.benchmark.timing import OURS


def small(kind: Convolution) -> Convolution:
    """The kind on few pixels and channels."""
    *spatial, _ = kind.image
    channels = 4 if kind.groups == 1 else 8
    groups = 1 if kind.groups == 1 else 4
    return dataclasses.replace(kind, image=(*(13 for _ in spatial), channels), groups=groups)


def arrays(kind: Convolution) -> list[np.ndarray]:
    """An input, a kernel and factors of the results."""
    rng = np.random.default_rng(0)
    x, kernel = (
        rng.normal(size=shape).astype(np.float32) for shape in ((2, *kind.image), kind.weight)
    )
    shares = rng.normal(size=jax.eval_shape(kind, x, kernel).shape).astype(np.float32)
    return [x, kernel, shares]


@pytest.mark.parametrize("name", KINDS)
def test_either_gradient_is_the_change_of_the_sum(name):
    kind = small(KINDS[name])
    x, kernel, shares = arrays(kind)
    rng = np.random.default_rng(1)
    for wanted, changed in (("input", x), ("weight", kernel)):
        gradient = np.asarray(one_pass(kind, wanted)(x, kernel, shares))
        step = rng.normal(size=changed.shape).astype(np.float32)
        # The convolution is linear in each: no limit is needed.
        after = kind(step, kernel) if wanted == "input" else kind(x, step)
        np.testing.assert_allclose((gradient * step).sum(), (after * shares).sum(), rtol=2e-4)


def test_one_axis_as_two_gives_the_same():
    kind = small(KINDS["line"])
    x, kernel, shares = map(jnp.asarray, arrays(kind))
    for wanted in PASSES:
        one, two = (one_pass(way, wanted)(x, kernel, shares) for way in (kind, kind.as_plane))
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_rows_are_ours_where_pytorch_is_missing():
    kind = small(KINDS["line"])
    rows = dict(convolutions.convolution(kind, "input", "infer", 1, None, np.float32))
    assert list(rows) == [OURS, f"{OURS}, over two axes"]
    rows[OURS].run(2)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_pytorch_computes_the_same_convolution(name):
    pytest.importorskip("torchvision", reason="PyTorch, the peer, is not installed")
    theirs = beside.peer_module("torch_convolutions")
    kind = small(KINDS[name])
    x, kernel, shares = arrays(kind)
    for wanted in PASSES:
        ours = np.asarray(one_pass(kind, wanted)(x, kernel, shares))
        peer = theirs.convolution_step(kind, wanted, x, kernel, shares)()
        peer = (peer if wanted == "forward" else peer[0]).detach().numpy()
        back = (
            np.moveaxis(peer, (0, 1), (-1, -2)) if wanted == "weight" else np.moveaxis(peer, 1, -1)
        )
        np.testing.assert_allclose(ours, back, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_pytorch_s_deeplab_takes_our_weights():
    pytest.importorskip("torchvision", reason="PyTorch, the peer, is not installed")
    theirs = beside.peer_module("torch_convolutions")
    for stride in (8, 16):
        rows = functools.partial(convolutions.deeplab, stride, "input", "infer", 1, theirs)
        timed = dict(rows(jnp.float32, side=65))
        assert list(timed) == [OURS, theirs.NAME]
