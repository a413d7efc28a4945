import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.buckets import Buckets
from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.info import Example
from jresnet.data.load import Batch, Load
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.data.transform import Labelled
from jresnet.errors import UsageError

from .conftest import encode

SET = Synthetic((6, 7, 3), num_classes=5, train_size=37, test_size=21)
IN_MEMORY = ImageData(SET, batch_size=8, eval_batch_size=8, seed=3)
STREAMED = dataclasses.replace(
    IN_MEMORY,
    train_transform=RandomResizedCrop(5),
    eval_transform=ResizeCenterCrop(6, 5),
    threads=2,
)
both = pytest.mark.parametrize("data", [IN_MEMORY, STREAMED], ids=["in memory", "streamed"])


def take(
    data: ImageData, count: int, start: int = 0, host: tuple[int, int] = (0, 1)
) -> list[Batch]:
    iterator = data.train(start, host)
    batches = list(itertools.islice(iterator, count))
    iterator.close()
    return batches


def assert_equal(actual: list[Batch], expected: list[Batch]) -> None:
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key])


def join(hosts: list[list[Batch]]) -> list[Batch]:
    return [
        {key: np.concatenate([b[key] for b in parts]) for key in parts[0]}
        for parts in zip(*hosts, strict=True)
    ]


@both
def test_starting_at_a_step_is_the_same_as_having_got_there(data: ImageData) -> None:
    batches = take(data, 16)  # three epochs of 37 and a bit
    for start in (1, 4, 5, 13):  # 4 and 13 straddle the end of an epoch
        assert_equal(take(data, 3, start), batches[start : start + 3])
    assert batches[0]["image"].dtype == np.uint8
    assert batches[0]["label"].dtype == np.int32
    assert {key: (v.shape, v.dtype) for key, v in batches[0].items()} == {
        key: (v.shape, v.dtype) for key, v in data.example_batch.items()
    }


@both
def test_global_batch_does_not_depend_on_the_number_of_hosts(data: ImageData) -> None:
    expected, expected_test = take(data, 7, start=2), list(data.examples("test"))
    for count in (2, 4):
        assert_equal(join([take(data, 7, 2, (host, count)) for host in range(count)]), expected)
        assert_equal(
            join([list(data.examples("test", (host, count))) for host in range(count)]),
            expected_test,
        )


def test_an_epoch_is_a_permutation_and_the_next_another() -> None:
    data = dataclasses.replace(IN_MEMORY, batch_size=1)
    images = [batch["image"].tobytes() for batch in take(data, 3 * 37)]
    epochs = [images[:37], images[37:74], images[74:]]
    assert all(len(set(epoch)) == 37 for epoch in epochs)
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2])
    assert epochs[0] != epochs[1] != epochs[2]
    other_seed = take(dataclasses.replace(data, seed=4), 37)
    assert [batch["image"].tobytes() for batch in other_seed] != epochs[0]


@both
def test_the_order_is_that_of_earlier_versions(data: ImageData) -> None:
    # A run that is resumed after an upgrade goes on with the same examples.
    labels = [batch["label"].tolist() for batch in take(data, 2, start=4)]
    assert labels == [[4, 2, 2, 3, 3, 1, 4, 0], [2, 1, 0, 3, 4, 2, 2, 1]]


def test_images_keep_their_labels() -> None:
    source = SET.open("train")
    labels = {np.asarray(source[i]["image"]).tobytes(): source[i]["label"] for i in range(37)}
    for batch in take(IN_MEMORY, 5):
        assert [labels[image.tobytes()] for image in batch["image"]] == batch["label"].tolist()


def test_a_repeated_image_is_cropped_anew() -> None:
    data = dataclasses.replace(
        STREAMED, dataset=dataclasses.replace(SET, train_size=1), batch_size=1
    )
    assert len({batch["image"].tobytes() for batch in take(data, 6)}) > 3


@both
@pytest.mark.parametrize(
    ("size", "eval_batch_size", "hosts"),
    [(21, 8, 1), (21, 8, 4), (16, 8, 2), (3, 8, 4), (1, 2, 2)],
)
def test_evaluation_counts_every_example_once(
    data: ImageData, size: int, eval_batch_size: int, hosts: int
) -> None:
    dataset = dataclasses.replace(SET, test_size=size)
    data = dataclasses.replace(data, dataset=dataset, eval_batch_size=eval_batch_size)
    parts = [list(data.examples("test", (host, hosts))) for host in range(hosts)]
    assert {len(part) for part in parts} == {-(-size // eval_batch_size)}
    assert {len(batch["label"]) for part in parts for batch in part} == {eval_batch_size // hosts}
    mask, labels, images = (
        np.concatenate([b[key] for b in join(parts)]) for key in ("valid", "label", "image")
    )
    assert mask.tolist() == [1.0] * size + [0.0] * (len(mask) - size)
    source = dataset.open("test")
    assert labels[:size].tolist() == [source[index]["label"] for index in range(size)]
    assert data.size("test") == size
    np.testing.assert_array_equal(
        images[size:], np.repeat(images[size - 1 : size], len(mask) - size, axis=0)
    )


@pytest.mark.slow
def test_workers_do_not_hear_ctrl_c(tmp_path: Path) -> None:
    """A terminal sends it to them too, and the run is to save."""
    write_folder(tmp_path, {"ant": 9, "bee": 4})
    data = dataclasses.replace(STREAMED, dataset=str(tmp_path), batch_size=4, workers=1)
    with contextlib.closing(data.train()) as batches:
        next(batches)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGINT)
        for _ in range(20):
            next(batches)
        assert worker.is_alive()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 9, "bee": 4})
    data = dataclasses.replace(STREAMED, dataset=str(tmp_path), batch_size=4)
    with_workers = dataclasses.replace(data, workers=2)
    assert_equal(take(with_workers, 7, start=2, host=(1, 2)), take(data, 7, start=2, host=(1, 2)))
    (tmp_path / "train/bee/0.png").write_bytes(b"broken")
    data, with_workers = dataclasses.replace(data), dataclasses.replace(with_workers)
    assert_equal(take(with_workers, 8), take(data, 8))
    (fault,) = with_workers.broken()
    assert fault.endswith(
        "train/bee/0.png: not a readable image (damaged, or none of the formats JPEG, PNG, WEBP, BMP, TIFF, GIF, PPM)"
    )
    (tmp_path / "train/ant/0.png").write_bytes(b"broken")
    with pytest.raises(UsageError, match=r"2 of 13 files are broken so far; expected at most 1"):
        take(with_workers, 8)


def write_folder(root: Path, sizes: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    for split, (name, size) in itertools.product(("train", "test"), sizes.items()):
        (root / split / name).mkdir(parents=True)
        for index in range(size):
            pixels = rng.integers(0, 256, (6, 9, 3), np.uint8)
            (root / split / name / f"{index}.png").write_bytes(encode(pixels))


def test_digits_and_their_statistics(data_dir: Path) -> None:
    data = ImageData("digits", batch_size=500, data_dir=data_dir)
    data.check()
    pixels = np.concatenate([batch["image"] for batch in take(data, 3)]) / 255
    mean, std = data.channel_statistics()
    np.testing.assert_allclose((mean[0], std[0]), (pixels.mean(), pixels.std()), rtol=1e-9)
    assert sum(batch["valid"].sum() for batch in data.examples("test")) == 297


def test_label_out_of_range_is_an_error() -> None:
    class Mislabelled:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Example:
            return {"image": np.zeros((6, 7, 3), np.uint8), "label": 5 * (index == 2)}

        def describe(self, index: int) -> str:
            return f"file {index}"

    info, labelled = SET.info(), Labelled()
    load = Load(Mislabelled(), (labelled,), (labelled.spec(info),), info, Buckets.whole(3))
    assert load(1, np.random.default_rng())["label"] == 0
    with pytest.raises(
        UsageError,
        match=r"file 2: label=5: expected 0 to 4, 'synthetic' has 5 classes",
    ):
        load(2, np.random.default_rng())


def test_one_image_of_another_shape_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 200})
    (tmp_path / "train/ant/101.png").write_bytes(encode(np.zeros((6, 8, 3), np.uint8)))
    data = ImageData(str(tmp_path), batch_size=4)
    if data.info().fixed_shape is None:
        pytest.fail("the odd image was meant to be one whose header is not sampled")
    with pytest.raises(
        UsageError,
        match=r"train/ant/101\.png: image is \(6, 8, 3\): expected \(6, 9, 3\) as the others",
    ):
        data.check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 38}, "batch_size=38: 'synthetic' has only 37"),
        ({"batch_size": 0}, "batch_size=0: expected at least 1"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"workers": -1}, "workers=-1"),
        ({"train_transform": RandomResizedCrop()}, "both or neither"),
        ({"dataset": "cifar01"}, "did you mean"),
        ({"test_split": "extra"}, "split='extra'"),
    ],
)
def test_check_refuses(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(IN_MEMORY, **changes).check()


def test_check_passes() -> None:
    IN_MEMORY.check()
    STREAMED.check()


def test_images_of_many_sizes_need_transforms(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 2})
    (tmp_path / "train/ant/1.png").write_bytes(encode(np.zeros((5, 8, 3), np.uint8)))
    with pytest.raises(UsageError, match="differ in size; expected train_transform"):
        ImageData(str(tmp_path), batch_size=1).check()
    data = ImageData(
        str(tmp_path),
        batch_size=2,
        eval_batch_size=2,
        train_transform=RandomResizedCrop(6),
        eval_transform=ResizeCenterCrop(8, 6),
    )
    data.check()
    assert next(data.train())["image"].shape == (2, 6, 6, 3)
    assert [batch["image"].shape for batch in data.examples("test")] == [(2, 6, 6, 3)]


def test_hosts_must_divide_the_batch() -> None:
    with pytest.raises(UsageError, match="batch_size=8: expected a multiple of the 3 hosts"):
        IN_MEMORY.train(host=(0, 3))
    with pytest.raises(UsageError, match=r"host=\(2, 2\)"):
        IN_MEMORY.examples("test", host=(2, 2))


def test_importing_touches_neither_backend_nor_tensorflow() -> None:
    program = (
        "import sys, pkgutil, importlib, jresnet.data\n"
        "for module in pkgutil.iter_modules(jresnet.data.__path__): importlib.import_module('jresnet.data.' + module.name)\n"
        "import jax\n"
        "assert not jax._src.xla_bridge._backends\n"
        "assert not {'tensorflow', 'sklearn'} & sys.modules.keys()\n"
        "assert 'jresnet.data.augment' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_repeats_put_each_example_in_a_row_transformed_anew():
    class Noise:
        image_shape = (4, 4, 3)

        def __call__(self, image, rng):
            return rng.integers(0, 256, (4, 4, 3), np.uint8)

    once = ImageData(Synthetic((4, 4, 3), 10, 20, 8), 4, seed=5)
    thrice = dataclasses.replace(once, repeats=3)
    labels = np.concatenate([b["label"] for b, _ in zip(once.train(), range(5), strict=False)])
    repeated = np.concatenate([b["label"] for b, _ in zip(thrice.train(), range(15), strict=False)])
    assert np.array_equal(repeated, np.repeat(labels, 3))
    noisy = dataclasses.replace(thrice, train_transform=Noise(), eval_transform=Noise())
    images = next(noisy.train())["image"]
    assert len({image.tobytes() for image in images}) == 4
    resumed = next(thrice.train(7))["label"]
    assert np.array_equal(resumed, repeated[28:32])
