"""Frozen parts run as in evaluation while the rest trains."""

import jax
import numpy as np
import pytest

from jresnet.models import zoo
from tests.nets import apply, normal, random_variables

X = normal(4, 16, 16, 3)


def frozen(net, *parts):
    return net.clone(backbone=net.backbone.clone(frozen=parts))


@pytest.mark.parametrize("preactivation", [False, True])
def test_statistics_of_frozen_parts_stay_and_only_theirs(preactivation):
    net = zoo.cifar_resnet(8, 5, "B", preactivation)
    variables = random_variables(net, (16, 16, 3))
    parts = ("stem", "stage2", "stage3") if preactivation else ("stem", "stage2")
    _, new = apply(frozen(net, *parts), variables, X, train=True)
    before, after = (tree["batch_stats"]["backbone"] for tree in (variables, new))
    kept = {*parts, "norm"} if preactivation else set(parts)
    for part in before:
        same = [
            np.array_equal(a, b)
            for a, b in zip(
                jax.tree.leaves(before[part]), jax.tree.leaves(after[part]), strict=True
            )
        ]
        assert all(same) if part in kept else not any(same), part


def test_frozen_features_are_those_of_evaluation():
    net = zoo.cifar_resnet(8, 5)
    variables = random_variables(net, (16, 16, 3))
    features, _ = apply(frozen(net, "stem", "stage1"), variables, X, train=True, method="features")
    evaluated = apply(net, variables, X, train=False, method="features")
    for part in ("stem", "stage1"):
        np.testing.assert_allclose(features[part], evaluated[part], rtol=1e-5, atol=1e-5)
    assert np.abs(features["stage2"] - evaluated["stage2"]).max() > 0.1


def test_an_unknown_part_is_named():
    net = frozen(zoo.cifar_resnet(8, 5), "stage1", "stage4")
    with pytest.raises(
        ValueError, match="frozen stage4: take some of stem, stage1, stage2, stage3"
    ):
        jax.eval_shape(lambda: net.init(jax.random.key(0), X, train=True))
