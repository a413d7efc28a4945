"""Names, shapes and strictness of the conversion; no numbers of torch's are needed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.scan import unstack
from jresnet.weights.convert import WeightsError, from_torch, to_torch
from jresnet.weights.layouts import LAYOUTS, layout_of, recognise
from tests.nets import apply, normal, random_variables

NETS = {
    "torchvision": (zoo.resnet18(), (32, 32, 3)),
    "timm": (zoo.resnet26d(), (32, 32, 3)),
    "timm RS": (zoo.resnetrs50(), (64, 64, 3)),
    "timm ECA": (zoo.ecaresnet50d(), (64, 64, 3)),
    "torchvision SE": (zoo.seresnet50(), (64, 64, 3)),
    "timm v2": (zoo.resnetv2_50(), (64, 64, 3)),
    "BiT": (zoo.resnetv2_50x1_bit(), (64, 64, 3)),
    "cifar": (zoo.cifar_resnet(20), (32, 32, 3)),
    "cifar B": (zoo.cifar_resnet(20, shortcut="B"), (32, 32, 3)),
    "video": (zoo.r3d_18(), (8, 32, 32, 3)),
    "video R(2+1)D": (zoo.r2plus1d_18(), (8, 32, 32, 3)),
}


def state_of(net, image):
    return to_torch(random_variables(net, image), net)


@pytest.mark.parametrize("name", NETS)
def test_the_round_trip_is_the_identity_to_the_bit(name):
    net, image = NETS[name]
    variables = random_variables(net, image)
    state = to_torch(variables, net)
    assert recognise(state).name == layout_of(net).name
    back = from_torch(state, net)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    again = to_torch(back, net)
    assert set(again) == set(state)
    assert all(np.array_equal(again[key], state[key]) for key in state)


# torchvision's own names of R(2+1)D, read off its source: there is no golden file of it.
def test_names_of_the_factored_video_net():
    net, image = NETS["video R(2+1)D"]
    state = state_of(net, image)
    shapes = {
        "stem.0.weight": (45, 3, 1, 7, 7), "stem.1.running_var": (45,),
        "stem.3.weight": (64, 45, 3, 1, 1), "stem.4.weight": (64,),
        "layer1.0.conv1.0.0.weight": (144, 64, 1, 3, 3), "layer1.0.conv1.0.1.bias": (144,),
        "layer1.0.conv1.0.3.weight": (64, 144, 3, 1, 1), "layer1.0.conv1.1.weight": (64,),
        "layer2.0.conv2.0.0.weight": (230, 128, 1, 3, 3), "layer2.0.conv2.1.running_mean": (128,),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1, 1), "fc.weight": (400, 512),
    }  # fmt: skip
    assert {name: state[name].shape for name in shapes} == shapes


def test_everything_that_is_wrong_is_listed_in_one_error():
    net, image = NETS["cifar"]
    state = state_of(net, image)
    del state["layer2.1.bn1.weight"], state["layer3.0.conv2.weight"]
    state["layer9.0.conv1.weight"] = np.zeros(3)
    state["conv1.weight"] = np.zeros((16, 3, 5, 5), np.float32)
    with pytest.raises(WeightsError) as caught:
        from_torch(state, net)
    message = str(caught.value)
    for words in (
        "missing: layer2.1.bn1.weight, layer3.0.conv2.weight",
        "unexpected: layer9.0.conv1.weight",
        "misshapen: conv1.weight (16, 3, 5, 5) where the net has (16, 3, 3, 3)",
    ):
        assert words in message
    assert "\n" not in message


def test_not_strict_takes_what_fits_and_says_what_starts_fresh(caplog):
    net, image = NETS["cifar"]
    variables = random_variables(net, image)
    state = to_torch(variables, net)
    del state["layer2.1.conv1.weight"]
    loose = from_torch(state, net, strict=False, rng=jax.random.key(1))
    assert "missing: layer2.1.conv1.weight" in caplog.text
    assert "starting fresh: params/backbone/stage2/block2/conv1/kernel" in caplog.text
    fresh = loose["params"]["backbone"]["stage2"]["block2"]["conv1"].pop("kernel")
    assert 0.01 < fresh.std() < 0.2
    del variables["params"]["backbone"]["stage2"]["block2"]["conv1"]["kernel"]
    jax.tree.map(np.testing.assert_array_equal, loose, variables)


def test_a_head_of_another_size_is_replaced_only_when_asked():
    net, image = NETS["cifar"]
    state = state_of(net, image)
    other = zoo.cifar_resnet(20, num_classes=3)
    with pytest.raises(WeightsError, match=r"linear.weight \(10, 64\) .* \(3, 64\); new_head=True"):
        from_torch(state, other)
    variables = from_torch(state, other, new_head=True)
    assert variables["params"]["head"]["kernel"].shape == (64, 3)
    assert np.abs(variables["params"]["head"]["kernel"]).max() < 0.1


def test_data_parallel_prefixes_and_batch_counts_are_dropped():
    net, image = NETS["cifar"]
    state = state_of(net, image)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    wrapped["module.bn1.num_batches_tracked"] = np.asarray(7)
    one, other = from_torch(wrapped, net), from_torch(state, net)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_half_precision_is_widened():
    net, image = NETS["cifar"]
    state = {name: value.astype(np.float16) for name, value in state_of(net, image).items()}
    assert {leaf.dtype for leaf in jax.tree.leaves(from_torch(state, net))} == {np.dtype("float32")}


def test_names_of_no_layout_are_refused():
    with pytest.raises(ValueError, match=r"names such as a\.b are in none of the \d+ layouts"):
        from_torch({"a.b": np.zeros(3)}, zoo.resnet18())
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


def test_a_scanned_net_gets_stacked_variables():
    flat, scanned = zoo.cifar_resnet(26), zoo.cifar_resnet(26, scan=True)
    variables = random_variables(flat, (32, 32, 3))
    state = to_torch(variables, flat)
    stacked = from_torch(state, scanned)
    jax.tree.map(np.testing.assert_array_equal, unstack(stacked), variables)
    assert all(np.array_equal(state[k], v) for k, v in to_torch(stacked, scanned).items())


def test_input_channels_are_adapted_on_request():
    net = zoo.resnet18(10)
    state = state_of(net, (32, 32, 3))
    grey = normal(2, 32, 32, 1)
    one = from_torch(state, net, channels=1)
    expected = apply(net, from_torch(state, net), jnp.repeat(grey, 3, -1), train=False)
    np.testing.assert_allclose(apply(net, one, grey, train=False), expected, atol=1e-4)
    six = from_torch(state, net, channels=6)
    np.testing.assert_allclose(
        apply(net, six, jnp.repeat(grey, 6, -1), train=False), expected, atol=1e-4
    )
    same = from_torch(state, net, channels=3)
    jax.tree.map(np.testing.assert_array_equal, same, from_torch(state, net))


def test_an_inflated_net_gives_a_still_video_the_picture_s_response():
    """Away from the ends of the clip, where zero padding is no still picture."""
    net = zoo.cifar_resnet(8, preactivation=True)
    state = state_of(net, (16, 16, 3))
    picture = normal(1, 16, 16, 3)
    flat = apply(net, from_torch(state, net), picture, train=False, method="features")
    video = jnp.repeat(picture[:, None], 25, 1)
    cubic = from_torch(state, net, inflate=True)
    deep = apply(net, cubic, video, train=False, method="features")
    np.testing.assert_allclose(deep["stem"][:, 12], flat["stem"], atol=1e-5)
    np.testing.assert_allclose(deep["stage1"][:, 12], flat["stage1"], atol=1e-4)
    np.testing.assert_allclose(deep["stage2"][:, 6], flat["stage2"], atol=1e-4)
