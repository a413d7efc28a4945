"""The photographs, the rates, and the peers of the input pipeline."""

import itertools
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from jresnet.benchmark.decoding import PillowCrop, alone, on_all_cores
from jresnet.benchmark.input import ALL_CORES, ALONE, Measured, table
from jresnet.benchmark.photos import make_photos
from jresnet.benchmark.rates import Loader, images_per_second, in_turns
from jresnet.data import images
from jresnet.data.cores import cores, decoding_threads
from jresnet.data.crops import RandomResizedCrop
from jresnet.data.sources.resolve import open_split
from tests.data.conftest import encode, photograph


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_the_photographs_are_jpegs_of_the_promised_size_all_different_and_reproducible(tmp_path):
    mean = make_photos(tmp_path / "a", 6)
    make_photos(tmp_path / "b", 6)
    files, again = (sorted((tmp_path / x).rglob("*.jpg")) for x in "ab")
    assert len(files) == 6 + 2
    for file in files:
        with Image.open(file) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (500, 375), "RGB")
    contents = [file.read_bytes() for file in files]
    assert len(set(contents)) == 8
    assert [file.read_bytes() for file in again] == contents
    assert mean == np.mean([len(data) for data in contents])
    source = open_split(str(tmp_path / "a"), "train", encoded=True)
    assert [source[i]["label"] for i in range(6)] == [0, 0, 0, 1, 1, 1]


def test_the_rate_counts_what_steps_return_until_the_time_is_over():
    clock = Clock()

    def step():
        clock.now += 0.4
        return 8

    assert images_per_second(step, 1.0, clock) == pytest.approx(3 * 8 / 1.2)
    assert images_per_second(step, 0.0, clock) == pytest.approx(8 / 0.4)


def test_batches_that_lay_ready_do_not_count_and_are_made_again_before_the_next_turn():
    clock, ready = Clock(), [3]

    def take():
        if ready[0]:
            ready[0] -= 1  # at once
        else:
            clock.now += 0.5

    loader = Loader(take, 10, 3, clock, clock.sleep)
    assert loader(2.0) == pytest.approx(10 / 0.5)
    assert clock.now == pytest.approx(4 * 0.5 + 3 * 0.5)


def test_medians_of_turns_the_first_of_which_does_not_count():
    order = []

    def contestant(name, rates):
        def rate(seconds):
            order.append((name, seconds))
            return rates.pop(0)

        return rate

    actual = in_turns(
        {"a": contestant("a", [99, 1, 5, 2]), "b": contestant("b", [0, 7, 9, 8])}, 3, 1
    )
    assert actual == {"a": [1, 5, 2], "b": [7, 9, 8]}
    assert order == [("a", 0.2), ("b", 0.2)] + 3 * [("a", 1), ("b", 1)]


def test_rows_with_and_without_a_peer():
    actual = {
        ALONE: Measured(500.0, 1),
        ALL_CORES: Measured(800.0, 2),
        "ours": Measured(720.0, 2),
        "peer": Measured(None, 2),
    }
    headers, rows = table(actual)
    assert headers[1:] == ["images/s", "per core", "of cores x alone", "of all cores at once"]
    assert rows == [
        [ALONE, "500", "500", "100%", "125%"],
        [ALL_CORES, "800", "400", "80%", "100%"],
        ["ours", "720", "360", "72%", "90%"],
        ["peer", None, None, None, None],
    ]


def test_pillow_makes_the_same_crop():
    data, crop = encode(photograph(90, 120), "JPEG"), RandomResizedCrop(32)
    theirs = PillowCrop(crop)(data, np.random.default_rng(3))
    np.testing.assert_array_equal(theirs, crop(data, np.random.default_rng(3)))


def test_one_thread_transforms_the_files_in_turn():
    seen = []
    alone([b"a", b"b"], lambda data, rng: seen.append(data) or np.zeros(1))(0.001)
    assert seen == list(itertools.islice(itertools.cycle([b"a", b"b"]), len(seen)))


@pytest.mark.slow
def test_a_process_for_each_core():
    files, crop = [encode(photograph(90, 120), "JPEG")], RandomResizedCrop(32)
    with on_all_cores(files, crop, 2) as both:
        assert both(0.2) > 0.2 * alone(files, crop)(0.2)


@pytest.mark.slow
def test_torch_s_loader_gives_batches(tmp_path):
    pytest.importorskip("torch", reason="measures torch's DataLoader")
    from jresnet.benchmark.torch_input import loader

    make_photos(tmp_path, 8)
    source = open_split(str(tmp_path), "train", encoded=True)
    with loader(source, PillowCrop(RandomResizedCrop(32)), 4, 1) as batches:
        assert 1 < batches(0.1) < 1e6
        pixels, labels = cast(Any, batches.take())
    assert (tuple(pixels.shape), str(pixels.dtype)) == ((4, 32, 32, 3), "torch.uint8")
    assert set(labels.tolist()) <= {0, 1}


@pytest.mark.parametrize("channels", [1, 3])
def test_headers_are_the_same_with_and_without_simplejpeg(channels, monkeypatch):
    pytest.importorskip("simplejpeg")
    pixels = photograph(31, 47)
    data = encode(pixels[..., 0] if channels == 1 else pixels, "JPEG")
    assert images.header(data) == (31, 47, channels)
    monkeypatch.setattr(images, "simplejpeg", None)
    assert images.header(data) == (31, 47, channels)


def test_threads_are_one_more_than_a_process_has_cores(monkeypatch):
    assert cores() >= 1
    for count, workers, threads in ((2, 0, 3), (2, 2, 2), (16, 8, 3), (16, 16, 2), (64, 0, 8)):
        monkeypatch.setattr("jresnet.data.cores.cores", lambda count=count: count)
        assert decoding_threads(workers) == threads
