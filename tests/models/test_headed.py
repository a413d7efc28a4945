"""Nets of any head: plain twins, scanned stages, frozen parts, counts, and frames as images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.frames import Frames
from jresnet.models.headed import Headed, backbone_of, is_scanned, plain, unrolled, with_backbone
from jresnet.models.heads import Classifier
from jresnet.models.heads.unet import UNet
from jresnet.models.published import abstract_variables, count_net
from jresnet.models.resnet import one_a_resolution
from jresnet.models.scan import stack, unstack
from jresnet.weights.nets import shapes
from tests.models.headed_nets import NETS, Face, Fcn, backbone
from tests.nets import apply, normal, random_variables


@pytest.mark.parametrize("name", NETS)
def test_the_plain_twin_lacks_the_shortcuts_and_nothing_else(name):
    net, image = NETS[name]
    assert isinstance(net, Headed)
    twin = plain(net)
    assert type(twin) is type(net)
    residual, without = (set(shapes(abstract_variables(n, image))) for n in (net, twin))
    assert without == {path for path in residual if "/shortcut/" not in path}
    assert with_backbone(twin, shortcut=backbone_of(net).shortcut) == net


def test_the_twin_of_a_net_of_two_outputs_computes_something_else():
    net, image = NETS["two outputs"]
    variables, x = random_variables(net, image), normal(2, *image)
    residual, other = (apply(n, variables, x, train=False) for n in (net, plain(net)))
    assert residual.keys() == other.keys() == {"out", "aux"}
    for name, y in residual.items():
        assert y.shape == (2, 16, 16, 5)
        assert np.abs(y - other[name]).max() > 0.1


def test_scanned_and_unrolled_decoders_agree_and_blocks_beside_the_backbone_stay():
    net, image = NETS["scanned decoder"]
    assert is_scanned(net)
    assert not is_scanned(unrolled(net))
    variables, x = random_variables(unrolled(net), image), normal(2, *image)
    stacked = stack(variables)
    assert set(stacked["params"]["backbone"]["stage2"]) == {"block1", "blocks"}
    beside = {f"block{number}": {"kernel": jnp.ones(2)} for number in (1, 2, 3)}
    wider = {"params": {**variables["params"], "decoder": beside}}
    assert set(stack(wider)["params"]["decoder"]) == {"block1", "block2", "block3"}
    jax.tree.map(np.testing.assert_array_equal, unstack(stacked), variables)
    np.testing.assert_allclose(
        apply(net, stacked, x, train=False),
        apply(unrolled(net), variables, x, train=False),
        atol=1e-5,
    )


def test_frozen_parts_keep_their_statistics_under_any_head():
    net, image = NETS["decoder"]
    variables = random_variables(net, image)
    frozen = with_backbone(net, frozen=("stem", "stage1"))
    _, new = apply(frozen, variables, normal(2, *image), train=True)
    before, after = (shapes_and_values(tree["batch_stats"]) for tree in (variables, new))
    for path, value in before.items():
        kept = path.startswith(("backbone/stem", "backbone/stage1"))
        assert np.array_equal(value, after[path]) == kept, path


def shapes_and_values(tree):
    return {
        "/".join(entry.key for entry in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.mark.parametrize("name", NETS)
def test_parameters_are_counted_whatever_the_output(name):
    net, image = NETS[name]
    counts = count_net(net, image)
    variables = random_variables(net, image)
    assert counts.parameters == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    only = count_net(Classifier(net.backbone, 1), image)
    assert counts.macs > only.macs - variables["params"]["backbone"]["stem"]["conv"]["kernel"].size


def test_frames_are_images_of_the_batch():
    flat = Classifier(backbone(), 5)
    clips = Classifier(Frames(backbone()), 5)
    variables, x = random_variables(flat, (16, 16, 3)), normal(2, 3, 16, 16, 3)
    assert shapes(abstract_variables(clips, (3, 16, 16, 3))) == shapes(variables)
    features = apply(clips, variables, x, train=False, method="features")
    images = apply(flat, variables, x.reshape(6, 16, 16, 3), train=False, method="features")
    assert list(features) == list(images)
    for name, y in images.items():
        np.testing.assert_array_equal(features[name].reshape(y.shape), y)
    logits = apply(clips, variables, x, train=False)
    one_by_one = [apply(flat, variables, x[:, i], train=False) for i in range(3)]
    np.testing.assert_allclose(logits, jnp.mean(jnp.stack(one_by_one), 0), atol=1e-5)
    _, state = apply(clips, variables, x, train=True)
    _, expected = apply(flat, variables, x.reshape(6, 16, 16, 3), train=True)
    jax.tree.map(np.testing.assert_array_equal, state, expected)
    twin = plain(clips)
    assert backbone_of(twin) == backbone_of(plain(flat))
    assert isinstance(twin.backbone, Frames)


def test_features_of_every_resolution():
    def sizes(net):
        seen = []

        def forward(x):
            features, _ = net.init_with_output(jax.random.key(0), x, train=False)
            # Here, since what jit returns is sorted by name.
            for chosen in (features, one_a_resolution(features)):
                seen.append({name: y.shape[1] for name, y in chosen.items()})

        jax.eval_shape(forward, jnp.zeros((1, 64, 64, 1)))
        return seen

    net = zoo.resnet18(before_pool=True).backbone
    everything, picked = sizes(net)
    assert list(everything) == ["before_pool", "stem", "stage1", "stage2", "stage3", "stage4"]
    assert (everything["before_pool"], everything["stem"]) == (32, 16)
    expected = {"before_pool": 32, "stage1": 16, "stage2": 8, "stage3": 4, "stage4": 2}
    assert list(picked.items()) == list(expected.items())
    assert sizes(net.clone(output_stride=8))[1] == {"before_pool": 32, "stage1": 16, "stage4": 8}
    usual = zoo.resnet18().backbone.clone(widths=(4, 4, 4, 4))
    variables, x = random_variables(usual, (32, 32, 3)), normal(1, 32, 32, 3)
    jax.tree.map(
        np.testing.assert_array_equal,
        apply(usual, variables, x, train=False),
        {
            name: y
            for name, y in apply(usual.clone(before_pool=True), variables, x, train=False).items()
            if name != "before_pool"
        },
    )


def test_a_classifier_s_backbone_is_no_headed_net():
    assert not isinstance(zoo.resnet18().backbone, Headed)
    assert {type(net) for net, _ in NETS.values()} > {Fcn, UNet, Face}
