"""Pictures, traces and memory of a training, to be watched."""

import gzip
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jresnet.data.augment.mix import Mixup
from jresnet.data.normalisation import Normalize
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.models import zoo
from jresnet.tasks.classify import Classify
from jresnet.train.pictures import input_pictures
from tests.train.toy import DATA, PLAN, classify, train


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """A folder of a training with a trace."""
    folder = tmp_path_factory.mktemp("observed")
    train(folder, profile=True, log_every=1)
    return folder


def test_tensorboard_reads_back_what_the_net_was_augmented(observed):
    import io

    from PIL import Image

    events = EventAccumulator(str(observed), size_guidance={"images": 0}).Reload()
    (event,) = events.Images("train/images")
    assert event.step == 0
    grid = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    # Once more by hand: the flips of the first step.
    batch = next(DATA.train(0, (0, 1)))
    key = jax.random.fold_in(jax.random.split(jax.random.key(PLAN.seed))[1], 0)
    _, _, _, after = jax.random.split(key, 4)
    flip = jax.random.split(after, 1)[0]
    flipped = jax.random.bernoulli(flip, shape=(16, 1, 1, 1))
    images = np.where(flipped, batch["image"][:, :, ::-1], batch["image"])
    assert 0 < flipped.sum() < 16
    tiles = {image.tobytes() for image in images}
    height, width = (side // 8 for side in grid.shape[:2])
    seen = [
        grid[8 * y : 8 * y + 8, 8 * x : 8 * x + 8].tobytes()
        for y in range(height)
        for x in range(width)
    ]
    assert tiles <= set(seen)


def test_scalars_and_memory_are_in_the_events_and_the_timing(observed):
    events = EventAccumulator(str(observed)).Reload()
    written = [json.loads(line) for line in (observed / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in written if record["split"] == "train"]
    assert len(losses) == PLAN.steps + 1  # and the evaluation at the end
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses)
    peaks = [event.value for event in events.Scalars("time/process_peak_gib")]
    assert len(peaks) == PLAN.steps
    assert peaks == sorted(peaks)
    assert 0.1 < peaks[0] < 16


def test_the_trace_holds_the_steps(observed):
    (path,) = (observed / "profile" / "process-0").rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    steps = {e["args"]["step_num"] for e in events if e.get("name") == "train" and "args" in e}
    # Three of the six are for warming up, which leaves less than five: the last five are traced.
    assert steps == {"1", "2", "3", "4", "5"}
    assert list((observed / "profile" / "process-0").rglob("*.xplane.pb"))


def test_pictures_of_a_task_are_what_its_net_gets():
    """Against a net that returns its input."""
    inputs = []

    class Spy(Classify):
        def _augmented(self, keys, images):
            images, mixed = super()._augmented(keys, images)
            inputs.append(images)
            return images, mixed

    normalize = Normalize((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    task = Spy(zoo.cifar_resnet(8), normalize, mix=Mixup(1.0))
    batch = next(DATA.train(0, (0, 1)))
    key = jax.random.key(3)
    shown = np.asarray(task.pictures(batch, key))
    mean, std = np.asarray(normalize.mean), np.asarray(normalize.std)
    np.testing.assert_allclose(shown, np.asarray(inputs[0]) * std + mean, atol=1e-6)
    mixed = Mixup(1.0)(jax.random.split(key, 4)[1], batch["image"].astype(np.float32) / 255)
    np.testing.assert_allclose(shown, mixed.images, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"), [((6, 5, 3), (6, 5, 3)), ((6, 5, 2), (6, 5, 1)), ((4, 6, 5, 1), (6, 5, 1))]
)  # fmt: skip
def test_films_and_odd_channels_are_shown_as_far_as_they_can(shape, expected):
    channels = shape[-1]
    task = Classify(zoo.cifar_resnet(8), Normalize((0.5,) * channels, (0.25,) * channels))
    image = np.random.default_rng(0).integers(0, 256, (20, *shape), np.uint8)
    shown = input_pictures(task, {"image": image, "label": np.zeros(20, int)}, jax.random.key(0))
    first = image[:16, 0] if len(shape) == 4 else image[:16]
    assert shown.shape == (16, *expected)
    np.testing.assert_array_equal(shown, first[..., : expected[-1]])


def test_a_task_that_shows_nothing_trains_all_the_same(tmp_path):
    class Silent:
        """The toy without `pictures`."""

        def __init__(self):
            self.init, self.loss = classify().init, classify().loss
            self.evaluate = classify().evaluate

    data = ImageData(Synthetic((8, 8, 3), 10, train_size=16, test_size=16), 16, eval_batch_size=16)
    train(tmp_path, data=data, task=Silent(), steps=1, final_splits=("test",))
    assert "images" in (tags := EventAccumulator(str(tmp_path)).Reload().Tags())
    assert tags["images"] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_events_that_find_the_disk_full_end_the_training(tmp_path, monkeypatch):
    """A thread of tensorboardX's once met that, and the run waited for it for ever."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: full)
        with pytest.raises(OSError, match="No space left on device"):
            train(tmp_path)
    monkeypatch.undo()
    train(tmp_path)
