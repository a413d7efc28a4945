"""`evaluate` and `ensemble` against counting by hand."""

import shutil

import numpy as np
import pytest

from jresnet.data import images
from jresnet.data.normalisation import IMAGENET
from jresnet.tasks.views import TenCrops
from tests.commands.conftest import FLAGS, write_image
from tests.nets import apply


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """One or two pictures of each of seven classes, 40 by 48 pixels; (folder, pixels, labels)."""
    folder, pixels, labels = tmp_path_factory.mktemp("pictures"), [], []
    for split in ("train", "test"):
        for label in range(7):
            for number in range(1 + label % 2):
                path = folder / split / f"c{label}" / f"{number}.png"
                image = write_image(path, 10 * label + number, (40, 48))
                if split == "test":
                    pixels.append(image)
                    labels.append(label)
    return folder, pixels, np.array(labels)


def probabilities(checkpoint, batch):
    logits = apply(checkpoint.net, checkpoint.variables, IMAGENET(np.stack(batch)), train=False)
    shares = np.exp(np.asarray(logits, np.float64))
    return shares / shares.sum(1, keepdims=True)


def square(pixels, side):
    resized = images.resize(pixels, side, 48 * side // 40)
    left = round((resized.shape[1] - side) / 2)
    return resized[:, left : left + side]


def row(out):
    return out.splitlines()[-1].split()


def by_hand(shares, labels):
    order = np.argsort(-shares, 1)
    top5 = np.mean(
        [label not in likeliest for label, likeliest in zip(labels, order[:, :5], strict=True)]
    )
    return [f"{100 * (order[:, 0] != labels).mean():.2f}", f"{100 * top5:.2f}", str(len(labels))]


def run(command, checkpoint, pictures, *flags):
    return command(
        "evaluate", *FLAGS, "--weights", checkpoint.path, "--dataset", pictures[0],
        "--batch-size", 4, *flags,
    )  # fmt: skip


def test_one_view(checkpoint, command, pictures):
    status, out, err = run(command, checkpoint, pictures)
    assert (status, err) == (0, "")
    expected = probabilities(checkpoint, [square(p, 32) for p in pictures[1]])
    assert row(out)[1:] == by_hand(expected, pictures[2])


def test_a_set_without_train_and_a_test_without_classes(checkpoint, command, pictures, tmp_path):
    shutil.copytree(pictures[0] / "test", tmp_path / "val")
    write_image(tmp_path / "test" / "1.png")
    status, out, err = run(command, checkpoint, [tmp_path])
    assert (status, err) == (0, "")
    expected = probabilities(checkpoint, [square(p, 32) for p in pictures[1]])
    assert row(out)[1:] == by_hand(expected, pictures[2])
    status, _, err = run(command, checkpoint, [tmp_path], "--split", "train")
    assert status == 2
    assert "no train split there" in err


def test_what_is_not_of_evaluate_is_one_line(command, tmp_path):
    for name, arrays in (
        ("flat", {"probabilities": np.zeros(3), "label": np.zeros(3, int)}),
        ("short", {"probabilities": np.zeros((3, 2)), "label": np.zeros(2, int)}),
        ("other", {"a": np.zeros(3)}),
        ("pickle", {"probabilities": np.array([{}]), "label": np.zeros(1, int)}),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "text.npz").write_text("no zip")
    for path in (*tmp_path.glob("*.npz"), tmp_path / "none.npz"):
        status, out, err = command("ensemble", path, path)
        assert (status, out) == (2, "")
        assert f"{str(path)!r} is not of evaluate --out (" in err
        assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_ten_views_scales_and_an_ensemble_of_both(checkpoint, command, pictures, tmp_path):
    ten, scales = tmp_path / "ten.npz", tmp_path / "scales.npz"
    status, out, err = run(
        command, checkpoint, pictures, "--views", "ten", "--resize", "36", "--out", ten
    )
    assert (status, err) == (0, "")
    views = TenCrops(32)(np.stack([square(p, 36) for p in pictures[1]]))
    crops = np.mean([probabilities(checkpoint, view) for view in views], 0)
    with np.load(ten) as file:
        np.testing.assert_allclose(file["probabilities"], crops, rtol=1e-3, atol=1e-5)
        assert file["label"].tolist() == pictures[2].tolist()
    assert row(out)[1:] == by_hand(crops, pictures[2])

    run(command, checkpoint, pictures, "--scales", "24", "32", "--out", scales)
    sides = [probabilities(checkpoint, [square(p, s) for p in pictures[1]]) for s in (24, 32)]
    with np.load(scales) as file:
        np.testing.assert_allclose(file["probabilities"], np.mean(sides, 0), rtol=1e-3, atol=1e-5)

    status, out, err = command("ensemble", ten, scales)
    assert (status, err) == (0, "")
    assert row(out) == ["ensemble", *by_hand((crops + np.mean(sides, 0)) / 2, pictures[2])]
    assert run(command, checkpoint, pictures, "--out", ten)[0] == 2  # nothing is overwritten


def test_bad_arguments_get_one_line(checkpoint, command, pictures, tmp_path):
    status, _, err = run(command, checkpoint, pictures, "--views", "ten", "--scales", "24")
    assert (status, err.count("\n")) == (2, 1)
    assert "views 'ten' and scales (24.0,): take one of the two" in err
    for words, message in (
        (("--views", "mirrored"), "views='mirrored': expected one or ten, the net is a classifier"),
        (("--scales", "24.5"), "scales=24.5: expected whole numbers of pixels for a classifier"),
    ):
        status, _, err = run(command, checkpoint, pictures, *words)
        assert (status, err.count("\n")) == (2, 1)
        assert message in err
    other = tmp_path / "set.npz"
    arrays = {f"{s}_images": np.zeros((3, 8, 8), np.uint8) for s in ("train", "test")}
    np.savez(other, **arrays, train_labels=np.arange(3), test_labels=np.arange(3))
    status, _, err = run(command, checkpoint, (other,))
    assert (status, "has 3 classes, the net 7" in err) == (2, True)
    status, _, err = command("ensemble", other)
    assert (status, "give two files" in err) == (2, True)
    status, _, err = command("ensemble", other, other)
    assert (status, "is not of evaluate --out" in err) == (2, True)
    for name, label in (("a.npz", [0, 1]), ("b.npz", [1, 1])):
        np.savez(tmp_path / name, probabilities=np.eye(2), label=np.array(label))
    status, _, err = command("ensemble", tmp_path / "a.npz", tmp_path / "b.npz")
    assert (status, "is of other examples" in err) == (2, True)
