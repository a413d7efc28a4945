"""Scanned stages compute what unrolled ones do, and their program does not grow with depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import cpu, zoo
from jresnet.models.layers import convolve
from jresnet.models.published import abstract_variables
from jresnet.models.scan import scannable_convolve, stack, unstack
from tests.nets import apply, normal, random_variables


def small(**options):
    """Two stages, one of them strided; of each the blocks after the first are scanned."""
    net = zoo.cifar_resnet(20, **options)
    return net.clone(backbone=net.backbone.clone(depths=(3, 4), widths=(16, 32), strides=(1, 2)))


CASES = [
    (rank, kernel, stride, dilation, groups)
    for rank in (1, 2, 3)
    for kernel in (1, 3)
    for stride in (1, 2)
    for dilation in (1, 2)
    for groups in (1, 4)
] + [(2, 5, 3, 1, 2), (2, 7, 2, 1, 1)]


@cpu.without()  # of the convolution itself, not of the parts that a CPU makes of it
@pytest.mark.parametrize(("rank", "kernel", "stride", "dilation", "groups"), CASES)
def test_gradients_of_the_scannable_convolution(rank, kernel, stride, dilation, groups):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, *(11, 9, 8)[:rank], 8)).astype(np.float32)
    w = rng.normal(size=(kernel,) * rank + (8 // groups, 12)).astype(np.float32)
    pad = dilation * (kernel - 1) // 2
    settings = ((stride,) * rank, ((pad, pad),) * rank, (dilation,) * rank, groups)
    shape = jax.eval_shape(lambda x, w: convolve(x, w, *settings), x, w).shape
    dy = rng.normal(size=shape).astype(np.float32)

    def both_ways(method):
        y, pull = jax.vjp(lambda x, w: method(x, w, *settings), x, w)
        return y, pull(dy)

    y, plain = jax.jit(lambda: both_ways(convolve))()
    same, stated = jax.jit(lambda: both_ways(scannable_convolve))()
    np.testing.assert_array_equal(y, same)
    for one, other in zip(plain, stated, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def loss_and_gradients(net, variables, x, gates=None):
    def loss(params):
        logits, state = net.apply(
            {**variables, "params": params}, x, train=True, gates=gates, mutable=["batch_stats"]
        )
        return jnp.sum(jnp.square(logits)), state

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])


@pytest.mark.parametrize("options", [{}, {"shortcut": "B", "preactivation": True}])
def test_scanned_equals_unrolled(options):
    net = small(**options)
    scanned = small(**options, scan=True)
    x = normal(4, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    gates = jnp.linspace(0.5, 1.5, 7)
    (loss, state), grads = loss_and_gradients(net, variables, x, gates)
    (same, stacked), stacked_grads = loss_and_gradients(scanned, stack(variables), x, gates)
    assert float(same) == pytest.approx(float(loss), rel=1e-5)
    for one, other in ((grads, stacked_grads), (dict(state), dict(stacked))):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
            one,
            unstack(other),
        )
    np.testing.assert_allclose(
        apply(net, variables, x, train=False),
        apply(scanned, stack(variables), x, train=False),
        atol=1e-5,
    )


def test_stacking_and_unstacking_are_inverse_and_give_the_scanned_net_s_shapes():
    net, scanned = small(), small(scan=True)
    x = jnp.zeros((1, 8, 8, 3))
    variables = random_variables(net, x.shape[1:])
    stacked = stack(variables)
    shapes = jax.eval_shape(lambda: scanned.init(jax.random.key(0), x, train=False))
    assert jax.tree.map(jnp.shape, stacked) == jax.tree.map(jnp.shape, shapes)
    back = unstack(stacked)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), back, variables))


def test_blocks_of_a_scanned_net_start_different():
    scanned = small(scan=True)
    init = jax.jit(lambda: scanned.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False))
    params = init()["params"]
    kernels = params["backbone"]["stage1"]["blocks"]["conv1"]["kernel"]
    assert kernels.shape == (2, 3, 3, 16, 16)
    assert not np.allclose(kernels[0], kernels[1])


def test_the_program_does_not_grow_with_depth():
    def lines(depth, scan):
        net = zoo.cifar_resnet(depth, scan=scan)
        x = jnp.zeros((1, 8, 8, 3))
        shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, train=False))
        grad = jax.grad(
            lambda p, v: net.apply({**v, "params": p}, x, train=True, mutable=["batch_stats"])[
                0
            ].sum()
        )
        return jax.jit(grad).lower(shapes["params"], shapes).as_text().count("\n")

    assert lines(50, scan=True) == lines(26, scan=True)
    assert lines(38, scan=False) > 1.2 * lines(26, scan=False)


def test_drop_path_works_under_the_scan():
    net = small(scan=True, drop_path=0.5)
    x = jnp.ones((2, 8, 8, 3))
    variables = random_variables(net, x.shape[1:])
    one, other = (apply(net, variables, x, seed=seed, train=True)[0] for seed in (0, 1))
    assert not np.allclose(one, other)
    scanned, plain = small(scan=True), small(drop_path=1e-9)
    np.testing.assert_allclose(
        apply(scanned, variables, x, train=True)[0],
        apply(plain, unstack(variables), x, train=True)[0],
        atol=1e-4,
    )


@pytest.mark.parametrize("remat", ["activations", "blocks"])
def test_remat_changes_no_number(remat):
    net, other = zoo.cifar_resnet(8), zoo.cifar_resnet(8, remat=remat)
    x = normal(4, 8, 8, 3)
    variables = random_variables(net, x.shape[1:])
    (_, _), grads = loss_and_gradients(net, variables, x)
    (_, _), same = loss_and_gradients(other, variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), grads, same)


def test_remat_keeps_less_for_backpropagation():
    def kept(remat):
        """How many values stay between the passes."""
        net = zoo.cifar_resnet(20, remat=remat)
        variables = abstract_variables(net, (8, 8, 3))

        def loss(params, state):
            logits, _ = net.apply(
                {**state, "params": params},
                jnp.ones((64, 8, 8, 3)),
                train=True,
                mutable=["batch_stats"],
            )
            return logits.sum()

        state = {"batch_stats": variables["batch_stats"]}
        pull = jax.eval_shape(
            lambda p, s: jax.vjp(lambda p: loss(p, s), p)[1], variables["params"], state
        )
        return sum(leaf.size for leaf in jax.tree.leaves(pull))

    assert kept("blocks") < 0.7 * kept("activations") < 0.35 * kept("none")


def test_only_stages_of_more_than_a_hundred_blocks_are_scanned_unasked():
    deep = zoo.cifar_resnet(1001, preactivation=True)
    assert deep.backbone.scan
    assert not zoo.cifar_resnet(164).backbone.scan
    assert not zoo.cifar_resnet(1001, scan=False).backbone.scan
    stage = abstract_variables(deep, (32, 32, 3))["params"]["backbone"]["stage2"]
    assert stage["blocks"]["conv2"]["kernel"].shape == (110, 3, 3, 32, 32)
