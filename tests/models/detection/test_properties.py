"""Boxes, suppression, matches, coder and RoIAlign on cases that hypothesis looks for.

Coordinates are multiples of powers of two, so that single precision holds every ratio exactly and
ties are ties in both ways of computing.
"""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection import boxes
from jresnet.models.detection.matching import match
from jresnet.models.detection.nms import best, nms
from jresnet.models.detection.roi_align import levels_of, roi_align
from tests.models.detection import hard
from tests.models.detection.test_assignment import ROI, RPN
from tests.models.detection.test_assignment import expected as matched_by_hand
from tests.models.detection.test_roi_align import FORMS
from tests.models.detection.test_roi_align import expected as aligned_by_hand

hypothesis = pytest.importorskip(
    "hypothesis", reason="hypothesis is none of the installed: pip install '.[test]'"
)
st = hypothesis.strategies

COUNT = 6
examples = hypothesis.settings(
    max_examples=100, deadline=None, derandomize=True, database=None, print_blob=False
)


def arrays(elements, *shape, dtype=np.float32):
    """Arrays of one shape, so that each function is compiled once."""
    size = int(np.prod(shape))
    flat = st.lists(elements, min_size=size, max_size=size)
    return flat.map(lambda values: np.asarray(values, dtype).reshape(shape))


SMALL = st.integers(0, 6).map(float)
EIGHTHS = st.integers(-4096, 4096).map(lambda n: n / 8)
NO_NUMBERS = st.sampled_from([np.nan, np.inf, -np.inf])
ANY = st.one_of(SMALL, EIGHTHS, NO_NUMBERS)
BOXES = arrays(st.one_of(SMALL, EIGHTHS), COUNT, 4)


@functools.cache
def compiled(function, **static):
    return jax.jit(functools.partial(function, **static))


@examples
@hypothesis.given(arrays(ANY, COUNT, 4), arrays(ANY, COUNT, 4))
def test_overlaps(a, b):
    overlaps = np.asarray(compiled(boxes.iou)(a, b))
    with np.errstate(invalid="ignore"):
        wanted = [[hard.iou(one, other) for other in b] for one in a]
    np.testing.assert_allclose(overlaps, wanted, atol=1e-6)
    np.testing.assert_array_equal(overlaps, np.asarray(compiled(boxes.iou)(b, a)).T)


@examples
@hypothesis.given(BOXES, BOXES)
def test_generalized_overlaps(a, b):
    overlaps = np.asarray(compiled(boxes.iou)(a, b))
    generalized = np.asarray(compiled(boxes.generalized_iou)(a, b))
    assert (generalized <= overlaps + 1e-6).all()
    assert (np.abs(generalized) <= 1 + 1e-6).all()
    wide = np.asarray([hard.area(box) > 0 for box in a])
    same = np.asarray(compiled(boxes.generalized_iou)(a, a)).diagonal()
    np.testing.assert_allclose(same[wide], 1, atol=1e-6)


def clamped(truth, anchor):
    """The box about the centre of `truth` with its sides, but at most 1000 / 16 times the anchor's."""
    middle, side = (truth[:2] + truth[2:]) / 2, truth[2:] - truth[:2]
    side = np.minimum(side, 1000 / 16 * (anchor[2:] - anchor[:2]))
    return np.concatenate([middle - side / 2, middle + side / 2])


@examples
@hypothesis.given(
    arrays(ANY, COUNT, 4),
    arrays(ANY, COUNT, 4),
    st.sampled_from([boxes.RPN_WEIGHTS, boxes.ROI_WEIGHTS]),
)
def test_the_coder_is_undone_up_to_its_largest_factor(truth, anchors, weights):
    deltas = compiled(boxes.encode, weights=weights)(truth, anchors)
    assert np.isfinite(deltas).all()
    back = np.asarray(compiled(boxes.decode, weights=weights)(deltas, anchors))
    for n in range(COUNT):
        pair = np.concatenate([truth[n], anchors[n]]).astype(float)
        sides = (
            np.concatenate([pair[2:4] - pair[:2], pair[6:] - pair[4:6]])
            if (np.isfinite(pair).all())
            else np.zeros(4)
        )
        if (sides > 0).all():
            wanted = clamped(pair[:4], pair[4:])
            np.testing.assert_allclose(back[n], wanted, rtol=1e-5, atol=5e-3)
        else:
            assert not np.asarray(deltas)[n].any()


def exact_iou(a, b):
    """The IoU of boxes with whole corners; 0 where there is no area."""
    inner = hard.area([*np.maximum(a[:2], b[:2]), *np.minimum(a[2:], b[2:])])
    if not hard.area(a) or not hard.area(b):
        return Fraction(0)
    return Fraction(int(inner), int(hard.area(a) + hard.area(b) - inner))


def kept_by_hand(corners, scores, threshold, valid, classes):
    """Rows that stay, by falling score and then by place."""
    rows = [n for n in range(COUNT) if valid[n] and scores[n] > -np.inf]
    stay: list[int] = []
    for n in sorted(rows, key=lambda n: -scores[n]):
        rivals = [m for m in stay if classes[m] == classes[n]]
        if all(exact_iou(corners[n], corners[m]) <= threshold for m in rivals):
            stay.append(n)
    return stay


SCORES = st.sampled_from([0.0, -0.0, 0.5, 0.5, 1.0, -1.0, np.inf, -np.inf, np.nan])
BITS = arrays(st.booleans(), COUNT, dtype=bool)


@examples
@hypothesis.given(arrays(SMALL, COUNT, 4), arrays(SCORES, COUNT), st.integers(0, 4), BITS, BITS)
def test_suppression_with_ties_at_the_threshold(corners, scores, quarters, valid, second):
    threshold, classes = quarters / 4, second.astype(np.int32)
    wanted = kept_by_hand(corners, scores, Fraction(quarters, 4), valid, classes)
    stay = compiled(nms)(corners, scores, threshold, valid, classes)
    assert np.flatnonzero(stay).tolist() == sorted(wanted)
    rows, taken = compiled(best, limit=3)(corners, scores, threshold, valid=valid, classes=classes)
    assert np.asarray(rows)[np.asarray(taken)].tolist() == wanted[:3]


LEVELS = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.5, 0.7, 0.75, 1.0, np.nan])


@pytest.mark.parametrize("options", [RPN, ROI], ids=["rpn", "roi"])
@examples
@hypothesis.given(arrays(LEVELS, 3, 5), arrays(st.booleans(), 3, dtype=bool))
def test_matches_at_their_limits(options, overlaps, real):
    matched = compiled(match, **options)(overlaps, real)
    wanted = matched_by_hand(np.nan_to_num(overlaps), real, **options)
    assert matched.tolist() == wanted


HALVES = st.integers(-40, 160).map(lambda n: n / 2)
FEATURE = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)


@pytest.mark.parametrize("aligned", [False, True])
@examples
@hypothesis.given(arrays(HALVES, 4, 4))
def test_regions_without_area_swapped_and_at_the_border(aligned, regions):
    wanted = [aligned_by_hand(FEATURE, box, 2, 8, 2, aligned) for box in regions]
    for form in FORMS:
        pool = compiled(pooled, aligned=aligned, form=form)
        np.testing.assert_allclose(pool(regions)[..., 0], wanted, atol=1e-5)


def pooled(regions, **options):
    return roi_align([jnp.asarray(FEATURE)[..., None]], regions, 2, (8.0,), sampling=2, **options)


@examples
@hypothesis.given(arrays(ANY, 4, 4))
def test_every_region_has_a_map(regions):
    levels = np.asarray(compiled(levels_of, strides=(4.0, 8.0, 16.0))(regions))
    assert set(levels) <= {0, 1, 2}
    for level, region in zip(levels, regions, strict=True):
        if np.isfinite(region).all():
            side = hard.area(region) ** 0.5
            assert level == (0 if side < 112 else 1 if side < 224 else 2)


def test_none_at_all():
    """No boxes, no objects, no regions: arrays of no rows, as a set without boxes has them."""
    none, one = jnp.zeros((0, 4)), jnp.zeros((1, 4))
    for function, arguments, shape in (
        (boxes.iou, (none, one), (0, 1)),
        (boxes.generalized_iou, (none, one), (0, 1)),
        (boxes.encode, (none, none), (0, 4)),
        (boxes.decode, (none, none), (0, 4)),
        (functools.partial(nms, threshold=0.5), (none, jnp.zeros(0)), (0,)),
        *((functools.partial(pooled, form=form), (none,), (0, 2, 2, 1)) for form in FORMS),
    ):
        assert jax.eval_shape(function, *arguments).shape == shape
