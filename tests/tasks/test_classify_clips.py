"""Accuracy of clips and of videos, named apart."""

import numpy as np
import pytest

from jresnet.tasks.classify_clips import VideoCollector, strip


def rows(probabilities, labels, videos):
    return {
        "probability": np.asarray(probabilities, np.float32),
        "label": np.asarray(labels),
        "video": np.asarray(videos),
    }


def test_a_video_is_right_by_the_mean_of_its_clips():
    """Two of three clips of video 0 are wrong by little, one right by much: the video is right."""
    collector = VideoCollector()
    collector.add(rows([[0.4, 0.6], [0.45, 0.55]], [0, 0], [0, 0]))
    collector.add(rows([[0.9, 0.1], [0.2, 0.8]], [0, 0], [0, 1]))
    assert collector.result() == {"clip_accuracy": 0.25, "video_accuracy": 0.5, "views": 2}


def test_with_one_clip_a_video_both_are_the_same():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(5), 40), rng.integers(0, 5, 40)
    collector = VideoCollector()
    collector.add(rows(probabilities, labels, np.arange(40)))
    result = collector.result()
    right = float((probabilities.argmax(1) == labels).mean())
    assert result["clip_accuracy"] == result["video_accuracy"] == pytest.approx(right)


def test_the_order_of_clips_changes_nothing():
    rng = np.random.default_rng(1)
    videos = np.repeat(np.arange(10), 10)
    probabilities, labels = rng.dirichlet(np.ones(4), 100), rng.integers(0, 4, 10)[videos]
    results = []
    for order in (np.arange(100), rng.permutation(100)):
        collector = VideoCollector()
        collector.add(rows(probabilities[order], labels[order], videos[order]))
        results.append(collector.result())
    assert results[0] == results[1]
    assert results[0]["views"] == 10


def test_parts_of_a_class_are_right_or_wrong_by_themselves():
    """Four classes, 2 x shape + colour: the video's class has the right shape, one clip neither."""
    parts = (("shape", (0, 0, 1, 1)), ("colour", (0, 1, 0, 1)))
    collector = VideoCollector(parts)
    collector.add(rows([[0.1, 0.6, 0.1, 0.2], [0.1, 0.2, 0.1, 0.6]], [0, 0], [0, 0]))
    collector.add(rows([[0.1, 0.1, 0.7, 0.1]], [2], [1]))
    result = collector.result()
    assert result["clip_accuracy"] == pytest.approx(1 / 3)
    assert result["clip_accuracy/shape"] == pytest.approx(2 / 3)
    assert result["clip_accuracy/colour"] == pytest.approx(1 / 3)
    assert result["video_accuracy"] == 0.5
    # 0.4 for class 1 and 0.4 for class 3: the first of equal ones.
    assert (result["video_accuracy/shape"], result["video_accuracy/colour"]) == (1.0, 0.5)
    empty = VideoCollector(parts).result()
    assert empty.keys() == result.keys()


def test_no_clip_and_two_labels():
    assert all(np.isnan(value) for value in VideoCollector().result().values())
    with pytest.raises(ValueError, match="clips of video 3 have labels 0, 1"):
        VideoCollector().add(rows([[1, 0], [1, 0]], [0, 1], [3, 3]))


def test_a_strip_is_frames_side_by_side():
    clip = np.arange(16, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 3), np.uint8)
    drawn = strip(clip)
    assert drawn.shape == (4, 8 * 5 + 7, 3)
    assert drawn[0, ::6, 0].tolist() == [0, 2, 4, 6, 9, 11, 13, 15]
    assert strip(clip[:1, ..., :1]).shape == (4, 5, 1)
