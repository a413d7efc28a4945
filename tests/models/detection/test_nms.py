"""Non-maximum suppression is exact: torchvision's numbers and a greedy loop on hard boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection.nms import best, nms
from tests.models.detection import hard


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_kept_boxes_are_torchvision_s(operators, threshold):
    case = operators["nms_50"]
    for classes, prefix in ((None, "keep"), (jnp.asarray(case["ids"]), "batched_keep")):
        wanted = case[f"{prefix}_{threshold}"]
        keep = jax.jit(lambda b, s, c: nms(b, s, threshold, classes=c))
        stay = np.asarray(keep(case["boxes"], case["scores"], classes))
        rows = np.flatnonzero(stay)
        np.testing.assert_array_equal(rows[np.argsort(-case["scores"][rows])], wanted)
        rows, valid = best(case["boxes"], case["scores"], threshold, 50, classes=classes)
        np.testing.assert_array_equal(rows[valid], wanted)


def draw(rng, cases, count):
    scores = (rng.integers(0, 7, (cases, count)) / 7).astype(np.float32)
    scores[rng.random(scores.shape) < 0.05] = np.nan
    scores[rng.random(scores.shape) < 0.02] = -np.inf
    valid = rng.random((cases, count)) < 0.85
    valid[:20] = False
    return hard.hard_boxes(rng, cases, count), scores, valid, rng.integers(0, 2, (cases, count))


@pytest.mark.parametrize("threshold", [0.0, 0.1037, 0.3037, 0.5037, 0.7037, 1.0])
def test_thousands_of_hard_cases(threshold):
    # No ratio of small numbers, which single precision may put on either side.
    rng = np.random.default_rng(int(10 * threshold))
    boxes, scores, valid, classes = draw(rng, 600, 14)
    with_classes = np.arange(600) % 2 == 0
    classes = np.where(with_classes[:, None], classes, 0)
    run = jax.jit(jax.vmap(lambda *a: nms(a[0], a[1], threshold, a[2], a[3])))
    stay = np.asarray(run(boxes, scores, valid, classes))
    first = jax.jit(jax.vmap(lambda *a: best(a[0], a[1], threshold, 5, a[2], a[3])))
    rows, taken = map(np.asarray, first(boxes, scores, valid, classes))
    for n in range(600):
        wanted = hard.greedy(boxes[n], scores[n], threshold, valid[n], classes[n])
        assert np.flatnonzero(stay[n]).tolist() == sorted(wanted), n
        assert rows[n][taken[n]].tolist() == wanted[:5], n


def test_a_long_chain_is_settled_to_its_end():
    """Each box overlaps the next alone: every second one stays, however many there are."""
    low = 4.0 * jnp.arange(101)
    boxes = jnp.stack([low, jnp.zeros(101), low + 10, jnp.ones(101)], -1)
    stay = nms(boxes, -jnp.arange(101.0), 0.4)
    assert stay.tolist() == [n % 2 == 0 for n in range(101)]


def test_no_boxes_stay_where_there_are_none():
    boxes, scores = jnp.zeros((4, 4)), jnp.zeros(4)
    assert not nms(boxes, scores, 0.5, jnp.zeros(4, bool)).any()
    assert not best(boxes, scores, 0.5, 3, jnp.zeros(4, bool))[1].any()
