"""A net taken apart gives what the net gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.analysis.chain import chain
from jresnet.models import zoo
from jresnet.models.gates import SkipInit
from jresnet.models.heads import Classifier, Precomputed
from tests.nets import normal, random_variables

RESNET_D = zoo.resnet26d(10)
SMALL_D = RESNET_D.clone(
    backbone=RESNET_D.backbone.clone(depths=(1, 2), widths=(8, 16), strides=(1, 2))
)
NETS = {
    "basic": zoo.cifar_resnet(8),
    "plain": zoo.plain(zoo.cifar_resnet(8)),
    "projections before the activation": zoo.cifar_resnet(
        11, shortcut="B", preactivation=True, bottleneck=True
    ),
    "bottlenecks": SMALL_D,
    "squeeze": zoo.cifar_resnet(8, gate=SkipInit),
}


@pytest.mark.parametrize("name", NETS)
def test_the_chain_is_the_net(name):
    net, x = NETS[name], normal(4, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])
    actual = chain(net)
    gates = jnp.linspace(0.5, 1.5, len(actual.blocks))
    ways = ({"train": False}, {"train": True}, {"train": False, "gates": gates})

    @jax.jit
    def both(v, x):
        whole = [net.apply(v, x, mutable=["batch_stats"], **options)[0] for options in ways]
        return whole, [actual(v, x, **options) for options in ways]

    for expected, logits in zip(*both(variables, x), strict=True):
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_shortcut_and_branch_add_up_to_the_gradient(name):
    net, x = NETS[name], normal(4, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])
    actual = chain(net)

    @jax.jit
    def pulled(variables, x):
        """The gradient at each block's input, through it and through its two ways."""
        h, gradients = actual.stem(variables, x), []
        for block in actual.blocks:
            y = block(variables, h, train=True)
            ways = [block, block.through("shortcut"), block.through("branch")]
            pulls = [
                jax.vjp(lambda h, way=way: way(variables, h, train=True), h)[1] for way in ways
            ]
            gradients.append([pull(jnp.cos(y))[0] for pull in pulls])
            h = y
        return gradients

    for whole, shortcut, branch in pulled(variables, x):
        np.testing.assert_allclose(shortcut + branch, whole, rtol=1e-4, atol=1e-5)
        assert np.abs(branch).max() > 0
        assert (np.abs(shortcut).max() > 0) == (name != "plain")


def test_what_cannot_be_taken_apart():
    with pytest.raises(ValueError, match="a Precomputed has no residual blocks"):
        chain(Classifier(Precomputed(), 10))
    with pytest.raises(ValueError, match="through 'both': take 'shortcut' or 'branch'"):
        chain(zoo.cifar_resnet(8)).blocks[0].through("both")
    with pytest.raises(ValueError, match="stem has no shortcut"):
        chain(zoo.cifar_resnet(8)).stem.through("branch")
