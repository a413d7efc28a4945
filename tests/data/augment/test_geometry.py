"""Joint geometry against numpy's flips and slices, and boxes against the pixels that they hold."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.augment.geometry import Warp, carry, chain, identity
from jresnet.data.augment.places import Crop, Flip, Rotate, Scale
from jresnet.errors import UsageError

KEY = jax.random.key(0)


def scene(count=16, height=24, width=20, limit=3, seed=0):
    """Images that are 1 inside of their boxes' union, and the same as maps, masks and keypoints."""
    rng = np.random.default_rng(seed)
    boxes = np.zeros((count, limit, 4), np.float32)
    classes = np.full((count, limit), -1, np.int32)
    masks = np.zeros((count, limit, height, width), np.float32)
    for image in range(count):
        for row in range(rng.integers(1, limit + 1)):
            x1, y1 = rng.integers(0, width - 4), rng.integers(0, height - 4)
            x2, y2 = rng.integers(x1 + 3, width + 1), rng.integers(y1 + 3, height + 1)
            boxes[image, row] = x1, y1, x2, y2
            classes[image, row] = row
            masks[image, row, y1:y2, x1:x2] = 1
    image = masks.max(1)[..., None]
    points = np.stack([boxes[..., :2], boxes[..., 2:]], -2)
    keypoints = np.concatenate([points, np.ones((*points.shape[:-1], 1))], -1).astype(np.float32)
    visible = (classes != -1)[..., None, None]
    return {
        "image": jnp.asarray(image),
        "map": jnp.asarray(image[..., 0].astype(np.int32)),
        "boxes": jnp.asarray(boxes),
        "class": jnp.asarray(classes),
        "masks": jnp.asarray(masks),
        "keypoints": jnp.asarray(keypoints * visible),
        "index": jnp.arange(count),
    }


def carried(batch, *places, **options):
    def run(key, batch):
        count, *size = batch["map"].shape
        warp = chain(key, places, count, tuple(size))
        return warp, carry(batch, warp, **options)

    return jax.jit(run)(KEY, batch)


def test_nothing_moves_by_the_identity():
    batch = scene()
    same = carry(batch, identity(16, (24, 20)))
    assert same.keys() == batch.keys()
    for name, rows in batch.items():
        np.testing.assert_array_equal(same[name], rows)


def test_a_flip_is_numpy_s():
    batch = scene()
    warp, flipped = carried(batch, Flip(1.0), mirrored=(1, 0))
    assert warp.mirrors.all()
    for name, axis in (("image", 2), ("map", 2), ("masks", 3)):
        np.testing.assert_array_equal(flipped[name], np.flip(batch[name], axis))
    kept = np.asarray(batch["class"]) != -1
    boxes = np.asarray(batch["boxes"])[..., [2, 1, 0, 3]] * [-1, 1, -1, 1] + [20, 0, 20, 0]
    np.testing.assert_array_equal(flipped["boxes"], boxes * kept[..., None])
    # The second keypoint, at the right, is the first one now.
    points = np.asarray(batch["keypoints"])[:, :, ::-1] * [-1, 1, 1] + [20, 0, 0]
    np.testing.assert_array_equal(flipped["keypoints"], points * kept[..., None, None])
    np.testing.assert_array_equal(flipped["index"], batch["index"])
    chosen = carried(scene(200), Flip())[0].mirrors
    assert 70 < chosen.sum() < 130


@pytest.mark.parametrize("size", [(16, 12), (32, 30), (16, 30)])
def test_a_crop_is_a_slice_and_pads_what_is_smaller(size):
    batch = scene()
    warp, cropped = carried(batch, Crop(size))
    starts = np.asarray(warp.matrix[..., -1]).astype(int)[:, ::-1]
    assert len({tuple(start) for start in starts}) > 4
    for row, (top, left) in enumerate(starts):
        pad = [(max(0, -s), 40) for s in (top, left)]
        window = (
            slice(max(0, top), max(0, top) + size[0]),
            slice(max(0, left), max(0, left) + size[1]),
        )
        for name, fill in (("image", 0.0), ("map", 255)):
            extra = [(0, 0)] if name == "image" else []
            padded = np.pad(batch[name][row], [*pad, *extra], constant_values=fill)
            np.testing.assert_array_equal(cropped[name][row], padded[window], err_msg=name)
    assert cropped["image"].shape == (16, *size, 1)


def tight(mask):
    """The box of the pixels of a mask; None if there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize(
    "places",
    [(Flip(), Crop((16, 16))), (Scale(0.5, 2.0), Crop((20, 20))), (Flip(), Scale(), Crop((9, 30)))],
)
def test_a_box_holds_the_pixels_of_its_mask(places):
    batch = scene(32)
    _, moved = carried(batch, *places)
    visible = 0
    for boxes, classes, masks in zip(moved["boxes"], moved["class"], moved["masks"], strict=True):
        for box, label, mask in zip(np.asarray(boxes), classes, np.asarray(masks), strict=True):
            pixels = tight(mask)
            if label == -1:
                assert not box.any()
                assert pixels is None or not mask.any()
                continue
            visible += 1
            if pixels is not None:  # less than half a pixel may be left
                np.testing.assert_allclose(box, pixels, atol=1.01)
    assert visible > 20


def test_what_leaves_the_image_is_padding():
    batch = scene()
    left = Warp(identity(16, (24, 20)).matrix.at[:, 0, -1].set(100.0), (24, 20))
    gone = carry(batch, left)
    assert (gone["class"] == -1).all()
    assert (gone["map"] == 255).all()
    for name in ("image", "boxes", "masks", "keypoints"):
        assert not gone[name].any(), name
    one = {"boxes": jnp.array([[[0.0, 0, 10, 10]]]), "class": jnp.array([[3]])}
    for smallest, label in ((0.0, 3), (2.0, -1)):
        shifted = Warp(identity(1, (24, 20)).matrix.at[:, 0, -1].set(8.0), (24, 20))
        assert carry(one, shifted, smallest=smallest)["class"].item() == label


def test_a_padded_row_stays_padding_wherever_it_lies():
    batch = {"boxes": jnp.array([[[2.0, 2, 9, 9]]]), "class": jnp.array([[-1]])}
    moved = carry(batch, identity(1, (10, 10)))
    assert moved["class"].item() == -1
    assert not moved["boxes"].any()


def test_a_rotation_by_a_quarter_is_numpy_s_and_back_again_the_image():
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 3)), jnp.float32)
    # x' = y, y' = 8 - x: the place each pixel comes from.
    quarter = jnp.broadcast_to(jnp.array([[0.0, 1, 0], [-1, 0, 8]]), (2, 2, 3))
    turned = carry({"image": image}, Warp(quarter, (8, 8)))["image"]
    np.testing.assert_allclose(turned, np.rot90(image, -1, (1, 2))[:, :, :], atol=1e-5)
    assert carried({**scene(), "image": scene()["image"]}, Rotate(0.0))[1]["image"].any()


def test_one_interpolation_between_pixels():
    image = jnp.asarray([[[[0.0], [1.0], [3.0]]]])
    half = Warp(identity(1, (1, 3)).matrix.at[:, 0, -1].set(0.5), (1, 3))
    np.testing.assert_allclose(
        carry({"image": image}, half, fill=5.0)["image"][0, 0, :, 0], [0.5, 2, 4]
    )


def test_every_frame_of_a_clip_moves_alike_and_volumes_in_three_axes():
    clip = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6, 4, 3)), jnp.float32)
    flipped = carry({"image": clip}, Flip(1.0)(KEY, 2, (6, 4)))["image"]
    np.testing.assert_array_equal(flipped, clip[:, :, :, ::-1])
    volume = carry({"image": clip}, Crop((3, 4, 4))(KEY, 2, (5, 6, 4)))["image"]
    assert volume.shape == (2, 3, 4, 4, 3)
    warp = Crop((3, 4, 4))(KEY, 2, (5, 6, 4))
    for row in range(2):
        x, y, z = np.asarray(warp.matrix[row, :, -1]).astype(int)
        np.testing.assert_array_equal(volume[row], clip[row, z : z + 3, y : y + 4, x : x + 4])


@pytest.mark.parametrize(
    "places", [(Flip(), Crop((16, 30))), (Flip(), Scale(0.3, 3.0), Flip(axis=0))]
)
def test_axes_looked_up_one_by_one_are_the_places_looked_up_at_once(places):
    batch = scene()
    batch["image"] += jax.random.normal(KEY, batch["image"].shape)
    warp, by_axis = carried(batch, *places, fill=7.0)
    assert warp.aligned
    at_once = carry(batch, dataclasses.replace(warp, aligned=False), fill=7.0)
    for name, rows in at_once.items():
        np.testing.assert_allclose(by_axis[name], rows, atol=2e-5, err_msg=name)
    volume = {"image": jax.random.normal(KEY, (2, 5, 6, 4, 2)), "map": jnp.ones((2, 5, 6, 4), int)}
    warp = chain(KEY, (Scale(), Flip(axis=1), Crop((4, 9, 3))), 2, (5, 6, 4))
    by_axis, at_once = (
        carry(volume, dataclasses.replace(warp, aligned=each), fill=7.0) for each in (True, False)
    )
    np.testing.assert_allclose(by_axis["image"], at_once["image"], atol=2e-5)
    np.testing.assert_array_equal(by_axis["map"], at_once["map"])


@pytest.mark.parametrize("place", [Flip(), Scale(), Crop((4, 3))])
@pytest.mark.parametrize("aligned", [True, False])
def test_infinite_pixels_do_not_spread(place, aligned):
    image = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0].set(jnp.inf)
    warp = dataclasses.replace(place(KEY, 1, (4, 4)), aligned=aligned)
    assert not jnp.isnan(carry({"image": image}, warp)["image"]).any()


def test_a_turn_is_not_aligned():
    assert not chain(KEY, (Flip(), Rotate()), 1, (4, 4)).aligned


def test_refusals():
    with pytest.raises(UsageError, match="probability=2: expected 0 to 1"):
        Flip(2)
    with pytest.raises(UsageError, match="expected 0 < low <= high"):
        Scale(2.0, 1.0)
    with pytest.raises(UsageError, match=r"size=\(3,\): expected 2 numbers"):
        Crop((3,))(KEY, 1, (4, 4))
    with pytest.raises(TypeError, match="expected floats"):
        carry({"image": jnp.zeros((1, 4, 4, 1), jnp.uint8)}, identity(1, (4, 4)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_an_axis_of_a_volume_is_mirrored_image_and_map_alike(axis):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(3, 4, 5, 6, 2)).astype(np.float32)
    labels = rng.integers(0, 3, (3, 4, 5, 6)).astype(np.int32)
    batch = {"image": jnp.asarray(image), "map": jnp.asarray(labels)}
    _, result = carried(batch, Flip(1.0, axis))
    place = axis + 1 if axis >= 0 else axis
    np.testing.assert_allclose(result["image"], np.flip(image, axis + 1 if axis >= 0 else axis - 1))
    np.testing.assert_array_equal(result["map"], np.flip(labels, place))


@pytest.mark.parametrize(
    ("axes", "plane"), [((-1, -2), (1, 2)), ((-1, -3), (0, 2)), ((-2, -3), (0, 1))]
)
def test_a_volume_turns_in_the_plane_of_two_axes_as_scipy_turns_it(axes, plane):
    from scipy import ndimage

    rng = np.random.default_rng(1)
    volume = ndimage.gaussian_filter(rng.normal(size=(12, 12, 12)), 1.5).astype(np.float32)
    batch = {"image": jnp.asarray(volume[None, ..., None]), "map": jnp.zeros((1, 12, 12, 12), int)}
    warp, result = carried(batch, Rotate(30.0, axes))
    linear = np.asarray(warp.matrix[0, :, :-1])
    x, y = (2 - axis % 3 for axis in axes)
    angle = np.rad2deg(np.arctan2(linear[y, x], linear[x, x]))
    assert 1 < abs(angle) <= 30
    turned = [
        ndimage.rotate(volume, sign * angle, plane, reshape=False, order=1) for sign in (-1, 1)
    ]
    inner = np.s_[3:-3, 3:-3, 3:-3]
    moved = np.asarray(result["image"][0, ..., 0])
    errors = [np.abs(moved - other)[inner].max() for other in turned]
    assert min(errors) < 1e-5 < max(errors)


@pytest.mark.parametrize("place", [Rotate(30.0, probability=0.0), Scale(0.5, 2.0, 0.0)])
def test_with_probability_0_nothing_moves(place):
    warp = place(KEY, 4, (6, 6, 6))
    np.testing.assert_allclose(warp.matrix, identity(4, (6, 6, 6)).matrix, atol=1e-6)


def test_some_of_a_batch_turn():
    warp = Rotate(30.0, (-1, -3), 0.5)(KEY, 64, (6, 6, 6))
    still = (np.abs(warp.matrix - identity(64, (6, 6, 6)).matrix) < 1e-6).all((1, 2))
    assert 16 < still.sum() < 48
    with pytest.raises(UsageError, match="axis=-3: expected one of 2 axes"):
        Flip(1.0, -3)(KEY, 2, (4, 4))


def framed(count=12, height=24, width=20, limit=3, cells=6, seed=0):
    """Whole random masks, and the same cropped to frames of as many pixels as they have cells."""
    rng = np.random.default_rng(seed)
    whole = np.zeros((count, limit, height, width), np.uint8)
    cropped = rng.integers(0, 256, (count, limit, cells, cells), np.uint8)
    frames = np.zeros((count, limit, 4), np.float32)
    classes = np.where(rng.random((count, limit)) < 0.8, 1, -1).astype(np.int32)
    for image, row in np.ndindex(count, limit):
        if classes[image, row] == -1:
            cropped[image, row] = 0
            continue
        x, y = int(rng.integers(0, width - cells + 1)), int(rng.integers(0, height - cells + 1))
        whole[image, row, y : y + cells, x : x + cells] = cropped[image, row]
        frames[image, row] = x, y, x + cells, y + cells
    return {
        "map": jnp.zeros((count, height, width), jnp.int32),
        "boxes": jnp.asarray(frames),
        "class": jnp.asarray(classes),
        "area": jnp.ones((count, limit)),
        "masks": jnp.asarray(whole),
    }, {"masks": jnp.asarray(cropped), "frames": jnp.asarray(frames)}


@pytest.mark.parametrize(
    "places",
    [
        (Flip(),),
        (Flip(1.0, -2),),
        (Flip(1.0, -1), Flip(1.0, -2)),
        (Crop((16, 14)),),
        (Flip(), Crop((16, 14)), Flip(0.5, -2)),
        (Crop((40, 40)),),
    ],
)
def test_masks_in_frames_are_the_whole_masks_wherever_they_lie(places):
    batch, frames = framed()
    _, whole = carried(batch, *places)
    _, moved = carried(batch | frames, *places)
    np.testing.assert_array_equal(moved["class"], whole["class"])
    np.testing.assert_array_equal(moved["boxes"], whole["boxes"])
    np.testing.assert_array_equal(moved["area"], batch["area"])
    assert moved["masks"].dtype == np.uint8
    outside, inside = 0, 0
    for image, row in np.ndindex(*batch["class"].shape):
        mask, frame = (np.asarray(moved[name][image, row]) for name in ("masks", "frames"))
        if moved["class"][image, row] == -1:
            assert not mask.any()
            assert not frame.any()
            continue
        # Pasted in NumPy on a canvas with room for what lies outside.
        x1, y1, x2, y2 = np.rint(frame).astype(int) + 40
        canvas = np.zeros((130, 130), np.uint8)
        canvas[y1:y2, x1:x2] = mask
        height, width = whole["masks"].shape[2:]
        seen = canvas[40 : 40 + height, 40 : 40 + width]
        np.testing.assert_array_equal(seen, whole["masks"][image, row])
        outside += int((frame < 0).any() or (frame[2:] > [width, height]).any())
        inside += 1
    assert inside > 10
    assert bool(outside) == ((16, 14) in [getattr(place, "size", None) for place in places])


def test_frames_are_scaled_as_boxes_are():
    batch, frames = framed()
    _, moved = carried(batch | frames, Scale(0.5, 0.5))
    kept = np.asarray(moved["class"]) != -1
    clipped = np.clip(moved["frames"], 0, np.array([20, 24, 20, 24]))
    np.testing.assert_allclose(clipped[kept], np.asarray(moved["boxes"])[kept], atol=1e-4)
    sides = np.asarray(moved["frames"][..., 2:] - moved["frames"][..., :2])
    np.testing.assert_allclose(sides[kept], 3, atol=1e-4)
    np.testing.assert_array_equal(
        np.asarray(moved["masks"])[kept], np.asarray(frames["masks"])[kept]
    )
