"""ROC AUC, its interval, calibration and MedMNIST's scores against other ways of computing them."""

import numpy as np
import pytest
from sklearn import metrics

from jresnet.tasks.diagnose import auc_bounds
from jresnet.tasks.measures import calibration_error, diagnosis_scores, probabilities, sigmoid
from jresnet.tasks.roc import auc, auc_interval

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_scikit_learn_s(ties):
    positive = RNG.random(200) < 0.3
    score = RNG.normal(size=200) + positive
    score = np.round(score) if ties else score
    assert auc(positive, score) == pytest.approx(metrics.roc_auc_score(positive, score), abs=1e-12)
    assert auc(positive, -score) == pytest.approx(1 - auc(positive, score))
    assert np.isnan(auc(np.ones(3), score[:3]))  # no pairs
    assert np.isnan(auc(np.zeros(0), np.zeros(0)))


def test_the_interval_is_that_of_resampled_rows():
    """The same draws, every AUC by scikit-learn."""
    positive = RNG.random(60) < 0.5
    score = np.round(2 * RNG.normal(size=60) + positive)
    rng, values = np.random.default_rng(0), []
    for _ in range(50):
        rows = rng.integers(0, 60, 60)
        values.append(metrics.roc_auc_score(positive[rows], score[rows]))
    expected = np.quantile(values, [0.025, 0.975])
    np.testing.assert_allclose(auc_interval(positive, score, resamples=50), expected, atol=1e-12)
    low, high = auc_interval(positive, np.stack([score, -score]), resamples=50)
    assert low == pytest.approx(0.5)
    assert high == pytest.approx(0.5)
    assert np.isnan(auc_interval(np.ones(5), np.arange(5.0), resamples=5)).all()


@pytest.mark.parametrize(("classes", "many"), [(2, False), (3, False), (3, True)])
def test_the_interval_of_a_split_is_that_of_its_score_on_resampled_rows(classes, many):
    """Classes that no example has take no part, and all examples are drawn together."""
    shares = probabilities(RNG.normal(size=(50, classes + 1)))[:, :classes]
    label = (RNG.random((50, classes)) < 0.5).astype(int) if many else RNG.integers(0, 2, 50)
    rng, values = np.random.default_rng(0), []
    for _ in range(40):
        rows = rng.integers(0, 50, 50)
        values.append(diagnosis_scores(shares[rows], label[rows])["auc"])
    expected = np.quantile(values, [0.025, 0.975])
    np.testing.assert_allclose(auc_bounds(shares, label, 40), expected, atol=1e-12)
    assert np.isnan(auc_bounds(shares[:1], label[:1], 5)).all()


def test_calibration_error_by_hand():
    confidence = np.array([0.6, 0.62, 0.95, 1.0, 0.0])
    right = np.array([True, False, True, True, False])
    # Of 15 bins the ninth ends at 0.6, and the last begins above 14 / 15.
    parts = ([0], [1], [2, 3], [4])
    apart = [len(rows) / 5 * abs(confidence[rows].mean() - right[rows].mean()) for rows in parts]
    assert calibration_error(confidence, right, 15) == pytest.approx(sum(apart))
    sure = RNG.random(20_000)
    assert calibration_error(sure, RNG.random(20_000) < sure) < 0.02
    assert calibration_error(np.ones(10), np.zeros(10, bool)) == 1


def evaluator(shares, label):
    """AUC and accuracy as MedMNIST's evaluator defines them for each kind of task."""
    if label.ndim == 2:
        columns = range(label.shape[1])
        areas = [metrics.roc_auc_score(label[:, k], shares[:, k]) for k in columns]
        hits = [metrics.accuracy_score(label[:, k], shares[:, k] >= 0.5) for k in columns]
        return np.mean(areas), np.mean(hits)
    if shares.shape[1] == 2:
        return (
            metrics.roc_auc_score(label, shares[:, -1]),
            metrics.accuracy_score(label, shares[:, -1] > 0.5),
        )
    areas = [metrics.roc_auc_score(label == k, shares[:, k]) for k in range(shares.shape[1])]
    return np.mean(areas), metrics.accuracy_score(label, shares.argmax(-1))


@pytest.mark.parametrize(("classes", "many"), [(2, False), (5, False), (4, True)])
def test_scores_are_those_of_medmnist_and_of_scikit_learn(classes, many):
    logits = RNG.normal(size=(80, classes))
    if many:
        label = (RNG.random((80, classes)) < 0.4).astype(int)
        shares, chosen = sigmoid(logits), (logits > 0).astype(int)
        recalls = [
            [metrics.recall_score(label[:, k], chosen[:, k], pos_label=yes) for k in range(classes)]
            for yes in (1, 0)
        ]
    else:
        label = RNG.integers(0, classes, 80)
        shares = probabilities(logits)
        columns = [1] if classes == 2 else range(classes)
        guess = shares.argmax(-1)
        recalls = [
            [metrics.recall_score(label == k, guess == k, pos_label=yes) for k in columns]
            for yes in (True, False)
        ]
    scores = diagnosis_scores(shares, label)
    area, accuracy = evaluator(shares, label)
    assert scores["auc"] == pytest.approx(area)
    assert scores["accuracy"] == pytest.approx(accuracy)
    assert scores["sensitivity"] == pytest.approx(np.mean(recalls[0]))
    assert scores["specificity"] == pytest.approx(np.mean(recalls[1]))
    assert 0 < scores["ece"] < 1


def test_classes_without_examples_are_left_out():
    shares = probabilities(RNG.normal(size=(10, 3)))
    label = np.arange(10) % 2  # none of the third
    areas = [metrics.roc_auc_score(label == k, shares[:, k]) for k in (0, 1)]
    assert diagnosis_scores(shares, label)["auc"] == pytest.approx(np.mean(areas))
    assert np.isnan(diagnosis_scores(shares[:1], label[:1])["auc"])
