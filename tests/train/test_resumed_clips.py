"""Trainings on clips: killed and resumed to the same bits, one device as eight, views named apart."""

import dataclasses
import json

import numpy as np
import optax
import pytest
from PIL import Image

from jresnet.data.clips import Clip
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.clips import Films
from jresnet.recipes.video import GREY
from jresnet.runtime.mesh import make_mesh
from jresnet.studies.video.measure import with_views
from jresnet.studies.video.nets import small
from jresnet.tasks.classify_clips import ClassifyClips
from jresnet.train.loop import Plan, fit
from tests.train.test_loop import Killed, assert_bit_equal

PLAN = Plan(6, seed=1, eval_every=3, save_every=2, log_every=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight videos a class to train on and two to test, of twelve frames with noise."""
    place = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 2)):
        for label, shade in (("a", 40), ("b", 140)):
            for number in range(count):
                video = place / split / label / str(number)
                video.mkdir(parents=True)
                for frame in range(12):
                    pixels = rng.integers(shade, shade + 80, (12, 20, 3)).astype(np.uint8)
                    Image.fromarray(pixels).save(video / f"{frame:02}.png")
    return place


@dataclasses.dataclass(frozen=True)
class Dying(ImageData):
    """Data of a process that dies when the fifth batch is wanted."""

    def train(self, start=0, host=(0, 1)):
        for number, batch in enumerate(super().train(start, host), start):
            if number == 4:
                raise Killed
            yield batch


def data(folder, kind=ImageData, views=3):
    learnt, tested = (Clip(4, 2, (8, 8), 12, random=random) for random in (True, False))
    films = Films(folder, views=views)
    transforms = {"train_transform": learnt, "eval_transform": tested}
    return kind(films, 8, 8, threads=1, fill=True, **transforms)


def train(place, videos, devices=1):
    branch = small(2).backbone.branch[1:]
    fields = {"depths": (1, 1), "widths": (4, 8), "strides": (1, 2), "branch": branch}
    net = small(2, **fields)
    task = ClassifyClips(net, GREY)
    return fit(task, optax.adam(1e-3), videos, PLAN, place, "clips", make_mesh(devices))


def lines(place):
    return [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_killed_and_resumed_and_one_device_as_eight(folder, tmp_path):
    whole = train(tmp_path / "whole", data(folder))
    assert whole.metrics["test"]["views"] == 3
    killed = tmp_path / "killed"
    with pytest.raises(Killed):
        train(killed, data(folder, Dying))
    assert (killed / "checkpoints" / "2").is_dir()
    resumed = train(killed, data(folder))
    assert_bit_equal(resumed.state, whole.state)
    assert resumed.metrics == whole.metrics
    written = [(place / "metrics.jsonl").read_bytes() for place in (killed, tmp_path / "whole")]
    assert written[0] == written[1]

    train(tmp_path / "eight", data(folder), devices=8)
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "eight"), strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"split"}:
            assert one[key] == pytest.approx(other[key], rel=2e-3, abs=2e-4), key


def test_views_are_examples_of_their_own_and_each_once(folder):
    for views, clips in ((1, 4), (10, 40), (30, 120)):
        rows = [*with_views(data(folder, views=1), views).examples("test", (0, 1))]
        valid = np.concatenate([batch["valid"] for batch in rows]) > 0
        videos = np.concatenate([batch["video"] for batch in rows])[valid]
        assert len(videos) == clips
        assert np.bincount(videos).tolist() == [clips // 4] * 4
