"""Fixup, SkipInit and zero gamma start every block as its shortcut; He does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.analysis.chain import chain
from jresnet.analysis.identity import branch_changes
from jresnet.models import zoo
from jresnet.models.fixup import RATES, fixup
from jresnet.models.gates import SkipInit
from jresnet.models.layers import NoNorm
from jresnet.train.optim import by_path
from tests.nets import normal

NETS = {
    "zero gamma": zoo.cifar_resnet(14, 3, zero_init_residual=True),
    "SkipInit": zoo.cifar_resnet(14, 3, norm=NoNorm, gate=SkipInit),
    "Fixup": fixup(zoo.cifar_resnet(14, 3)),
    "He": zoo.cifar_resnet(14, 3, norm=NoNorm),
}


def started(net):
    images = normal(2, 8, 8, 1)
    return jax.jit(lambda: net.init(jax.random.key(0), images, train=False))(), images


@pytest.mark.parametrize("name", NETS)
def test_which_blocks_start_as_their_shortcut(name):
    variables, images = started(NETS[name])
    changes, sizes = branch_changes(chain(NETS[name]), variables, images)
    assert changes.shape == sizes.shape == (6,)
    if name == "He":
        assert changes.min() > 0.1
        assert sizes[1] > 1.1 * sizes[0]
    else:
        np.testing.assert_array_equal(changes, np.zeros(6))


def test_fixup_scales_by_the_number_of_blocks():
    variables, _ = started(NETS["Fixup"])
    params = variables["params"]
    block = params["backbone"]["stage3"]["block2"]
    # He: variance 2 / (9 * 64); six blocks of two convolutions: times 6^(-1/2).
    assert np.std(block["conv1"]["kernel"]) == pytest.approx((2 / (9 * 64) / 6) ** 0.5, rel=0.02)
    assert np.abs(block["conv2"]["kernel"]).max() == 0
    assert np.abs(params["head"]["kernel"]).max() == 0
    stem = params["backbone"]["stem"]["conv"]["kernel"]
    assert np.std(stem) == pytest.approx((2 / (9 * 16)) ** 0.5, rel=0.2)
    # Four scalar biases and one multiplier a block.
    scalars = {k: v for k, v in block.items() if k.startswith("norm")}
    assert {k: sorted(v) for k, v in scalars.items()} == {
        "norm1": ["bias"],
        "norm2": ["bias", "scale"],
    }
    assert block["conv1"]["input_bias"].shape == block["norm2"]["scale"].shape == ()
    assert float(block["norm2"]["scale"]) == 1
    bottlenecks = fixup(zoo.cifar_resnet(11, 3, bottleneck=True)).backbone.branch
    assert bottlenecks[0].init.factor == pytest.approx(3 ** (-1 / 4))
    rates = by_path(params, RATES)["backbone"]["stage1"]["block1"]
    assert rates["conv1"] == {"input_bias": 0.1, "kernel": 1.0}
    assert rates["norm2"] == {"bias": 0.1, "scale": 0.1}


def test_the_scalar_is_added_before_the_convolution():
    net = NETS["Fixup"]
    variables, images = started(net)
    stem = chain(net).stem
    selected = stem.select(variables)
    selected["params"]["conv"]["input_bias"] = jnp.asarray(0.5)
    shifted = stem.module.apply(selected, images, train=False)
    selected["params"]["conv"]["input_bias"] = jnp.asarray(0.0)
    expected = stem.module.apply(selected, images + 0.5, train=False)
    np.testing.assert_allclose(shifted, expected, rtol=1e-6)


def test_fixup_of_a_preactivation_net_is_refused():
    with pytest.raises(ValueError, match="post-activation"):
        fixup(zoo.cifar_resnet(8, preactivation=True))
