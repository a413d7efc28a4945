"""Pairs of pictures, the smaller one beside the larger: their names, sizes, patches, and the study."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.upscale import upscale
from jresnet.data.broken import BrokenExampleError
from jresnet.data.info import Info
from jresnet.data.patches import RandomPair, RandomPatch, WholePicture, WholePictures
from jresnet.data.sources.picture_layouts import Reduced, find_pictures
from jresnet.data.sources.pictures import Pictures, Unsplit, chosen_pictures
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.tasks.upscale import Upscale
from tests.data.conftest import encode
from tests.nets import random_variables
from tests.test_experiments import defaults

ANY = Info("pictures", class_of=None)
SIZES = (41, 34), (30, 52), (12, 20)  # the last is smaller than a patch
LAYOUTS = {
    "DIV2K": ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_bicubic/X4/{}x4.png"),
    "in one folder": ("train/{}.png", "train/{}x4.png"),
    "RealSR": ("train/{}_HR.png", "train/{}_LR4.png"),
    "same names": ("train/HR/{}.png", "train/LR/{}.png"),
}


def large(number, seed=0):
    rng = np.random.default_rng(10 * seed + number)
    return rng.integers(0, 256, (*SIZES[number], 3), np.uint8)


def small(image, scale=4):
    """Every fourth pixel: of a patch and of the whole picture the same."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height:scale, :width:scale]


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(pixels))


def pairs(folder, layout="DIV2K", seed=0):
    for number in range(len(SIZES)):
        for name, change in zip(LAYOUTS[layout], (np.asarray, small), strict=True):
            write(folder / name.format(f"p{number}"), change(large(number, seed)))
    write(folder / "DIV2K_train_LR_bicubic" / "X2" / "p0x2.png", small(large(0), 2))
    return folder / LAYOUTS[layout][1].split("/")[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_as_people_have_them(tmp_path, layout):
    low = pairs(tmp_path, layout)
    low = low / "LR" if layout == "same names" else low
    write(tmp_path / "test" / "a.png", large(0))
    pictures = Pictures(tmp_path, reduced=Reduced(low, 4))
    assert pictures.info().sizes == {"train": 3, "test": 1}
    source = pictures.open("train")
    for number in range(3):
        np.testing.assert_array_equal(source[number]["image"], large(number))
        np.testing.assert_array_equal(source[number]["reduced"], small(large(number)))
    assert "reduced" not in pictures.open("test")[0]


def test_copies_beside_a_picture_are_no_pictures_of_their_own(tmp_path):
    for name in ("a.png", "ax2.png", "a_x4.png", "bx2.png"):
        write(tmp_path / name, large(2))
    assert [path.name for path in find_pictures(tmp_path)] == ["a.png", "bx2.png"]


def test_a_pair_that_is_none_is_named(tmp_path):
    low = pairs(tmp_path)
    write(low / "X4" / "p0x4.png", large(2))
    (low / "X4" / "p1x4.png").unlink()
    write(tmp_path / "test" / "a.png", large(0))
    source = Pictures(tmp_path, reduced=Reduced(low, 4)).open("train")
    told = (
        f"{tmp_path}/DIV2K_train_HR/p0.png: is 34 x 41 pixels, and the reduced {low}/X4/p0x4.png "
        "20 x 12: expected 8 x 10"
    )
    with pytest.raises(BrokenExampleError, match=f"^{re.escape(told)}$"):
        source[0]
    with pytest.raises(BrokenExampleError, match=r"p1\.png: has no reduced picture: expected one"):
        source[1]
    for folder, words in ((tmp_path / "none", "no such folder"), (tmp_path / "test", "no reduced")):
        with pytest.raises(UsageError, match=f"reduced='{folder}': {words}"):
            Pictures(tmp_path, reduced=Reduced(folder, 4)).open("train")
    write(low / "again" / "X4" / "p2x4.png", large(2))
    with pytest.raises(UsageError, match=r"p2x4\.png are both of p2\.png: expected one"):
        Pictures(tmp_path, reduced=Reduced(low, 4)).open("train")


@pytest.mark.parametrize("number", range(3))
def test_patches_are_cut_jointly(number):
    image = large(number)
    transform, arrays = RandomPair(24, scale=4), {}
    for seed in range(5):
        arrays = transform({"image": image, "reduced": small(image)}, np.random.default_rng(seed))
        spec = transform.spec(ANY)
        assert {n: (a.shape, a.dtype) for n, a in arrays.items()} == {
            n: (a.shape, a.dtype) for n, a in spec.items()
        }
        if number < 2:
            np.testing.assert_array_equal(arrays["image"][::4, ::4], arrays["reduced"])
    if number == 2:  # its 12 rows and their mirror image
        np.testing.assert_array_equal(arrays["reduced"][:3], arrays["reduced"][5:2:-1])
        np.testing.assert_array_equal(arrays["image"][:12], arrays["image"][23:11:-1])


def test_whole_pairs_are_read_as_pictures_that_are_reduced_on_the_device():
    net = zoo.srresnet(2, 1, 4, norm=False)
    task, variables = Upscale(net), random_variables(net, (8, 8, 3))
    image = large(0)
    low = task.reduced(jnp.asarray(image[None, :40], jnp.float32))
    low = np.asarray(low).astype(np.uint8)[0]
    rng = np.random.default_rng(0)
    readings = []
    for paired in (False, True):
        transform = WholePicture((64, 48), 2, paired=paired)
        arrays = transform({"image": image, "reduced": low}, rng)
        assert set(arrays) == set(transform.spec(ANY))
        batch = {name: jnp.asarray(array)[None] for name, array in arrays.items()}
        readings.append(jax.jit(task.read)(variables, batch))
    for name, values in readings[0].items():
        inside = np.s_[:, :20, :17] if name == "low" else np.s_[:, :40, :34]
        ours = np.asarray(readings[1][name])
        if name == "sizes":
            np.testing.assert_array_equal(ours, [[40, 34]])
        else:
            np.testing.assert_allclose(ours[inside], np.asarray(values)[inside], atol=1e-6)


def test_pairs_are_turned_alike():
    truth = np.stack([large(0)[:24, :24], large(1)[:24, :24]] * 8)
    batch = {"image": jnp.asarray(truth), "reduced": jnp.asarray(truth[:, ::4, ::4])}
    task = Upscale(zoo.srresnet(4, 1, 4, norm=False))
    # A mirror image moves the pixel that is taken from the first of four to the last.
    low, turned = task.patches(batch, jax.random.key(0))
    for row, image in zip(np.asarray(low), np.asarray(turned), strict=True):
        taken = [image[y::4, x::4] for y in (0, 3) for x in (0, 3)]
        assert any(np.array_equal(row, one) for one in taken)
    assert not np.array_equal(turned, truth)


def test_the_study_takes_pairs_to_train_on_and_to_test_on(tmp_path):
    low = pairs(tmp_path / "set")
    usual = {"blocks": (1,), "width": 4, "steps": 1, "batch_size": 2, "patch": 4, "plain": False}
    usual |= {"dataset": tmp_path / "set", "scale": 4, "reduced": low}
    for number in range(2):
        write(tmp_path / "Set5" / f"t{number}.png", large(number, 1))
        write(tmp_path / "low" / f"t{number}x4.png", small(large(number, 1)))
    tested = {"test_pictures": tmp_path / "Set5", "test_reduced": tmp_path / "low"}
    (run,) = upscale(**{**defaults(upscale), **usual, **tested}).runs.values()
    assert run.data.train_transform == RandomPair(16, scale=4)
    assert run.data.eval_transform == WholePictures(scale=4, paired=True)
    batch = next(run.data.train())
    # Three rows of the smallest are no mirror image.
    np.testing.assert_array_equal(batch["image"][:, :12:4, ::4], batch["reduced"][:, :3])
    values = jax.eval_shape(run.task.init, jax.random.key(0), batch)
    loss, _ = jax.eval_shape(run.task.loss, values, batch, jax.random.key(1))
    assert loss.shape == ()
    (batch, *_) = run.data.examples("test")
    assert batch["reduced"].shape[1] * 4 == batch["image"].shape[1]
    del tested["test_reduced"]
    (run,) = upscale(**{**defaults(upscale), **usual, **tested}).runs.values()
    assert run.data.eval_transform == WholePictures(scale=4)
    with pytest.raises(UsageError, match=r"reduced=.*: expected dataset too"):
        upscale(**{**defaults(upscale), "reduced": low})


def test_a_folder_without_parts_is_split_with_its_pairs(tmp_path):
    folder = pairs(tmp_path, "in one folder")
    pictures = chosen_pictures(folder, None, Reduced(folder, 4))
    assert isinstance(pictures, Unsplit)
    assert pictures.info().sizes == {"train": 2, "test": 1}
    np.testing.assert_array_equal(pictures.open("test")[0]["reduced"], small(large(0)))
    alone = chosen_pictures(folder, folder, Reduced(folder, 4))
    assert "reduced" not in alone.open("test")[0]
    assert RandomPatch(16) != RandomPair(16)


def test_pairs_of_sixteen_bits_keep_one_scale_and_those_without_a_scale_are_refused(tmp_path):
    for folder, side in (("train", 16), ("low", 4), ("test", 16)):
        (tmp_path / folder).mkdir()
        grey = np.arange(side * side, dtype=np.uint16).reshape(side, side) * 100
        Image.fromarray(grey).save(tmp_path / folder / "a.png")
    low = Reduced(tmp_path / "low", 4)
    pair = Pictures(tmp_path, reduced=low).open("train")[0]
    assert (pair["image"].max(), pair["reduced"].max()) == (round(25500 / 257), round(1500 / 257))
    (tmp_path / "low" / "a.png").unlink()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "low" / "a.tif")
    with pytest.raises(
        BrokenExampleError, match=r"a\.tif: .*32 bits or fractions: expected 8 or 16"
    ):
        Pictures(tmp_path, reduced=low).open("train")[0]


def test_reduced_pictures_beside_the_large_ones_are_none_of_them(tmp_path):
    for name in ("a", "a_LR4", "a_lr_x4", "ax4", "b_lrbi_x2", "b", "lr4"):
        write(tmp_path / f"{name}.png", large(0))
    assert [path.stem for path in find_pictures(tmp_path)] == ["a", "b", "lr4"]
