"""oneDNN's convolutions are XLA's, in values and derivatives, wherever JAX takes them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jresnet.commands.step_memory import step_footprint, usual_step
from jresnet.models import cpu, zoo
from jresnet.models.layers import convolve
from jresnet.models.scan import scannable_convolve
from jresnet.native import library
from tests.nets import normal, random_variables

NAME = "onednn_convolution"  # in jaxprs
HOW = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
SHAPES = {  # images [batch, height, width, in], kernel, out, strides, padding, dilation, groups
    "3x3": ((3, 9, 7, 16), (3, 3), 32, (1, 1), (1, 1), (1, 1), 1),
    "one image": ((1, 8, 8, 16), (3, 3), 16, (1, 1), (1, 1), (1, 1), 1),
    "odd channels, strided": ((5, 11, 6, 5), (3, 3), 7, (2, 2), (1, 1), (1, 1), 1),
    "stem": ((9, 17, 17, 3), (7, 7), 8, (2, 2), (3, 3), (1, 1), 1),
    "1x1, strided": ((2, 7, 7, 24), (1, 1), 20, (2, 2), (0, 0), (1, 1), 1),
    "dilated": ((2, 12, 13, 8), (3, 3), 8, (1, 1), (4, 2), (4, 2), 1),
    "groups": ((4, 6, 6, 32), (3, 3), 64, (1, 1), (1, 1), (1, 1), 8),
    "each channel by itself": ((4, 6, 5, 6), (3, 3), 12, (2, 1), (1, 1), (1, 1), 6),
    "tall": ((2, 10, 4, 4), (5, 1), 4, (1, 2), (2, 0), (1, 1), 1),
    "rows that no window reaches": ((2, 8, 9, 4), (2, 2), 4, (3, 3), (0, 0), (1, 1), 1),
}


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """oneDNN is asked for; without it there is nothing to test."""
    monkeypatch.setenv(library.ASKED, "1")
    if reason := library.problem():
        pytest.skip(f"oneDNN's convolutions cannot be built here: {reason}")


def both(function, *arguments):
    """The same function by oneDNN and without it; the first has nothing but oneDNN's convolutions."""
    text = str(jax.make_jaxpr(lambda *a: function(*a))(*arguments))
    assert NAME in text
    assert "conv_general_dilated[" not in text
    ours = jax.jit(lambda *a: function(*a))(*arguments)
    with cpu.without("onednn"):
        return ours, jax.jit(lambda *a: function(*a))(*arguments)


def same(ours, plain, bound=2e-5):
    """Two trees of arrays agree to rounding, each beside its largest number."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=bound * float(np.abs(b).max()))


def values(method, x, kernel, *how):
    """The convolution, both gradients and both gradients of a function of these."""

    def energy(x, kernel):
        return jnp.sin(method(x, kernel, *how)).sum()

    gradient = jax.grad(energy, (0, 1))

    def steepness(x, kernel):
        return sum(jnp.square(part).sum() for part in gradient(x, kernel))

    return method(x, kernel, *how), gradient(x, kernel), jax.grad(steepness, (0, 1))(x, kernel)


@pytest.mark.parametrize("name", SHAPES)
def test_values_and_two_orders_of_gradients(name):
    image, size, out, strides, padding, dilation, groups = SHAPES[name]
    x, kernel = normal(*image), normal(*size, image[-1] // groups, out, seed=1) / 4
    how = (strides, [(p, p) for p in padding], dilation, groups)
    same(*both(lambda x, kernel: values(convolve, x, kernel, *how), x, kernel))


def test_a_gradient_is_the_change_of_the_sum():
    """Beside numbers computed one by one, not beside XLA."""
    x, kernel = normal(2, 5, 4, 3), normal(3, 3, 3, 2, seed=1)
    y = np.zeros((2, 5, 4, 2))
    padded = np.pad(np.asarray(x, np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)])
    for row, column in np.ndindex(5, 4):
        window = padded[:, row : row + 3, column : column + 3]
        y[:, row, column] = np.einsum("nhwi,hwio->no", window, np.asarray(kernel))
    np.testing.assert_allclose(convolve(x, kernel, *HOW), y, rtol=1e-4, atol=1e-5)
    step = normal(3, 3, 3, 2, seed=2)
    slope = jax.grad(lambda k: convolve(x, k, *HOW).sum())(kernel)
    change = np.asarray(convolve(x, step, *HOW), np.float64).sum()
    np.testing.assert_allclose((slope * step).sum(), change, rtol=1e-3)


def test_forward_mode_and_hessian_products_stay_onednn_s():
    x, kernel, step = normal(2, 6, 6, 4), normal(3, 3, 4, 4, seed=1), normal(3, 3, 4, 4, seed=2)

    def product(kernel, step):
        slope = jax.grad(lambda k: jnp.sin(convolve(x, k, *HOW)).sum())
        return jax.jvp(slope, (kernel,), (step,))

    same(*both(product, kernel, step))


def test_examples_under_vmap_are_one_batch():
    x, kernel = normal(3, 2, 6, 6, 4), normal(3, 3, 4, 8, seed=1)

    def slopes(x, kernel):
        each = jax.vmap(lambda x: jax.value_and_grad(lambda x: convolve(x, kernel, *HOW).sum())(x))
        return each(x)

    same(*both(slopes, x, kernel))


@pytest.mark.parametrize("axes", [(None, 0), (0, 0), (0, None)])
def test_kernels_under_vmap_and_gradients_of_each_example_are_xla_s(axes):
    x, kernel = (
        normal(*(3,) * (axis is not None), *shape, seed=seed)
        for seed, (axis, shape) in enumerate(zip(axes, [(2, 6, 6, 4), (3, 3, 4, 8)], strict=True))
    )

    def slopes(x, kernel):
        one = lambda x, kernel: jnp.sin(convolve(x, kernel, *HOW)).sum()  # noqa: E731
        return jax.vmap(jax.grad(one, (0, 1)), axes)(x, kernel)

    ours = jax.jit(lambda *a: slopes(*a))(x, kernel)
    with cpu.without("onednn"):
        same(ours, jax.jit(lambda *a: slopes(*a))(x, kernel))


@pytest.mark.parametrize("method", [convolve, scannable_convolve])
def test_a_scan_over_kernels(method):
    x, kernels = normal(3, 6, 6, 4), normal(5, 3, 3, 4, 4, seed=1) / 4

    def energy(x, kernels):
        def step(x, kernel):
            return jnp.tanh(method(x, kernel, *HOW)), None

        return jax.lax.scan(step, x, kernels)[0].sum()

    same(*both(jax.value_and_grad(energy, (0, 1)), x, kernels))


@pytest.mark.slow
def test_a_scanned_net_trains_alike():
    net, x = zoo.cifar_resnet(20, scan=True), normal(4, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])

    def loss(params, x):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        return jnp.square(net.apply(state, x, train=False)).mean()

    same(*both(jax.value_and_grad(loss), variables["params"], x), 1e-3)


@pytest.mark.parametrize("method", [convolve, scannable_convolve])
def test_eight_devices_compute_the_same_by_xla(method):
    """XLA would gather the whole batch on every device for a call that it cannot divide."""
    mesh = Mesh(np.array(jax.devices()), ("data",))
    x, kernel = normal(8, 6, 6, 4), normal(3, 3, 4, 8, seed=1)
    divided = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    whole = jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))
    energy = lambda x, kernel: jnp.sin(method(x, kernel, *HOW)).sum()  # noqa: E731
    function = jax.jit(jax.value_and_grad(energy, (0, 1)))
    same(function(divided, whole), function(x, kernel))
    assert library.TARGET in function.lower(x, kernel).as_text()
    compiled = function.lower(divided, whole)
    assert library.TARGET not in compiled.as_text()
    assert "all-gather" not in str(compiled.compile().as_text())


def test_a_shard_map_computes_the_part_of_each_device():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    x, kernel = normal(8, 6, 6, 4), normal(3, 3, 4, 8, seed=1)
    specs = {
        "in_specs": (PartitionSpec("data"), PartitionSpec()),
        "out_specs": PartitionSpec("data"),
    }
    plain = convolve(x, kernel, *HOW)
    for check in (True, False):
        each = jax.shard_map(
            lambda x, kernel: convolve(x, kernel, *HOW), mesh=mesh, check_vma=check, **specs
        )
        same(jax.jit(each)(x, kernel), plain)


@pytest.mark.parametrize(
    ("shape", "dtype", "padding"),
    [
        ((0, 6, 6, 4), jnp.float32, 1),
        ((2, 6, 6, 4), jnp.bfloat16, 1),
        ((2, 6, 6, 4), jnp.float64, 1),
        ((2, 6, 6, 4), jnp.float32, -1),
        ((2, 1, 1, 4), jnp.float32, 0),
        ((2, 6, 4), jnp.float32, 1),
    ],
)
def test_what_onednn_does_not_compute_is_xla_s(shape, dtype, padding):
    rank = len(shape) - 2
    with jax.enable_x64(dtype == jnp.float64):
        x, kernel = jnp.zeros(shape, dtype), jnp.ones((*(3,) * rank, 4, 2), dtype)
        how = ((1,) * rank, ((padding, padding),) * rank, (1,) * rank)
        program = jax.make_jaxpr(lambda x, kernel: convolve(x, kernel, *how))(x, kernel)
    assert NAME not in str(program)
    assert "conv_general_dilated[" in str(program)


def test_calls_outside_of_jit():
    x, kernel = normal(2, 6, 6, 4), normal(3, 3, 4, 8, seed=1)
    ours = convolve(x, kernel, *HOW)
    with jax.disable_jit():
        np.testing.assert_array_equal(convolve(x, kernel, *HOW), ours)
    with cpu.without("onednn"):
        same(ours, convolve(x, kernel, *HOW))


def test_the_same_call_gives_the_same_bits():
    x, kernel = normal(13, 9, 9, 16), normal(3, 3, 16, 16, seed=1)
    slope = jax.jit(jax.grad(lambda k: jnp.sin(convolve(x, k, *HOW)).sum()))
    first = np.asarray(slope(kernel))
    for _ in range(20):
        np.testing.assert_array_equal(slope(kernel), first)


def test_another_platform_gets_xla_s_operations():
    x, kernel = normal(2, 6, 6, 4), normal(3, 3, 4, 8, seed=1)
    function = jax.jit(functools.partial(lambda x, kernel: convolve(x, kernel, *HOW)))
    text = function.trace(x, kernel).lower(lowering_platforms=("tpu",)).as_text()
    assert library.TARGET not in text
    assert "stablehlo.convolution" in text


def test_the_memory_of_a_step_is_told_as_without_it():
    step = usual_step(zoo.cifar_resnet(8), (32, 32, 3))
    actual = step_footprint(step, 16).total
    with cpu.without("onednn"):
        expected = step_footprint(step, 16).total
    assert actual == pytest.approx(expected, rel=0.1)
