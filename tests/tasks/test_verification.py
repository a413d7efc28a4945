"""Pairs, folds, ROC and ranks against scikit-learn and loops, and where there is nothing to score."""

import math

import numpy as np
import pytest
from sklearn import metrics

from jresnet.tasks.face_collector import FaceCollector
from jresnet.tasks.verification import (
    Pairs,
    best_threshold,
    cumulative_matches,
    fold_accuracies,
    matches,
    roc,
    similarities,
    spread,
    verification_scores,
)


def drawn(count=400, seed=0, ties=True):
    """Scores of pairs, with ties, and their folds."""
    rng = np.random.default_rng(seed)
    same = rng.random(count) < 0.5
    scores = rng.normal(size=count) + 1.2 * same
    scores = np.round(scores, 1) if ties else scores
    none = np.zeros(count, int)
    return scores, Pairs(none, none, same, np.arange(count) % 10)


def accuracy(scores, same, threshold):
    return np.mean((scores >= threshold) == same)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_the_best_of_all(seed):
    scores, pairs = drawn(60, seed)
    ours = accuracy(scores, pairs.same, best_threshold(scores, pairs.same))
    tried = [accuracy(scores, pairs.same, t) for t in np.linspace(-6, 6, 4801) + 0.0125]
    assert ours == max(tried)


def test_folds_by_a_loop():
    scores, pairs = drawn()
    folds = fold_accuracies(scores, pairs)
    for fold in range(10):
        inside = pairs.fold == fold
        right = [
            (s >= folds.thresholds[fold]) == y
            for s, y, i in zip(scores, pairs.same, inside, strict=True)
            if i
        ]
        assert folds.accuracies[fold] == sum(right) / len(right)
    assert folds.accuracy == pytest.approx(np.mean(folds.accuracies))
    # The threshold of a fold knows nothing of it.
    other = scores.copy()
    other[pairs.fold == 3] = 99
    assert fold_accuracies(other, pairs).thresholds[3] == folds.thresholds[3]


@pytest.mark.parametrize("ties", [True, False])
def test_the_curve_is_scikit_learn_s(ties):
    scores, pairs = drawn(ties=ties)
    curve = roc(scores, pairs.same)
    false, true, _ = metrics.roc_curve(pairs.same, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false / curve.different, false)
    np.testing.assert_allclose(curve.true / curve.same, true)
    assert curve.area == pytest.approx(metrics.roc_auc_score(pairs.same, scores))
    for far in (0.5, 0.1, 0.01, 1e-5):
        rate, threshold, wrong = curve.at(far)
        assert rate == true[false <= far + 1e-12].max()
        assert rate == np.mean(scores[pairs.same] >= threshold)
        assert wrong == np.sum(scores[~pairs.same] >= threshold) <= far * curve.different


def test_what_is_behind_each_rate_is_told():
    scores, pairs = drawn()
    result = verification_scores(scores, pairs)
    assert result["pairs/same"] + result["pairs/different"] == 400
    assert result["false_accepts/1e-05"] == 0
    assert result["tar/0.01"] >= result["tar/0.001"] == result["tar/1e-05"]


def test_one_kind_of_pairs_alone_has_no_curve():
    same = np.ones(10, bool)
    curve = roc(np.arange(10.0), same)
    assert math.isnan(curve.area)
    assert math.isnan(curve.at(0.1)[0])
    with pytest.raises(ValueError, match="folds=1: expected"):
        fold_accuracies(np.arange(10.0), Pairs(same * 0, same * 0, same, np.zeros(10)))
    with pytest.raises(ValueError, match="expected at least one pair"):
        best_threshold(np.zeros(0), same[:0])
    with pytest.raises(ValueError, match="expected arrays of one length"):
        Pairs(same, same, same, same[:3])


def test_ranks_and_the_cmc():
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    probes = np.array([[2.0, 0.1], [0.2, 1.0], [1.0, 0.05], [0.0, 1.0]])
    ranks = matches(probes, gallery, np.array([7, 8, 8, 5]), np.array([7, 8, 7]))
    assert ranks.tolist() == [1, 1, 2, 0]
    assert cumulative_matches(ranks, 2).tolist() == pytest.approx([2 / 3, 1.0])
    assert np.isnan(cumulative_matches(np.zeros(3, int), 2)).all()
    constant = matches(np.ones((4, 2)), np.ones((3, 2)), np.arange(3).repeat(2)[:4], np.arange(3))
    assert constant.tolist() == [3, 3, 3, 3]  # the last of three: no hit by constant vectors


def test_a_collector_takes_rows_in_any_order_and_leaves_lost_ones_out():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 4)
    vectors = rng.normal(size=(10, 8))[person] + 0.3 * rng.normal(size=(40, 8))
    left, right = np.triu_indices(40, 1)
    pairs = Pairs(left, right, person[left] == person[right], np.arange(len(left)) % 10)
    collector, order = FaceCollector(pairs), rng.permutation(40)
    for rows in np.split(order, 4):
        collector.add({"embedding": vectors[rows], "index": rows, "label": person[rows]})
    whole = collector.result()
    direct = verification_scores(similarities(vectors, pairs), pairs)
    assert {name: whole[name] for name in direct} == pytest.approx(direct)
    short = FaceCollector(pairs)
    short.add({"embedding": vectors[1:], "index": np.arange(1, 40), "label": person[1:]})
    assert short.result()["pairs/lost"] == 39
    assert short.result()["pairs/same"] == direct["pairs/same"] - 3
    assert FaceCollector(pairs).result() == {}
    assert spread(np.ones((5, 3))) == pytest.approx(0)
    assert spread(vectors) > 0.5
