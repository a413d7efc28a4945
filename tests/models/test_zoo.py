"""Published parameter counts and multiply-accumulates of every net of the zoo."""

import jax
import jax.numpy as jnp
import pytest

from jresnet.models import zoo
from jresnet.models.published import abstract_variables, cards, count_net

CARDS = [
    pytest.param(build, card, id=f"{name}{dict(card.arguments) or ''}")
    for name, build in vars(zoo).items()
    if callable(build)
    for card in cards(build)
]
# Nothing is compiled, but tracing takes its time: the repeated blocks of deep nets are scanned.
DEEP = 100

# torchvision 0.29 weight metadata; GMAC to three decimals.
TORCHVISION = {
    zoo.resnet18: (11_689_512, 1.814),
    zoo.resnet34: (21_797_672, 3.664),
    zoo.resnet50: (25_557_032, 4.089),
    zoo.resnet101: (44_549_160, 7.801),
    zoo.resnet152: (60_192_808, 11.514),
    zoo.wide_resnet50_2: (68_883_240, 11.398),
    zoo.wide_resnet101_2: (126_886_696, 22.753),
    zoo.resnext50_32x4d: (25_028_904, 4.230),
    zoo.resnext101_32x8d: (88_791_336, 16.414),
    zoo.resnext101_64x4d: (83_455_272, 15.460),
}


@pytest.mark.parametrize(("build", "card"), CARDS)
def test_parameters_and_macs_are_as_published(build, card):
    arguments = dict(card.arguments)
    deep = any(word in build.__name__ for word in ("net101", "next101")) and card.gmacs is None
    scan = arguments.get("depth", 0) > DEEP or deep
    model = build(**arguments, scan=scan)
    parameters, macs = count_net(model, card.image)
    assert parameters == card.parameters
    if card.gmacs is not None:
        # The papers print two to four digits, torchvision more.
        gmacs = macs / 1e9
        assert gmacs == pytest.approx(card.gmacs, rel=2e-3)
        if card is torchvision_card(build):
            assert (card.parameters, round(gmacs, 3)) == TORCHVISION[build]


def torchvision_card(build):
    """The card of a classifier of torchvision's as it stands there; None for other nets."""
    standing = [c for c in cards(build) if not c.arguments and c.image == (224, 224, 3) and c.gmacs]
    return standing[0] if build in TORCHVISION else None


def test_every_classifier_of_torchvision_is_among_the_cards():
    counted = {
        param.values[0] for param in CARDS if param.values[1] is torchvision_card(param.values[0])
    }
    assert counted == set(TORCHVISION)


# papers.md sections 1, 3, 4, 9: counts that no card states.
@pytest.mark.parametrize(
    ("model", "image", "parameters"),
    [
        (zoo.cifar_resnet(20, shortcut="B"), (32, 32, 3), 272_474),
        (zoo.cifar_resnet(56, shortcut="B"), (32, 32, 3), 855_770),
        (zoo.cifar_resnet(110, shortcut="B"), (32, 32, 3), 1_730_714),
        (zoo.cifar_resnet(20, preactivation=True), (32, 32, 3), 269_722),
        (zoo.cifar_resnet(110, preactivation=True), (32, 32, 3), 1_727_962),
        (zoo.wrn(40, 4, num_classes=100), (32, 32, 3), 8_972_340),
        (zoo.wrn(16, 8, num_classes=100), (32, 32, 3), 11_007_540),
        (zoo.wrn(28, 10, num_classes=100), (32, 32, 3), 36_536_884),
        (zoo.resnet18(10, stem=zoo.SMALL_STEM), (32, 32, 3), 11_173_962),
        (zoo.resnet50(10, stem=zoo.SMALL_STEM), (32, 32, 3), 23_520_842),
    ],
)
def test_more_published_parameter_counts(model, image, parameters):
    assert count_net(model, image).parameters == parameters


def test_version_1_strides_in_the_first_pointwise_convolution():
    model = zoo.resnet50(version=1)
    parameters, macs = count_net(model, (224, 224, 3))
    assert macs / 1e9 == pytest.approx(3.858, abs=5e-4)
    assert parameters == 25_557_032


@pytest.mark.parametrize(
    ("depth", "options", "message"),
    [
        (21, {}, r"depth 21 is not 6n\+2: take one of 20, 32, 44, 56, 110"),
        (2, {}, r"depth 2 is not 6n\+2"),
        (24, {"bottleneck": True}, r"depth 24 is not 9n\+2"),
        (20, {"shortcut": "D"}, "shortcut 'D' is none of A, B, C, identity, none"),
    ],
)
def test_a_depth_that_does_not_fit_is_refused(depth, options, message):
    with pytest.raises(ValueError, match=message):
        zoo.cifar_resnet(depth, **options)


def test_wrn_depth_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"depth 20 is not 6n\+4"):
        zoo.wrn(20)


def test_every_net_has_a_plain_twin_with_the_same_branches():
    for build in (zoo.resnet18, zoo.resnet50d, zoo.resnetv2_50, zoo.wrn):
        net = build()
        params = abstract_variables(net, (64, 64, 3))["params"]["backbone"]
        twin = abstract_variables(zoo.plain(net), (64, 64, 3))["params"]["backbone"]
        for stage in [name for name in params if name.startswith("stage")]:
            for block, layers in params[stage].items():
                branch = {k: v for k, v in layers.items() if k != "shortcut"}
                assert jax.tree.all(
                    jax.tree.map(lambda a, b: a.shape == b.shape, branch, twin[stage][block])
                )
                assert "shortcut" not in twin[stage][block]


def test_features_are_named_and_shaped_by_reduction():
    model = zoo.resnet50()
    x = jax.ShapeDtypeStruct((2, 96, 64, 3), jnp.float32)
    variables = abstract_variables(model, (96, 64, 3))

    def features(v, x):
        named = model.apply(v, x, train=False, method="features")
        assert list(named) == ["stem", "stage1", "stage2", "stage3", "stage4"]
        return named

    shapes = {k: v.shape for k, v in jax.eval_shape(features, variables, x).items()}
    assert shapes == {
        "stem": (2, 24, 16, 64),
        "stage1": (2, 24, 16, 256),
        "stage2": (2, 12, 8, 512),
        "stage3": (2, 6, 4, 1024),
        "stage4": (2, 3, 2, 2048),
    }


@pytest.mark.parametrize(("output_stride", "side"), [(8, 8), (16, 4), (32, 2)])
def test_output_stride_exchanges_strides_for_dilation(output_stride, side):
    model = zoo.resnet50(output_stride=output_stride)
    assert count_net(model, (64, 64, 3)).parameters == 25_557_032
    variables = abstract_variables(model, (64, 64, 3))
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    out = jax.eval_shape(
        lambda v, x: model.apply(v, x, train=False, method="features"), variables, x
    )
    assert out["stage4"].shape == (1, side, side, 2048)


def test_unreachable_output_stride_is_refused():
    with pytest.raises(ValueError, match="output_stride 64 is not reached, only 32"):
        abstract_variables(zoo.resnet18(output_stride=64), (64, 64, 3))
