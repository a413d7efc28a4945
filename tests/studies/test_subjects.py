"""The recipe, and trained nets as studies meet them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.augment.flip_and_crop import RandomFlip
from jresnet.data.normalisation import CIFAR10
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Study, smoke
from jresnet.models import zoo
from jresnet.models.scan import unstack
from jresnet.recipes import he2015
from jresnet.run.training import train
from jresnet.runtime.mesh import make_mesh
from jresnet.studies.subjects import pretrained, trained
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.nets import apply, random_variables

NET = zoo.cifar_resnet(8, 7)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Weights of 7 classes; a set of 2, ordered by class, whose pictures hold their position."""
    folder = tmp_path_factory.mktemp("subjects")
    files.save(to_torch(random_variables(NET, (8, 8, 3)), NET), folder / "net.npz")
    arrays = {}
    for split, size in (("train", 20), ("test", 300)):
        places = np.arange(size).astype(np.uint16).view(np.uint8).reshape(size, 2)
        arrays[f"{split}_images"] = np.tile(places[:, :, None], (1, 4, 8))
        arrays[f"{split}_labels"] = np.arange(size) * 2 // size
    np.savez(folder / "set.npz", **arrays)
    return folder


def test_the_recipe_augments_all_but_the_digits(paths):
    def flips(dataset, augment=None):
        data = ImageData(dataset, 4)
        return any(
            isinstance(op, RandomFlip)
            for op in he2015(NET, data, 8, 0, augment=augment).task.augment
        )

    photos = str(paths / "set.npz")
    assert [flips("digits"), flips("digits", True), flips(photos), flips(photos, False)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.slow
def test_a_finished_run_is_read_in_canonical_form(tmp_path):
    model = zoo.cifar_resnet(14, scan=True)
    runs = smoke(Study({"net": he2015(model, ImageData("digits", 128), 240, 3)}, None)).runs
    result = train(runs["net"], tmp_path / "net", "net", make_mesh(1))
    subject = trained(runs, {"net": result})["net"]
    assert "block2" in subject.variables["params"]["backbone"]["stage1"]
    actual = subject.examples("test")
    task = runs["net"].task
    logits = apply(
        subject.model, subject.variables, subject.normalize(actual["image"]), train=False
    )
    wrong = (np.asarray(logits).argmax(-1) != actual["label"]).mean()
    assert wrong == pytest.approx(result.metrics["test"]["error"])
    np.testing.assert_array_equal(
        subject.normalize(actual["image"]), task.normalize(actual["image"])
    )


def test_weights_on_another_set(paths):
    subject = pretrained(
        paths / "net.npz", "cifar_resnet", {"depth": 8}, str(paths / "set.npz"), "cifar10"
    )
    expected = unstack(random_variables(NET, (8, 8, 3)))
    jax.tree.map(np.testing.assert_array_equal, dict(subject.variables), expected)
    assert (subject.label, subject.model) == ("net", NET)
    grey = jnp.full((1, 8, 8, 1), 255, jnp.uint8)
    np.testing.assert_allclose(
        subject.normalize(grey)[0, 0, 0], (1 - np.array(CIFAR10.mean)) / np.array(CIFAR10.std), 1e-5
    )


def test_drawn_examples_are_some_of_the_split_in_order(paths):
    subject = pretrained(paths / "net.npz", "cifar_resnet", {"depth": 8}, str(paths / "set.npz"))
    whole = subject.examples("test")
    places = np.ascontiguousarray(whole["image"][:, :2, 0, 0]).view(np.uint16)[:, 0]
    np.testing.assert_array_equal(places, np.arange(300))
    few = subject.examples("test", 40)
    drawn = np.ascontiguousarray(few["image"][:, :2, 0, 0]).view(np.uint16)[:, 0]
    assert len(set(drawn)) == 40
    assert (np.diff(drawn.astype(int)) > 0).all()
    np.testing.assert_array_equal(few["label"], whole["label"][drawn])
    assert 5 < few["label"].sum() < 35
    assert not np.array_equal(subject.examples("test", 40, seed=1)["image"], few["image"])
    assert len(subject.examples("test", 9999)["label"]) == 300


def test_batches_hold_the_examples_once(paths):
    subject = pretrained(paths / "net.npz", "cifar_resnet", {"depth": 8}, str(paths / "set.npz"))
    batches = subject.batches("test", 40, batch_size=16)
    assert [batch["valid"].sum() for batch in batches] == [16, 16, 8]
    images = np.concatenate([batch["image"] for batch in batches])[:40]
    expected = subject.normalize(subject.examples("test", 40)["image"])
    np.testing.assert_allclose(images, expected, rtol=1e-6)
    assert len(subject.batches("test", 5)[0]["label"]) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "digits"}, "dataset 'digits': 10 classes, the head of"),
        ({"net": "resnet"}, "net 'resnet': take one of"),
        ({"arguments": {"depth": 14}}, "missing: layer1.1.bn1"),
    ],
)
def test_what_does_not_fit_is_named(paths, changes, words):
    arguments = {
        "net": "cifar_resnet",
        "arguments": {"depth": 8},
        "dataset": str(paths / "set.npz"),
    }
    with pytest.raises(UsageError) as error:
        pretrained(paths / "net.npz", **{**arguments, **changes})
    assert words in str(error.value)


def test_no_examples_are_refused(paths):
    subject = pretrained(paths / "net.npz", "cifar_resnet", {"depth": 8}, str(paths / "set.npz"))
    with pytest.raises(UsageError, match="examples 0: take 1 to 300"):
        subject.examples("test", 0)
