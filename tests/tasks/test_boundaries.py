"""Distances of boundaries over a split: by hand, against MONAI's, and where a class is missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.augment.geometry import IGNORED
from jresnet.tasks.base import Collects
from jresnet.tasks.boundaries import Boundaries, BoundaryCollector, SegmentWithBoundaries
from jresnet.tasks.segment import Segment
from tests.nets import read_arrays
from tests.tasks.test_segment import CLASSES, Pixelwise, data


def collected(predicted, true, boundaries=Boundaries(), classes=(), **outputs):  # noqa: B008
    collector = BoundaryCollector(boundaries, classes)
    collector.add({"predicted": np.asarray(predicted), "true": np.asarray(true), **outputs})
    return collector.result()


@pytest.mark.parametrize(
    ("case", "suffix", "spacing"),
    [
        ("surface_euclidean", "", None),
        ("surface_spacing_2_0.5_euclidean", "", (2.0, 0.5)),
        ("surface3_spacing_euclidean", "3", "spacing3"),
    ],
)
def test_means_are_those_of_monai_s_distances(golden, case, suffix, spacing):
    gold = read_arrays(golden / "medical_metrics.npz")
    spacing = tuple(gold[f"data/{spacing}"].tolist()) if isinstance(spacing, str) else spacing
    results = collected(
        gold[f"data/pred{suffix}"], gold[f"data/gt{suffix}"], Boundaries(spacing, background=False)
    )
    classes = gold[f"{case}/assd"].shape[1]
    means = {"hausdorff95": [], "surface_distance": []}
    for number in range(classes):
        finite = np.isfinite(gold[f"{case}/hd100"][:, number])
        either = ~np.isnan(gold[f"{case}/hd100"][:, number])
        for key, name in (("hausdorff95", "hd95"), ("surface_distance", "assd")):
            wanted = gold[f"{case}/{name}"][finite, number]
            assert (f"{key}/{number + 1}" in results) == bool(wanted.size)
            if wanted.size:
                assert results[f"{key}/{number + 1}"] == pytest.approx(wanted.mean(), rel=1e-5)
                means[key].append(wanted.mean())
        missed = 1 - finite.sum() / either.sum()
        assert results[f"missed/{number + 1}"] == pytest.approx(missed)
    for key, values in means.items():
        assert results[f"mean_{key}"] == pytest.approx(np.mean(values), rel=1e-5)


def square(*corners, side=9):
    labels = np.zeros((side, side), np.int32)
    for number, y, x in corners:
        labels[y, x] = number
    return labels


def test_by_hand_with_classes_that_are_missing():
    true = [square((1, 1, 1)), square((1, 0, 0), (2, 8, 8)), square((2, 4, 4))]
    predicted = [square((1, 1, 5)), square((1, 0, 2)), square((2, 4, 4))]
    results = collected(predicted, true, Boundaries(background=False), ("background", "one", "two"))
    assert results["hausdorff95/one"] == (4 + 2) / 2
    assert results["surface_distance/one"] == (4 + 2) / 2
    assert results["missed/one"] == 0
    assert results["hausdorff95/two"] == 0  # of the image where it was found
    assert results["missed/two"] == 0.5
    assert results["mean_hausdorff95"] == 1.5
    assert results["mean_missed"] == 0.25
    assert not [name for name in results if "background" in name]


def test_background_is_measured_too():
    results = collected([square((1, 4, 4))], [square((1, 4, 4))])
    assert results["hausdorff95/0"] == results["hausdorff95/1"] == 0


def test_nothing_at_all_is_no_number():
    nothing = np.full((1, 4, 4), IGNORED, np.int32)
    results = collected(np.zeros((1, 4, 4), np.uint8), nothing)
    assert set(results) == {"mean_hausdorff95", "mean_surface_distance", "mean_missed"}
    assert np.isnan(list(results.values())).all()


def test_ignored_pixels_are_in_no_region():
    true, predicted = square((1, 1, 1)), square((1, 1, 1), (1, 8, 8))
    assert collected([predicted], [true])["hausdorff95/1"] > 0
    true[8, 8] = IGNORED
    assert collected([predicted], [true])["hausdorff95/1"] == 0


def test_examples_that_tell_their_spacing_are_measured_in_it():
    true, predicted = square((1, 1, 1)), square((1, 1, 5))
    spacing = np.array([[1.0, 0.5], [1.0, 3.0]], np.float32)
    results = collected([predicted] * 2, [true] * 2, Boundaries((9.0, 9.0)), spacing=spacing)
    assert results["hausdorff95/1"] == (4 * 0.5 + 4 * 3.0) / 2


def test_the_order_of_images_does_not_matter_to_the_bit():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 3, (2, 8, 7, 6))
    order = rng.permutation(8)
    collector = BoundaryCollector(Boundaries(), ())
    for rows in np.split(order, [3, 4]):
        collector.add({"predicted": predicted[rows], "true": true[rows]})
    assert collector.result() == collected(predicted, true)


def test_only_the_task_with_boundaries_collects():
    fields = {"model": Pixelwise(), "normalize": lambda x: x / 255.0, "classes": CLASSES}
    assert not isinstance(Segment(**fields), Collects)
    task = SegmentWithBoundaries(**fields)
    assert isinstance(task, Collects)
    batch = {name: jnp.asarray(array[:2]) for name, array in data().items()}
    variables = jax.jit(task.init)(jax.random.key(0), batch)
    outputs = jax.jit(task.outputs)(variables, batch)
    collector = task.collector()
    collector.add({name: np.asarray(array) for name, array in outputs.items()})
    assert any(name.startswith("missed/") for name in collector.result())
