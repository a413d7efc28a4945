"""The protocol of MedMNIST: nets, schedule, weights, the epoch that counts, and published numbers."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from experiments.medmnist import medmnist
from jresnet.errors import UsageError
from jresnet.models.published import abstract_variables
from jresnet.recipes.medmnist import PUBLISHED, Enlarged, published
from jresnet.studies.medmnist.report import PROTOCOL, best_epoch
from jresnet.tasks.diagnose import Diagnose, DiagnoseMany
from jresnet.tasks.losses import WeightedCrossEntropy
from jresnet.tasks.ordered import Grade
from jresnet.train.optim import rate_of
from tests.data.sources.test_medmnist import write
from tests.test_experiments import defaults

ROOT = Path(__file__).parents[2]


def study(path, **changes):
    return medmnist(**{**defaults(medmnist), "dataset": path, **changes})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Three classes in colour, the second twice as common, under a name of no set."""
    labels = np.array([0, 1, 1, 2] * 3)[:, None]
    path = tmp_path_factory.mktemp("medmnist") / "some.npz"
    return write(path, (8, 8, 3), classes=3, train_labels=labels).path


@pytest.mark.parametrize(("net", "count"), [("resnet18", 11_173_962), ("resnet50", 23_520_842)])
def test_nets_for_small_pictures_are_as_large_as_published(tmp_path, net, count):
    """The counts of the CIFAR ResNets that MedMNIST took over, with ten classes."""
    path = write(tmp_path / "ten.npz", (28, 28, 3), classes=10, sizes=(20, 10, 10)).path
    model = study(path, net=net, plain=False).runs[f"{net}-seed0"].task.model
    params = abstract_variables(model, (28, 28, 3))["params"]
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == count
    large = study(path, net=net, size="224", plain=False).runs[f"{net}-seed0"].task
    assert large.model.backbone.stem(parent=None).pool is not None
    assert large.normalize == Enlarged(large.normalize.normalize, 224)


def test_the_schedule_the_splits_and_the_twin(file):
    built = study(file, epochs=8, batch_size=4)
    assert list(built.runs) == ["resnet18-seed0", "plain resnet18-seed0"]
    experiment = built.runs["resnet18-seed0"]
    assert (experiment.plan.steps, experiment.plan.eval_every) == (24, 3)
    assert experiment.plan.eval_splits == experiment.plan.final_splits == ("val", "test")
    rate = rate_of(experiment.optimizer)
    assert rate is not None
    assert [float(rate(step)) for step in (0, 11, 12, 17, 18)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    )
    image = np.array([[[[0, 127, 255]]]], np.uint8)
    np.testing.assert_allclose(experiment.task.normalize(image).ravel(), [-1, -1 / 255, 1], atol=1e-6)  # fmt: skip
    assert experiment.task.criterion is optax.softmax_cross_entropy
    assert isinstance(experiment.task, Diagnose)


def test_kinds_of_tasks_and_weights(file, tmp_path):
    weighted = study(file, weighted=True, plain=False).runs["resnet18-seed0"].task
    assert weighted.criterion == WeightedCrossEntropy((1.333, 0.6667, 1.333))
    graded = study(file, grades=True, plain=False).runs["resnet18-seed0"].task
    assert isinstance(graded, Grade)
    assert graded.model.num_classes == 2
    many = write(tmp_path / "many.npz", many=3).path
    task = study(many, weighted=True, plain=False).runs["resnet18-seed0"].task
    assert isinstance(task, DiagnoseMany)
    weights = getattr(task.criterion, "positive_weights")  # noqa: B009 - of some losses
    assert len(weights) == task.model.num_classes == 3
    with pytest.raises(UsageError, match="grades=True: expected one class an image"):
        study(many, grades=True)
    with pytest.raises(UsageError, match="weighted=True: expected none with grades=True"):
        study(file, grades=True, weighted=True)
    volumes = write(tmp_path / "volumes.npz", (8, 8, 8)).path
    with pytest.raises(UsageError, match="size='224': expected own, these are volumes"):
        study(volumes, size="224")
    with pytest.raises(UsageError, match="dataset missing: expected a file"):
        medmnist(**defaults(medmnist))


def test_volumes_have_batches_of_32_and_shapes_a_factor(tmp_path):
    """MedMNIST's script for volumes: [0, 1], and shapes times U(0, 1), or 0.5 in evaluation."""

    def built(name, **changes):
        path = write(tmp_path / f"{name}.npz", (2, 2, 2), sizes=(140, 6, 6)).path
        return study(path, plain=False, width=4, **changes).runs["resnet18-seed0"]

    volume = np.full((512, 2, 2, 2, 1), 255, np.uint8)
    organ = built("nodulemnist3d")
    assert organ.data.batch_size == 32
    assert organ.task.augment == ()
    np.testing.assert_array_equal(organ.task.normalize(volume), np.ones(volume.shape))
    shapes = built("vesselmnist3d_64", batch_size=16)
    assert shapes.data.batch_size == 16
    evaluated = shapes.task.normalize(volume)
    np.testing.assert_array_equal(evaluated, np.full(volume.shape, 0.5))
    (factor,) = shapes.task.augment
    trained = np.asarray(factor(jax.random.key(0), evaluated)).reshape(512, -1)
    assert (trained == trained[:, :1]).all()
    assert 0 <= trained.min() < 0.1
    assert 0.9 < trained.max() <= 1
    assert 0.4 < trained[:, 0].mean() < 0.6
    flat = study(write(tmp_path / "flat.npz", (8, 8), sizes=(140, 6, 6)).path, plain=False)
    assert flat.runs["resnet18-seed0"].data.batch_size == 128


def test_pixels_are_repeated_on_the_device():
    enlarged = Enlarged(lambda x: x.astype(np.float32), 4)
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    assert np.array_equal(enlarged(image)[0, ..., 0], image[0, ..., 0].repeat(2, 0).repeat(2, 1))


def test_the_first_of_the_best_epochs_on_val_counts():
    aucs = {3: 0.7, 6: 0.9, 9: 0.9, 12: float("nan")}
    records = [{"step": step, "split": "val", "auc": value} for step, value in aucs.items()]
    records += [{"step": step, "split": "test", "auc": step / 100} for step in aucs]
    records += [{"step": 6, "split": "train", "loss": 1.0}]
    assert best_epoch(records, "auc") == {"step": 6, "auc": 0.06}


def test_readers_are_told_that_the_chosen_weights_are_gone():
    texts = [PROTOCOL, medmnist.__doc__ or "", (ROOT / "docs/runs.md").read_text()]
    for text in (" ".join(text.split()) for text in texts):
        assert re.search(r"weights( of (that|the) epoch( that counts)?)? are not kept: ", text)


def test_published_numbers_are_those_of_the_docs():
    text = (ROOT / "docs/runs.md").read_text()
    for key, pairs in PUBLISHED.items():
        row = " | ".join(f"{a:.3f} / {b:.3f}".replace("0.", ".") for a, b in pairs)
        assert re.search(rf"^\| {key} \| {re.escape(row)} \|$", text, re.M | re.I), key
    assert published("pneumoniamnist", "resnet50", 224) == (0.962, 0.884)
    assert published("nodulemnist3d", "resnet18", 28) is None
    assert published("bloodmnist", "resnet18", 64) is None


@pytest.mark.parametrize(
    ("sizes", "title"),
    [
        ((972, 161, 610), "organmnist3d"),
        ((971, 161, 610), "organmnist3d (the split of MedMNIST+)"),
        ((22, 11, 11), "organmnist3d (not the official split)"),
    ],
)
def test_the_title_says_which_release_a_split_is_of(tmp_path, sizes, title):
    path = write(tmp_path / "organmnist3d.npz", (2, 2, 2), classes=11, sizes=sizes).path
    conclude: Any = study(path, width=8).conclude
    assert conclude.args[0] == title


@pytest.mark.parametrize("sizes", [(34_581, 6_491, 17_778), (34_561, 6_491, 17_778)])
def test_both_releases_have_the_published_numbers_beside_them(tmp_path, sizes):
    path = write(tmp_path / "organamnist.npz", (1, 28), classes=11, sizes=sizes).path
    conclude: Any = study(path).conclude
    assert conclude.args[1] == {"resnet18": (0.997, 0.935)}
