"""Digits that move: what a clip shows, and what a single frame cannot tell."""

import itertools

import numpy as np
import pytest

from jresnet.data.sources.moving_digits import (
    CLASSES,
    DIRECTIONS,
    FRAMES,
    SIDE,
    MovingDigits,
    moving,
    write_films,
)
from jresnet.errors import UsageError


def test_each_frame_is_the_one_before_it_moved_on():
    digit = np.random.default_rng(0).integers(1, 255, (8, 8, 1)).astype(np.uint8)
    for number, step in enumerate(DIRECTIONS.values()):
        clip = moving(digit, number, (11, 3))
        assert clip.shape == (FRAMES, SIDE, SIDE, 1)
        for before, after in itertools.pairwise(clip):
            np.testing.assert_array_equal(np.roll(before, step, (0, 1)), after)
        assert sorted(clip[0].ravel()) == sorted([*digit.ravel(), *[0] * (SIDE**2 - 64)])


def test_over_all_places_single_frames_of_all_directions_are_the_same():
    digit = np.random.default_rng(0).integers(1, 255, (8, 8, 1)).astype(np.uint8)
    starts = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    for frame in (0, 5):
        frames = [
            {moving(digit, number, start)[frame].tobytes() for start in starts}
            for number in range(len(DIRECTIONS))
        ]
        assert all(one == frames[0] for one in frames)
        assert len(frames[0]) == SIDE**2


def test_examples_labels_and_the_controls():
    source = MovingDigits().open("test")
    info = MovingDigits().info()
    assert len(source) == info.sizes["test"]
    assert len(CLASSES) == info.num_classes == 80
    labels = np.array([source[index]["label"] for index in range(64)])
    assert (labels % 8 == np.arange(64) % 8).all()
    assert (labels[::8] == labels[7::8] - 7).all()
    ordered = source[13]["image"]
    np.testing.assert_array_equal(ordered, MovingDigits().open("test")[13]["image"])
    shuffled = MovingDigits("shuffled").open("test")[13]["image"]
    assert sorted(f.tobytes() for f in shuffled) == sorted(f.tobytes() for f in ordered)
    assert (shuffled != ordered).any()
    one = MovingDigits("one").open("test")[13]["image"]
    assert (one == ordered[:1]).all()
    with pytest.raises(UsageError, match="frames='back'"):
        MovingDigits("back").info()


def test_videos_that_are_written_are_read_as_they_were(tmp_path):
    pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
    from jresnet.data.clips import Clip
    from jresnet.data.sources.clips import Films

    write_films(tmp_path, {"train": 6})
    films = Films(tmp_path)
    assert films.info().sizes == {"train": 6}
    example = films.open("train")[0]
    clip = Clip(FRAMES, 1, (SIDE, SIDE), SIDE)(example, np.random.default_rng(0))["image"]
    number = int(example["path"].rsplit("/", 1)[1].removesuffix(".mp4"))
    written = MovingDigits().open("train")[number]["image"]
    assert np.abs(clip[..., :1].astype(int) - written).mean() < 12
