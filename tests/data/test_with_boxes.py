"""Boxes, masks and keypoints after a transform against the pixels that they hold."""

import io
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jresnet.data import runs
from jresnet.data.augment.geometry import carry
from jresnet.data.augment.places import Flip
from jresnet.data.broken import ExampleError
from jresnet.data.info import Info
from jresnet.data.load import mismatch
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.boxes import Boxes
from jresnet.data.with_boxes import (
    FitWithBoxes,
    RandomCropWithBoxes,
    RandomSideWithBoxes,
    by_proportions,
)
from jresnet.errors import UsageError
from tests.data import box_folders

RNG = np.random.default_rng(0)
INFO = Info("made up", 3, ("a", "b", "c"), (None, None, 3), {}, "box")


def scene(height=60, width=90, count=3, seed=0):
    """Discs in a channel each in turn, none over another, with their tight boxes and masks."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5
    boxes, masks, points = [], [], []
    while len(boxes) < count:
        radius = rng.uniform(6, 12)
        cx, cy = rng.uniform(radius, [width - radius, height - radius])
        mask = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        if image[mask].any():
            continue
        image[mask, len(boxes) % 3] = 250
        rows, columns = np.nonzero(mask)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        masks.append(runs.encode(mask))
        points.append([[cx, cy, 2], [0, 0, 0]])
    return {
        "image": image,
        "boxes": np.array(boxes, np.float32),
        "class": np.arange(count, dtype=np.int32) % 3,
        "crowd": np.zeros(count, bool),
        "area": np.array([runs.area(one) for one in masks], np.float32),
        "runs": masks,
        "keypoints": np.array(points, np.float32),
    }


def empty(**fields):
    none = scene()
    rows = {name: x[:0] for name, x in none.items() if name != "image"}
    return {"image": none["image"], **rows, **fields}


def visible(image, number):
    """The box of the pixels of the number-th disc; None where there are none."""
    rows, columns = np.nonzero(image[..., number] > 125)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


TRANSFORMS = [
    FitWithBoxes((60, 90), limit=5, cells=8, keypoints=2),
    FitWithBoxes((64, 128), limit=5, cells=8, keypoints=2),
    FitWithBoxes((30, 40), limit=5, cells=8, keypoints=2),
    FitWithBoxes((130, 200), limit=5, cells=8, keypoints=2, enlarge=True),
    FitWithBoxes((130, 200), limit=5, cells=8, keypoints=2, shortest=100, longest=140),
    FitWithBoxes((130, 200), limit=5, cells=8, keypoints=2, training=True),
    RandomCropWithBoxes((64, 64), limit=5, cells=8, keypoints=2, low=0.5, high=3),
    RandomSideWithBoxes((130, 200), limit=5, cells=8, keypoints=2, sides=(50, 100, 120)),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=range(len(TRANSFORMS)))
def test_everything_stays_where_its_pixels_are(transform):
    rng = np.random.default_rng(1)
    seen = 0
    for seed in range(10):
        example = scene(seed=seed)
        arrays = transform(example, rng)
        assert mismatch(arrays, transform.spec(INFO)) == ""
        transform.validate(arrays, INFO)
        height, width = arrays["size"].astype(int)
        assert arrays["image"][:height, :width].any()
        assert not arrays["image"][height:].any()
        assert not arrays["image"][:, width:].any()
        assert arrays["original"].tolist() == [60, 90]
        count = int((arrays["class"] >= 0).sum())
        assert (arrays["class"][count:] == -1).all()
        for name in ("boxes", "area", "frames", "masks", "keypoints"):
            assert not arrays[name][count:].any()
        place = arrays["place"]
        for row, label in enumerate(arrays["class"][:count].tolist()):
            corners = arrays["frames"][row].reshape(2, 2)
            back = corners @ place[:, :2].T + place[:, 2]
            np.testing.assert_allclose(back.reshape(4), example["boxes"][label], atol=1e-3)
            assert arrays["area"][row] == example["area"][label]
            stored = example["boxes"][label]
            scale = np.diff(corners, axis=0).max() / (stored[2:] - stored[:2]).max()
            close = 1 + 0.7 * scale
            pixels = visible(arrays["image"], label)
            if (corners >= 0).all() and (corners <= [width, height]).all():
                seen += 1
                np.testing.assert_array_equal(arrays["boxes"][row], arrays["frames"][row])
                np.testing.assert_allclose(arrays["boxes"][row], pixels, atol=close)
            elif pixels is not None:  # the box of what is left may be larger than the disc's part
                assert (arrays["boxes"][row, :2] <= pixels[:2] + close).all()
                assert (arrays["boxes"][row, 2:] >= pixels[2:] - close).all()
            if arrays["keypoints"][row, 0, 2]:
                x, y = (int(value) for value in arrays["keypoints"][row, 0, :2])
                assert arrays["image"][min(y, height - 1), min(x, width - 1), label] > 200
            assert not arrays["keypoints"][row, 1].any()
            disc = arrays["masks"][row] / 255
            share = example["area"][label] / (stored[2:] - stored[:2]).prod()
            np.testing.assert_allclose(disc.mean(), share, atol=0.003)
            assert disc[3:5, 3:5].min() == 1
    assert seen > 10


def test_of_one_size_images_stay():
    example = scene()
    transform = FitWithBoxes(limit=3)
    arrays = transform(example, RNG)
    np.testing.assert_array_equal(arrays["image"], example["image"])
    np.testing.assert_array_equal(arrays["boxes"], example["boxes"])
    np.testing.assert_array_equal(arrays["place"], np.eye(2, 3))
    np.testing.assert_array_equal(transform.place(60, 90), np.eye(2, 3))
    fixed = Info("x", 3, (), (60, 90, 3), {}, "box")
    assert mismatch(arrays, transform.spec(fixed)) == ""
    with pytest.raises(UsageError, match="its images differ in size; expected a size"):
        transform.spec(INFO)
    with pytest.raises(UsageError, match="its images have no boxes"):
        transform.spec(Info("x", 3, (), (60, 90, 3), {}, "pixel"))


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((480, 640), {}, (800, 1066)),
        ((427, 640), {}, (800, 1199)),
        ((500, 375), {}, (1066, 800)),
        ((100, 1000), {}, (133, 1333)),
        ((480, 640), {"shortest": None}, (480, 640)),
        ((480, 640), {"shortest": None, "enlarge": True}, (1008, 1344)),
        ((2000, 2000), {"shortest": None}, (1344, 1344)),
        ((2000, 1000), {"size": (500, 400)}, (500, 250)),
        ((1, 3000), {}, (1, 1333)),
    ],
)
def test_sizes_are_those_of_torchvision_s_rule(size, options, expected):
    rule = {"size": (1344, 1344), "shortest": 800, "longest": 1333, **options}
    height, width = FitWithBoxes(**rule).placement(*size, RNG).scaled
    assert abs(height - expected[0]) <= 1
    assert abs(width - expected[1]) <= 1
    # In torch's arithmetic, step by step, in single precision.
    if options == {}:
        short, long = np.float32(min(size)), np.float32(max(size))
        scale = float(min(np.float32(800) / short, np.float32(1333) / long))
        assert (height, width) == tuple(max(1, int(np.floor(side * scale))) for side in size)


def test_the_jitter_reaches_its_scales_and_every_place():
    transform = RandomCropWithBoxes((48, 48), limit=3)
    rng = np.random.default_rng(0)
    placements = [transform.placement(60, 90, rng) for _ in range(400)]
    factors = np.array([p.scaled[1] / 48 for p in placements])  # 1 fits the width of 90
    assert 0.09 < factors.min() < 0.15
    assert 1.9 < factors.max() <= 2.02
    assert 0.9 < factors.mean() < 1.2
    for p in placements:
        for whole, first, side in zip(p.scaled, p.corner, p.part, strict=True):
            assert side == min(48, whole)
            assert 0 <= first <= whole - side
    large = [p for p in placements if p.scaled[1] > 70]
    assert {min(4, 5 * p.corner[1] // (p.scaled[1] - 47)) for p in large} == {0, 1, 2, 3, 4}
    same = [transform(scene(), np.random.default_rng(3))["boxes"] for _ in range(2)]
    np.testing.assert_array_equal(*same)


def test_boxes_are_clipped_to_the_image_in_training_alone():
    example = scene(count=1) | {"boxes": np.array([[-5, -5, 200, 20]], np.float32)}
    kept = FitWithBoxes((64, 128), limit=1)(example, RNG)
    assert kept["boxes"].tolist() == [[-5, -5, 200, 20]]
    clipped = FitWithBoxes((64, 128), limit=1, training=True)(example, RNG)
    assert clipped["boxes"].tolist() == [[0, 0, 90, 20]]


def test_slivers_and_crowds_are_not_trained_on():
    boxes = np.array([[0, 0, 9, 9], [89.5, 0, 99, 9], [0, 0, 5, 5], [95, 0, 99, 9]], np.float32)
    fields = {"boxes": boxes, "class": np.arange(4) % 3, "crowd": np.array([0, 0, 1, 0], bool)}
    example = {"image": scene()["image"], **fields}
    arrays = FitWithBoxes((60, 90), limit=4, training=True)(example, RNG)
    assert arrays["boxes"].tolist() == [[0, 0, 9, 9], *[[0] * 4] * 3]
    thin = FitWithBoxes((60, 90), limit=4, training=True, smallest=0)(example, RNG)
    assert (thin["class"] >= 0).sum() == 2
    whole = FitWithBoxes((60, 90), limit=4)(example, RNG)
    assert whole["crowd"].tolist() == [False, False, True, False]
    np.testing.assert_array_equal(whole["boxes"], boxes)


def test_more_objects_than_rows_are_told_or_the_largest_stay():
    example = scene(120, 160, count=6, seed=2)
    with pytest.raises(ExampleError, match="has 6 objects: expected at most limit=4"):
        FitWithBoxes((120, 160), limit=4)(example, RNG)
    arrays = FitWithBoxes((120, 160), limit=4, training=True)(example, RNG)
    sides = example["boxes"][:, 2:] - example["boxes"][:, :2]
    largest = np.sort(np.argsort(-sides.prod(1), kind="stable")[:4])
    np.testing.assert_array_equal(arrays["boxes"], example["boxes"][largest])


def test_runs_come_as_they_are_stored():
    example = scene()
    transform = FitWithBoxes((30, 45), limit=5, runs=80, cells=4)
    arrays = transform(example, RNG)
    for row, lengths in enumerate(example["runs"]):
        count = len(lengths)
        np.testing.assert_array_equal(arrays["runs"][row, :count], lengths)
        assert not arrays["runs"][row, count:].any()
    assert not arrays["runs"][3:].any()
    longest = max(map(len, example["runs"]))
    with pytest.raises(ExampleError, match=f"a mask of {longest} run lengths: expected runs=5"):
        FitWithBoxes((30, 45), limit=5, runs=5)(example, RNG)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=range(len(TRANSFORMS)))
def test_an_image_without_objects_or_without_boxes_is_all_padding(transform):
    for example in (empty(), {"image": scene()["image"]}):
        arrays = transform(example, RNG)
        assert mismatch(arrays, transform.spec(INFO)) == ""
        assert (arrays["class"] == -1).all()
        assert not arrays["boxes"].any()
        transform.validate(arrays, INFO)


def test_a_file_and_a_grey_image_are_read():
    example = scene()
    file = io.BytesIO()
    Image.fromarray(example["image"][..., 0]).save(file, "PNG")
    arrays = FitWithBoxes((30, 45), 1, limit=3)({**example, "image": file.getvalue()}, RNG)
    assert arrays["image"].shape == (30, 45, 1)
    colours = FitWithBoxes((30, 45), 3, limit=3)(example, RNG)
    np.testing.assert_array_equal(arrays["image"], colours["image"][..., :1])
    np.testing.assert_array_equal(arrays["boxes"], colours["boxes"])


def test_what_does_not_fit_is_told():
    example = scene()
    without = {name: x for name, x in example.items() if name not in ("runs", "keypoints")}
    with pytest.raises(ExampleError, match="has no masks: expected those of its objects"):
        FitWithBoxes((60, 90), cells=4)(without, RNG)
    with pytest.raises(ExampleError, match="has not keypoints=2 for each of its objects"):
        FitWithBoxes((60, 90), keypoints=2)(without, RNG)
    arrays = FitWithBoxes((60, 90))({**example, "class": np.array([0, 1, 3])}, RNG)
    with pytest.raises(ExampleError, match="class 3 of a box: expected 0 to 2"):
        FitWithBoxes((60, 90)).validate(arrays, INFO)
    with pytest.raises(UsageError, match="limit=0: expected at least 1"):
        FitWithBoxes((8, 8), limit=0)
    with pytest.raises(UsageError, match="cells=0: expected at least 1"):
        RandomSideWithBoxes((8, 8), cells=0)
    with pytest.raises(UsageError, match=r"sides=\(\): expected pixels"):
        RandomSideWithBoxes((8, 8), sides=())
    with pytest.raises(UsageError, match="size=None: expected"):
        RandomCropWithBoxes()
    with pytest.raises(UsageError, match="low=2, high=1: expected 0 < low <= high"):
        RandomCropWithBoxes((8, 8), low=2, high=1)


def test_mixed_sizes_make_three_shapes(tmp_path):
    sizes = {"a": (20, 30), "b": (30, 20), "c": (24, 25), "d": (20, 40)}
    folder = box_folders.voc(tmp_path)
    for name, size in sizes.items():
        box_folders.picture(folder / "JPEGImages" / f"{name}.jpg", size)
        box_folders.xml(folder / "Annotations" / f"{name}.xml", [("cat", (1, 1, 9, 9))], size)
    buckets = by_proportions(FitWithBoxes(limit=2, shortest=32), 32, 64)
    data = ImageData(
        Boxes(folder), 1, 1, train_transform=buckets, eval_transform=buckets, train_split="trainval"
    )
    shapes = {}
    for batch in data.examples("train"):
        (index,) = batch["index"]
        shapes["abcd"[index]] = batch["image"].shape[1:3], tuple(batch["size"][0].astype(int))
    assert shapes == {
        "a": ((32, 64), (32, 48)),
        "b": ((64, 32), (48, 32)),
        "c": ((64, 64), (32, 33)),
        "d": ((32, 64), (32, 64)),
    }


def test_batches_of_a_folder_are_those_of_workers_too(tmp_path):
    boxes = Boxes(box_folders.coco(tmp_path))
    crop = RandomCropWithBoxes((16, 16), limit=2)
    data = ImageData(boxes, 2, 2, train_transform=crop, eval_transform=FitWithBoxes((16, 16)))
    data.check()
    load = data._split("train").streamed
    one, other = (
        each(0, np.random.default_rng(5)) for each in (load, pickle.loads(pickle.dumps(load)))
    )
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])
    (batch,) = data.examples("test")
    assert batch["boxes"].shape == (2, 100, 4)
    assert batch["valid"].tolist() == [1, 0]
    smoke = next(data.smoke().train())
    assert smoke["boxes"].shape == (2, 2, 4)


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_mirrored_example_is_what_the_device_makes_of_it(axis):
    example = scene()
    image = np.flip(example["image"], axis - 1)
    boxes, points = example["boxes"].copy(), example["keypoints"].copy()
    side, column = (90, 0) if axis == -1 else (60, 1)
    boxes[:, [column, column + 2]] = side - boxes[:, [column + 2, column]]
    points[..., column] = np.where(points[..., 2] > 0, side - points[..., column], 0)
    masks = [runs.encode(np.flip(runs.decode(one, 60, 90), axis)) for one in example["runs"]]
    mirrored = example | {"image": image, "boxes": boxes, "keypoints": points, "runs": masks}
    transform = FitWithBoxes((120, 180), limit=4, cells=7, keypoints=2, enlarge=True)
    expected = transform(mirrored, RNG)
    batch = {name: jnp.asarray(x)[None] for name, x in transform(example, RNG).items()}
    batch["image"] = batch["image"].astype(jnp.float32)
    warp = Flip(1.0, axis)(jax.random.key(0), 1, (120, 180))
    moved = carry(batch, warp)
    for name in ("boxes", "frames", "class", "crowd", "area", "keypoints"):
        np.testing.assert_allclose(moved[name][0], expected[name], atol=1e-3, err_msg=name)
    difference = np.abs(moved["masks"][0].astype(int) - expected["masks"].astype(int))
    assert difference.max() <= 1  # of 255, by rounding
    assert np.abs(np.asarray(moved["image"][0]) - expected["image"]).max() <= 1
