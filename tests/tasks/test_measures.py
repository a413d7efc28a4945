"""Measures by counting."""

import numpy as np
import pytest

from jresnet.tasks.measures import confusion, probabilities, two_classes


def test_auc_is_the_share_of_pairs_in_order_and_the_rates_are_shares_of_a_class():
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(60, 2)).astype(np.float32), rng.integers(0, 2, 60)
    logits[:, 1] += label
    positive = probabilities(logits)[:, 1]
    pairs = positive[label == 1][:, None] > positive[label == 0][None]
    measured = two_classes(logits, label)
    assert measured["auc"] == pytest.approx(pairs.mean())
    assert 0.6 < measured["auc"] < 0.99
    assert measured["sensitivity"] == pytest.approx((positive[label == 1] > 0.5).mean())
    assert measured["specificity"] == pytest.approx((positive[label == 0] <= 0.5).mean())


def test_confusion_counts_true_by_predicted_and_classes_that_never_occur():
    logits = np.eye(4)[[0, 1, 1, 2]]
    matrix = confusion(logits, np.array([0, 0, 1, 0]))
    assert matrix.tolist() == [[1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_probabilities_of_large_logits():
    shares = probabilities(np.array([[1000.0, 1000.0], [0.0, np.log(3)]]))
    np.testing.assert_allclose(shares, [[0.5, 0.5], [0.25, 0.75]])


def test_one_class_has_no_roc():
    measured = two_classes(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), np.zeros(3, int))
    assert np.isnan([measured["auc"], measured["sensitivity"]]).all()
    assert measured["specificity"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="expected two classes"):
        two_classes(np.zeros((3, 3)), np.zeros(3, int))
