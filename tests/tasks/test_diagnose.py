"""Several labels, grades, amounts and weights against NumPy; and a head that learns each."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from jresnet.data.class_weights import balanced, positive_weights
from jresnet.errors import UsageError
from jresnet.models.heads import Classifier, Precomputed
from jresnet.tasks.base import Collects
from jresnet.tasks.classify import Classify
from jresnet.tasks.diagnose import Diagnose, DiagnoseMany
from jresnet.tasks.losses import BinaryCrossEntropy, WeightedCrossEntropy
from jresnet.tasks.ordered import Estimate, Grade

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(9, 4)).astype(np.float32)


def same(x):
    return x


def head(outputs):
    return Classifier(Precomputed(), outputs)


def numbers(pairs):
    return {name: float(total / count) for name, (total, count) in pairs.items()}


def test_weights_are_scikit_learn_s_and_weigh_each_class():
    label = np.array([0, 0, 0, 0, 1, 1, 2, 3, 3])
    weights = balanced(np.bincount(label))
    expected = compute_class_weight("balanced", classes=np.arange(4), y=label)
    np.testing.assert_allclose(weights, expected, rtol=1e-3)
    assert balanced(np.array([2, 0, 2])) == (1.0, 0.0, 1.0)
    losses = WeightedCrossEntropy(weights)(jnp.asarray(LOGITS), jax.nn.one_hot(label, 4))
    by_class = optax.softmax_cross_entropy_with_integer_labels(LOGITS, label)
    np.testing.assert_allclose(losses, np.array(weights)[label] * by_class, rtol=1e-5)
    with pytest.raises(UsageError, match=r"weights=\(1.0,\): expected 4, one a class"):
        WeightedCrossEntropy((1.0,))(jnp.asarray(LOGITS), jax.nn.one_hot(label, 4))
    with pytest.raises(UsageError, match=r"positive_weights=-1.0: expected 0 or more"):
        BinaryCrossEntropy(positive_weights=(-1.0,))


def test_positive_weights_are_the_odds_of_no():
    labels = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0]])
    weights = positive_weights(labels)
    assert weights == (3.0, 1.0, 0.3333)
    logits, targets = jnp.asarray(LOGITS[:4, :3]), jnp.asarray(labels, jnp.float32)
    plain = np.asarray(optax.sigmoid_binary_cross_entropy(logits, targets))
    weighted = BinaryCrossEntropy(positive_weights=weights)(logits, targets)
    expected = np.where(labels, np.array(weights) * plain, plain).mean(-1)
    np.testing.assert_allclose(weighted, expected, rtol=1e-5)
    np.testing.assert_allclose(
        BinaryCrossEntropy(positive_weights=(1.0, 1.0, 1.0))(logits, targets),
        BinaryCrossEntropy()(logits, targets),
        rtol=1e-5,
    )


def test_several_labels_an_image():
    task = DiagnoseMany(head(4), same)
    label = (RNG.random((9, 4)) < 0.5).astype(np.int32)
    batch = {"label": jnp.asarray(label), "valid": jnp.asarray([1.0] * 8 + [0.0])}
    losses = task.losses(jnp.asarray(LOGITS), batch["label"])
    shares = 1 / (1 + np.exp(-LOGITS))
    by_hand = -np.where(label, np.log(shares), np.log(1 - shares)).mean(-1)
    np.testing.assert_allclose(losses, by_hand, rtol=1e-4)
    actual = numbers(task.metrics(losses, jnp.asarray(LOGITS), batch))
    assert actual["error"] == pytest.approx(((LOGITS > 0) != label)[:8].mean())
    assert actual["examples"] == 8
    collector = task.collector()
    assert collector.result() == {}
    for rows in (slice(0, 5), slice(5, 9)):
        collector.add({"logits": LOGITS[rows], "label": label[rows]})
    areas = [metrics.roc_auc_score(label[:, k], LOGITS[:, k]) for k in range(4)]
    assert collector.result()["auc"] == pytest.approx(np.mean(areas))


def test_grades_are_counted_and_agree_as_cohen_says():
    task = Grade(head(3), same)
    # The predicted grade is the counted one, also where another is likelier.
    answers = jnp.log(jnp.array([[0.6, 0.35, 0.3, 0.25]]) / jnp.array([[0.4, 0.65, 0.7, 0.75]]))
    assert task.probabilities(answers).argmax() == 0
    assert task.ranking(answers).argmax() == 1
    label = RNG.integers(0, 4, 9)
    logits = np.sort(LOGITS[:, :3])[:, ::-1]
    targets = task.targets(jnp.asarray(label), jnp.asarray(logits))
    assert np.asarray(targets).sum(-1).tolist() == label.tolist()
    grade = (logits > 0).sum(-1)
    pairs = task.metrics(jnp.ones(9), jnp.asarray(logits), {"label": jnp.asarray(label)})
    assert numbers(pairs)["grade_error"] == pytest.approx(np.abs(grade - label).mean())
    assert numbers(pairs)["error"] == pytest.approx((grade != label).mean())
    shares = np.asarray(task.probabilities(jnp.asarray(logits)))
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-5)
    above = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(shares[:, 1:].cumsum(1)[:, -1], above[:, 0], rtol=1e-4)
    collector = task.collector()
    collector.add({"logits": logits, "label": label})
    expected = metrics.cohen_kappa_score(label, grade, weights="quadratic")
    assert collector.result()["kappa"] == pytest.approx(expected)
    agreeing = task.collector()
    agreeing.add({"logits": logits[:1] * 0 - 1, "label": np.zeros(1, int)})
    assert np.isnan(agreeing.result()["kappa"])


def test_amounts_are_told_in_their_own_unit():
    task = Estimate(head(2), same, scale=(10.0, 0.5))
    label = RNG.normal(size=(9, 2)) * [10, 0.5]
    outputs = LOGITS[:, :2]
    losses = task.losses(jnp.asarray(outputs), jnp.asarray(label, jnp.float32))
    np.testing.assert_allclose(losses, ((outputs - label / [10, 0.5]) ** 2).mean(-1), rtol=1e-4)
    pairs = task.metrics(losses, jnp.asarray(outputs), {"label": jnp.asarray(label, jnp.float32)})
    expected = np.abs(outputs * [10, 0.5] - label).mean()
    assert numbers(pairs)["absolute_error"] == pytest.approx(expected, rel=1e-4)
    collector = task.collector()
    collector.add({"label": label, "amount": outputs * [10, 0.5]})
    assert collector.result()["r2"] == pytest.approx(metrics.r2_score(label, outputs * [10, 0.5]))


def features(kind):
    """Rows of three numbers, and labels that a linear layer can tell from them."""
    x = RNG.normal(size=(256, 3)).astype(np.float32)
    if kind is DiagnoseMany:
        return x, (x[:, :2] > 0).astype(np.int32), 2
    if kind is Grade:
        return x, np.digitize(x[:, 0], [-0.5, 0.5]).astype(np.int32), 2
    if kind is Estimate:
        return x, (2 * x[:, :1] - x[:, 1:2]).astype(np.float32), 1
    return x, x.argmax(-1).astype(np.int32), 3


@pytest.mark.parametrize("kind", [Diagnose, DiagnoseMany, Grade, Estimate])
def test_a_linear_layer_learns_and_is_judged(kind):
    x, label, outputs = features(kind)
    task = kind(head(outputs), same)
    assert isinstance(task, Collects)
    batch = {"image": jnp.asarray(x), "label": jnp.asarray(label)}
    variables = task.init(jax.random.key(0), batch)
    optimizer = optax.adam(0.3)

    @jax.jit
    def fitted(variables):
        def step(_, carry):
            params, state = carry
            grads, _ = jax.grad(
                lambda params: task.loss({"params": params}, batch, jax.random.key(0)), has_aux=True
            )(params)
            updates, state = optimizer.update(grads, state)
            return optax.apply_updates(params, updates), state

        params = variables["params"]
        return jax.lax.fori_loop(0, 60, step, (params, optimizer.init(params)))[0]

    trained = {"params": fitted(variables)}
    collector = task.collector()
    collector.add(jax.device_get(task.outputs(trained, batch)))
    score = collector.result()
    assert score[{Grade: "kappa", Estimate: "r2"}.get(kind, "auc")] > 0.95
    before = numbers(task.evaluate(variables, batch))["loss"]
    assert numbers(task.evaluate(trained, batch))["loss"] < before / 2
    if kind is not Estimate:
        shares = task.predict(trained, batch)["probability"]
        assert np.all((np.asarray(shares) >= 0) & (np.asarray(shares) <= 1))


def test_of_one_class_the_base_s_metrics_stay():
    label = RNG.integers(0, 4, 9)
    batch = {"label": jnp.asarray(label)}
    one, other = (
        kind(head(4), same).metrics(jnp.ones(9), jnp.asarray(LOGITS), batch)
        for kind in (Classify, Diagnose)
    )
    assert numbers(one) == numbers(other)
    collector = Diagnose(head(4), same, resamples=20).collector()
    collector.add({"logits": LOGITS, "label": label})
    scores = collector.result()
    assert scores["auc_low"] < scores["auc"] < scores["auc_high"]
