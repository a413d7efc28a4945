"""The study of style features: entropies, variants of a net, and its page."""

import html

import jax
import numpy as np
import pytest

from experiments.style_features import style_features
from jresnet.models import zoo
from jresnet.models.headed import backbone_of
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.feature_net import colour_feature_net, fresh_feature_net
from jresnet.studies.style_features.measure import (
    WORDS,
    Variant,
    entropies,
    normalised_entropy,
    variants,
)
from jresnet.studies.style_features.report import entropy_table
from jresnet.tasks.style_losses import Plain, SoftmaxAll
from tests.data.conftest import photograph
from tests.test_experiments import defaults


@pytest.fixture(scope="module")
def body():
    return fresh_feature_net("cifar_resnet", {"depth": 8})


def picture(height=24, width=20):
    return photograph(height, width, 9).astype(np.float32) / 255


def test_entropy_of_what_is_known():
    even = np.full((1, 4, 4, 2), 3.0, np.float32)
    assert normalised_entropy(even)[0] == pytest.approx(1.0, rel=1e-6)
    one = np.zeros((1, 4, 4, 2), np.float32)
    one[0, 1, 2, 0] = 5.0
    assert normalised_entropy(one)[0] == pytest.approx(0.0, abs=1e-9)
    one[0, 3, 3, 1] = 5.0
    assert normalised_entropy(one)[0] == pytest.approx(np.log(2) / np.log(32), rel=1e-6)
    assert np.isnan(normalised_entropy(np.zeros((1, 2, 2, 2), np.float32))[0])
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 6)).astype(np.float32)
    shares = np.abs(x.reshape(3, -1).astype(np.float64))
    shares /= shares.sum(1, keepdims=True)
    expected = -(shares * np.log(shares)).sum(1) / np.log(120)
    np.testing.assert_allclose(normalised_entropy(x), expected, rtol=1e-9)
    np.testing.assert_allclose(normalised_entropy(1e-3 * x), expected, rtol=1e-5)


def test_a_softmax_raises_the_entropy_of_peaky_features(body):
    plain, grams = entropies(Variant(body, Plain()), [picture()])
    smooth, smooth_grams = entropies(Variant(body, SoftmaxAll(100.0)), [picture()])
    assert list(plain) == list(grams) == ["stem", "stage1", "stage2", "stage3"]
    for layer in plain:
        assert 0 < plain[layer] < smooth[layer] <= 1 + 1e-6
        assert grams[layer] < smooth_grams[layer] <= 1 + 1e-6


def test_entropies_are_means_over_pictures(body):
    variant = Variant(body, Plain())
    one, other, both = (
        entropies(variant, pictures)[0]
        for pictures in ([picture()], [picture(16, 32)], [picture(), picture(16, 32)])
    )
    for layer, value in both.items():
        assert value == pytest.approx((one[layer] + other[layer]) / 2, rel=1e-6)


def test_variants_are_of_one_net(body):
    chosen = variants(body)
    assert list(chosen) == ["plain", "softmax-all", "softmax-all-10", "softmax-channels", "deep-scaled", "no-shortcuts"]  # fmt: skip
    fresh = body.with_random_weights(1)
    chosen = variants(body, fresh, fresh)
    assert set(chosen) == set(WORDS)
    assert chosen["random"].net.variables is fresh.variables
    assert chosen["no-shortcuts"].net.variables is body.variables
    assert chosen["deep-scaled"].smoothing.layers == ("stage2", "stage3")
    # The same features as the plain twin of the whole net with these weights.
    twin = backbone_of(zoo.plain(zoo.cifar_resnet(8)))
    x = body.normalize(255 * picture()[None])
    ours = chosen["no-shortcuts"].net.backbone.apply(body.variables, x, train=False)
    expected = twin.apply(body.variables, x, train=False)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)
    assert not np.allclose(ours["stage3"], body.backbone.apply(body.variables, x, train=False)["stage3"])  # fmt: skip


def test_activations_that_are_all_zero_have_no_entropy():
    table = entropy_table({"plain": {"stem": 0.5, "stage1": float("nan")}}, "caption")
    assert table.rows == [("plain", "0.500", "none")]


def test_shortcuts_change_the_entropy_of_a_trained_net(golden):
    body = colour_feature_net(golden / "cifar_resnet20_state.npz", "cifar_resnet")
    values = [
        entropies(Variant(net, Plain()), [picture(48, 48)])[0]["stage3"]
        for net in (body, body.without_shortcuts())
    ]
    assert values[0] != pytest.approx(values[1], rel=1e-3)


@pytest.mark.slow
def test_the_page_has_every_variant(tmp_path):
    small = {"size": 32, "depth": 8, "steps": 4}
    options = RunOptions(workdir=tmp_path / "run", devices=1)
    line = run(style_features, defaults(style_features) | small, options)
    assert line.startswith("Normalised entropy of stage3: plain")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Weights: 1 of the style loss, 0.01 of the content loss, 0.5 of the total" in page
    for name in (
        "plain",
        "softmax-all",
        "softmax-all-10",
        "softmax-channels",
        "deep-scaled",
        "no-shortcuts",
    ):
        assert html.escape(WORDS[name], quote=False) in page.replace("&#39;", "'")
        assert (tmp_path / "run" / f"{name}.png").exists()
        assert (tmp_path / "run" / name / "result.json").exists()
    assert "style layers stem, stage1, stage2, stage3, content layer stage2" in page
    assert "cifar_resnet with random weights" in page
