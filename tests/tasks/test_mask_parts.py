"""Masks as rectangles: run lengths, pasting as on the device, intersections, AP by pycocotools."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection.masks import paste_masks
from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.mask_parts import from_runs, pasted
from jresnet.tasks.overlaps import mask_overlaps
from tests.tasks.detection_cases import coco_scores, coco_sets, random_outputs

HEIGHT, WIDTH = 40, 48
paste = jax.jit(paste_masks, static_argnums=2)


def runs_of(mask):
    """COCO's run lengths of a mask: column by column, zeros first."""
    pixels = np.concatenate([[False], mask.T.ravel()])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).astype(np.uint32)


def random_masks(rng, count, height=HEIGHT, width=WIDTH):
    """Bool `[count, height, width]`: blocks, strips, dust, everything, nothing."""
    masks = rng.random((count, height, width)) < rng.choice([0, 0.02, 0.5, 1], (count, 1, 1))
    for mask in masks[: count // 2]:
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[...] = False
        mask[y : y + rng.integers(1, height), x : x + rng.integers(1, width)] = True
    return masks


def test_run_lengths_come_back():
    for mask in random_masks(np.random.default_rng(0), 40):
        runs = np.pad(runs_of(mask), (0, 7))
        part = from_runs(runs, HEIGHT, WIDTH)
        np.testing.assert_array_equal(part.whole(HEIGHT, WIDTH), mask)
        assert part.area == mask.sum()
        if mask.any():  # the smallest rectangle
            assert part.pixels.any(0)[[0, -1]].all()
            assert part.pixels.any(1)[[0, -1]].all()


def test_run_lengths_by_hand():
    part = from_runs(np.array([4, 2, 3, 0, 0], np.uint32), 3, 3)
    assert (part.top, part.left, part.area) == (1, 1, 2)
    assert part.pixels.tolist() == [[True], [True]]
    assert from_runs(np.zeros(4, np.uint32), 3, 3).area == 0
    # Runs of no length do not end a mask.
    assert from_runs(np.array([0, 4, 0, 5], np.uint32), 3, 3).pixels.all()
    with pytest.raises(ValueError, match="expected 12 pixels in all, got 9"):
        from_runs(np.array([9], np.uint32), 3, 4)


def test_run_lengths_are_those_of_pycocotools():
    mask = pytest.importorskip("pycocotools.mask", reason="pycocotools is the oracle")
    for seed in range(20):
        pixels = random_masks(np.random.default_rng(seed), 1)[0]
        compressed = mask.frPyObjects(
            {"counts": runs_of(pixels).tolist(), "size": [HEIGHT, WIDTH]}, HEIGHT, WIDTH
        )
        assert compressed == mask.encode(np.asfortranarray(pixels.astype(np.uint8)))


@pytest.mark.parametrize("cells", [14, 28])
def test_pasted_as_on_the_device(cells):
    rng = np.random.default_rng(cells)
    masks = rng.random((60, cells, cells), np.float32)
    low = rng.uniform(-12, 44, (60, 2))
    boxes = np.concatenate([low, low + rng.choice([0.0, 0.4, 7, 60], (60, 2)) * rng.random((60, 2))], 1)  # fmt: skip
    boxes[:10] = np.round(boxes[:10])
    boxes = boxes.astype(np.float32)
    device = np.asarray(paste(jnp.asarray(masks), jnp.asarray(boxes), (HEIGHT, WIDTH)))
    for mask, box, wanted in zip(masks, boxes, device, strict=True):
        part = pasted(mask, box, HEIGHT, WIDTH)
        sure = np.abs(wanted - 0.5) > 1e-4
        assert sure.mean() > 0.98
        np.testing.assert_array_equal((part.whole(HEIGHT, WIDTH) == (wanted > 0.5))[sure], True)
        assert part.area == part.pixels.sum()
    assert device.max() > 0.5


def test_bytes_are_probabilities_too():
    mask = np.zeros((28, 28), np.uint8)
    mask[:, 14:] = 255
    box = np.array([3, 4, 33, 30], np.float32)
    one, two = pasted(mask, box, HEIGHT, WIDTH), pasted(mask / 255.0, box, HEIGHT, WIDTH)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    assert 0.4 < one.area / (30 * 26) < 0.6


def test_boxes_that_are_no_numbers_and_those_outside_have_no_mask():
    for box in (
        [np.nan] * 4,
        [0, 0, np.inf, 5],
        [-1e38, 3e38, -1e37, 3.1e38],
        [100, 100, 120, 120],
        [-30, -30, -10, -10],
    ):
        part = pasted(np.ones((28, 28), np.float32), np.array(box, np.float32), HEIGHT, WIDTH)
        assert part.area == 0
        assert not part.whole(HEIGHT, WIDTH).any()


def test_overlaps_are_those_of_whole_masks():
    rng = np.random.default_rng(2)
    masks = random_masks(rng, 30)
    parts = [from_runs(runs_of(mask), HEIGHT, WIDTH) for mask in masks]
    crowd = rng.random(15) < 0.3
    asked = rng.random((15, 15)) < 0.8
    ours = mask_overlaps(parts[:15], parts[15:], crowd, asked)
    for row, column in np.ndindex(15, 15):
        one, two = masks[row], masks[15 + column]
        inner, union = (one & two).sum(), one.sum() if crowd[column] else (one | two).sum()
        assert ours[row, column] == (inner / union if asked[row, column] and union else 0)


def test_average_precision_is_that_of_pycocotools():
    mask = pytest.importorskip("pycocotools.mask", reason="pycocotools is the oracle")
    told = set()
    for seed in range(16):
        rng = np.random.default_rng(seed)
        arrays = random_outputs(rng)
        height, width = arrays["original"][0].tolist()
        truths, guesses = {}, {}
        arrays["masks"] = np.zeros((*arrays["scores"].shape, 28, 28), np.float32)
        longest = 1 + height * width
        arrays["runs"] = np.zeros((*arrays["crowd"].shape, longest), np.uint32)
        for kind, boxes, classes, into in (
            ("true", arrays["true_boxes"], arrays["true_class"], truths),
            ("guess", arrays["boxes"], arrays["class"], guesses),
        ):
            for at in np.argwhere(classes >= 0):
                at = tuple(at.tolist())
                shape = rng.random((28, 28), np.float32) ** rng.choice([0.02, 0.5])
                if kind == "true":  # a box without corners, so that IoUs vary
                    shape[:, :4] = 0
                whole = pasted(shape, boxes[at], height, width).whole(height, width)
                into[at] = mask.encode(np.asfortranarray(whole.astype(np.uint8)))
                if kind == "true":
                    runs = runs_of(whole)
                    arrays["runs"][at][: len(runs)] = runs
                    arrays["area"][at] = whole.sum()
                else:
                    arrays["masks"][at] = shape
        wanted, _ = coco_scores(coco_sets(arrays, truths, guesses), "segm")
        collector = DetectionCollector(DetectionScores())
        collector.add(arrays)
        scores = collector.result()
        for name, value in wanted.items():
            assert scores[f"mask/{name}"] == pytest.approx(value, abs=1e-6), (seed, name)
        told |= wanted.keys()
        assert np.isnan(scores["ap"]) == np.isnan(scores["mask/ap"])
    assert len(told) == 12
