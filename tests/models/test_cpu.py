"""Forms for CPUs compute the same as the plain ones, in every order of derivative."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import cpu, zoo
from jresnet.models.layers import BatchNorm, convolve
from jresnet.models.pools import max_pool
from jresnet.models.scan import scannable_convolve
from tests.nets import normal, random_variables

SMALL = {"depths": (2, 2), "widths": (8, 16), "strides": (1, 2)}
RESNET = zoo.resnet50(10)
NETS = {
    "bottlenecks behind a max-pool": RESNET.clone(backbone=RESNET.backbone.clone(**SMALL)),
    "pre-activation": zoo.cifar_resnet(8, preactivation=True),
    "scanned": zoo.cifar_resnet(20, scan=True),
}


def loss(net):
    def value(params, state, x):
        logits, new = net.apply({"params": params, **state}, x, train=True, mutable=["batch_stats"])
        return jnp.square(logits).mean(), new

    return value


def both(function, *arguments):
    """The same function traced in the forms for CPUs and in the plain ones."""
    ours = jax.jit(function)(*arguments)
    with cpu.without():
        return ours, jax.jit(lambda *a: function(*a))(*arguments)


def apart(ours, plain):
    """Norm of the difference over the norm."""
    ours, plain = (np.concatenate([v.ravel() for v in jax.tree.leaves(t)]) for t in (ours, plain))
    return np.linalg.norm(ours - plain) / np.linalg.norm(plain)


@pytest.mark.parametrize("name", [*NETS, "R(2+1)D"])
def test_loss_gradient_and_statistics_are_those_of_the_plain_forms(name):
    if name == "R(2+1)D":  # over space and over time in turn, both by convolutions over two axes
        net, x = zoo.r2plus1d_18(10, **SMALL | {"depths": (1, 1)}), normal(2, 4, 12, 12, 3)
    else:
        net, x = NETS[name], normal(4, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])
    with jax.enable_x64(True):  # in single precision some ReLUs fall on the other side
        variables, x = jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), (variables, x))
        params, state = variables["params"], {"batch_stats": variables["batch_stats"]}
        ours, plain = both(jax.value_and_grad(loss(net), has_aux=True), params, state, x)
    assert apart(ours, plain) < 1e-10


def test_a_hessian_product_is_that_of_the_plain_forms():
    net, x = NETS["bottlenecks behind a max-pool"], normal(4, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])
    params, state = variables["params"], {"batch_stats": variables["batch_stats"]}
    direction = random_variables(net, x.shape[1:], seed=1)["params"]

    def product(params, direction):
        slope = jax.grad(lambda p: loss(net)(p, state, x)[0])
        return jax.jvp(slope, (params,), (direction,))[1]

    assert apart(*both(product, params, direction)) < 1e-4


def test_forward_mode_goes_through_a_net():
    net, x = zoo.cifar_resnet(8), normal(2, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])
    tangent = normal(2, 16, 16, 3, seed=1)

    def pushed(x, tangent):
        def logits(x):
            return net.apply(variables, x, train=True, mutable=["batch_stats"])[0]

        return jax.jvp(logits, (x,), (tangent,))

    ours, plain = both(pushed, x, tangent)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_once_changes_no_bit():
    x = np.array([0.0, -0.0, 1e-30, -1e30, np.inf, -np.inf, np.nan, 16777217.0], np.float32)
    for dtype in (jnp.float32, jnp.bfloat16):
        value = jnp.asarray(x, dtype)
        ours = cpu.once(value)
        assert np.asarray(ours).tobytes() == np.asarray(value).tobytes()
    assert jax.grad(lambda v: cpu.once(3 * v))(2.0) == 3


@pytest.mark.parametrize("shape", [(2, 9, 3), (2, 9, 8, 3), (1, 5, 6, 7, 2)])
def test_a_pool_in_steps_is_the_pool_and_the_first_of_equals_has_the_gradient(shape):
    x = jnp.round(normal(*shape))  # with many ties
    g = normal(*jax.eval_shape(max_pool, x).shape, seed=1)

    def pooled(x, g):
        y, pull = jax.vjp(max_pool, x)
        return y, pull(g)[0]

    for a, b in zip(*both(pooled, x, g), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    assert np.isnan(max_pool(x.at[0].set(np.nan))[0]).all()


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 2)])
def test_a_pointwise_convolution_is_a_product(strides):
    x, kernel = normal(2, 6, 8, 5), normal(1, 1, 5, 7)
    args = (strides, ((0, 0), (0, 0)), (1, 1))
    ours, plain = both(lambda x, k: convolve(x, k, *args), x, kernel)
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-5)
    assert "dot_general" in str(jax.make_jaxpr(lambda x, k: convolve(x, k, *args))(x, kernel))


def gradients(method, x, kernel, strides, dilation, groups):
    """The convolution and its two gradients, in double precision."""
    padding = tuple((d * (k - 1) // 2,) * 2 for k, d in zip(kernel.shape, dilation, strict=False))

    def value(x, kernel):
        return method(x, kernel, strides, padding, dilation, groups)

    y, pull = jax.vjp(value, x, kernel)
    return y, *pull(jnp.cos(y))


@pytest.mark.parametrize("method", [convolve, scannable_convolve])
@pytest.mark.parametrize(
    ("image", "size", "strides", "dilation", "channels", "groups"),
    [
        ((7, 6), (3, 3), (2, 1), (1, 2), (128, 128), 32),  # four chunks of eight groups
        ((7, 6), (3, 3), (1, 1), (1, 1), (6, 12), 6),  # depthwise, two filters each
        ((5, 4), (1, 1), (1, 1), (1, 1), (66, 99), 3),  # wide groups, products
        ((9,), (5,), (2,), (1,), (8, 4), 4),
        ((6, 5, 5), (3, 3, 3), (2, 1, 2), (1, 1, 1), (3, 4), 1),
        ((6, 5, 5), (3, 3, 3), (1, 1, 1), (2, 1, 2), (3, 4), 1),
        ((6, 5, 4), (1, 3, 3), (1, 2, 2), (1, 1, 1), (3, 4), 1),
        ((6, 5, 4), (3, 1, 1), (2, 2, 1), (2, 1, 1), (3, 4), 1),
        ((6, 5, 4), (1, 1, 1), (2, 2, 2), (1, 1, 1), (3, 4), 1),
        ((4, 5, 5), (3, 3, 3), (1, 2, 2), (1, 1, 1), (8, 8), 4),
    ],
)
def test_convolutions_in_parts(method, image, size, strides, dilation, channels, groups):
    inputs, outputs = channels
    with jax.enable_x64(True):
        x = jnp.asarray(normal(2, *image, inputs), jnp.float64)
        kernel = jnp.asarray(normal(*size, inputs // groups, outputs, seed=1), jnp.float64)
        functions = [
            jax.jit(lambda x, k, method=m: gradients(method, x, k, strides, dilation, groups))
            for m in (method, convolve)
        ]
        ours = functions[0](x, kernel)
        with cpu.without():
            plain = functions[1](x, kernel)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("net", "image", "count"),
    # 128 channels in 32 groups are four dense convolutions, 256 are eight, and so are 512. Of 20
    # convolutions of r3d_18 three are products, the others three over planes each. R(2+1)D-18 has
    # its 17 in two parts.
    [
        (zoo.cifar_resnext29(32, 4), (32, 32, 3), 1 + 3 * (4 + 8 + 8)),
        (zoo.r3d_18(), (4, 16, 16, 3), 3 * 17),
        (zoo.r2plus1d_18(), (4, 16, 16, 3), 2 * 17),
    ],
)
def test_no_convolution_is_left_that_is_grouped_or_has_three_axes(net, image, count):
    variables = jax.eval_shape(lambda: random_variables(net, image))
    x = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    forward = jax.make_jaxpr(lambda v, x: net.apply(v, x, train=False))(variables, x)
    text = str(forward)
    assert text.count("conv_general_dilated[") == count
    assert text.count("feature_group_count=1\n") == count
    assert "rhs_dilation=(1, 1, 1)" not in text


def test_other_backends_get_the_plain_forms(monkeypatch):
    net, x = NETS["bottlenecks behind a max-pool"], normal(2, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])

    def traced():
        def forward(v, x):
            return net.apply(v, x, train=True, mutable=["batch_stats"])

        return str(jax.make_jaxpr(forward)(variables, x))

    with cpu.without():
        plain = traced()
    assert traced() != plain
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert traced() == plain
    assert plain.count("= dot_general") == 1  # the head


def test_the_trunk_of_a_stage_is_computed_once_and_not_by_every_block_that_reads_it():
    """Counted in the compiled program, where fusions would repeat it: so many operations a block."""

    def operations(blocks):
        net = zoo.cifar_resnet(6 * blocks + 2)
        variables = jax.eval_shape(lambda: random_variables(net, (16, 16, 3)))
        x = jax.ShapeDtypeStruct((4, 16, 16, 3), jnp.float32)
        state = {"batch_stats": variables["batch_stats"]}
        gradient = jax.grad(lambda p, s, x: loss(net)(p, s, x)[0])
        text = jax.jit(gradient).lower(variables["params"], state, x).compile().as_text()
        return text.count(" maximum(") + text.count(" add(") + text.count(" select(")

    counts = [operations(blocks) for blocks in (1, 2, 3)]
    assert counts[2] - counts[1] <= 1.1 * (counts[1] - counts[0])


def test_batch_norm_in_groups_has_the_statistics_of_each():
    x = normal(6, 4, 4, 3) * 3 + 1
    norm = BatchNorm(group=2)
    variables = norm.init(jax.random.key(0), x, train=True)
    y = norm.apply(variables, x, train=True, mutable=["batch_stats"])[0].reshape(3, 2, 4, 4, 3)
    np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var((1, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize("rows", [(128, 32, 32), (49, 7, 11, 13), (8191,)])
def test_sums_over_many_rows_are_as_exact_as_the_plain_ones(rows):
    """In single precision against double, for the mean and for the gradient of what is spread."""
    x = np.random.default_rng(0).normal(10, 1, (2, *rows, 4))
    axes = tuple(range(1, len(rows) + 1))

    def sums(x):
        def spread(v):
            return (cpu.spread_rows(v, x.shape) * x).sum() if cpu.takes("dots") else (v * x).sum()

        mean = cpu.mean_rows(x)
        return mean, jax.grad(spread)(jnp.zeros_like(mean))

    (mean, slope), plain = both(sums, jnp.asarray(x, jnp.float32))
    exact = x.mean(axes, keepdims=True)
    bound = 3 * np.abs(plain[0] - exact).max() + 1e-6
    assert np.abs(mean - exact).max() < bound
    assert np.abs(slope / math.prod(rows) - exact).max() < bound
