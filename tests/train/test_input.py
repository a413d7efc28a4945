"""A run whose set has broken files, and the share of time a run waits for its input."""

import json
import logging
import time

import pytest

from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.train.log import RunLog
from tests.data.conftest import jpegs
from tests.train.test_loop import assert_bit_equal, records
from tests.train.toy import DATA, train


@pytest.fixture
def data(tmp_path):
    """24 images to train on and 12 to test, one of each broken."""
    jpegs(tmp_path / "set", {str(label): 12 for label in range(2)}, ("train",))
    jpegs(tmp_path / "set", {str(label): 6 for label in range(2)}, ("test",))
    for name in ("train/1/004.jpg", "test/0/002.jpg"):
        (tmp_path / "set" / name).write_bytes(b"no JPEG")
    return ImageData(
        str(tmp_path / "set"), 8, 8, seed=2, threads=2,
        train_transform=RandomResizedCrop(8), eval_transform=ResizeCenterCrop(8, 8),
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_goes_on_says_what_is_broken_and_resumes_bit_equal(data, tmp_path, caplog):
    splits = {"final_splits": ("test",), "save_every": 2, "eval_every": 6, "log_every": 2}
    with caplog.at_level(logging.WARNING, "jresnet"):
        whole = train(tmp_path / "whole", data=data, devices=2, **splits)
    assert whole.metrics["test"]["not_evaluated"] == 1
    assert "test: 1 of 12 examples, broken, were not evaluated" in caplog.messages
    assert sum("train/1/004.jpg" in message for message in caplog.messages) == 1
    # 11 were evaluated: an error is a multiple of 1/11.
    errors = whole.metrics["test"]["error"] * 11
    assert errors == pytest.approx(round(errors), abs=1e-4)
    named = (tmp_path / "whole/broken.txt").read_text().splitlines()
    assert [line.split(": ")[0][-15:] for line in named] == ["train/1/004.jpg", "/test/0/002.jpg"]

    train(tmp_path / "parts", data=data, devices=2, **splits, steps=4)
    parts = train(tmp_path / "parts", data=data, devices=2, **splits)
    assert_bit_equal(parts.state, whole.state)
    assert sorted((tmp_path / "parts/broken.txt").read_text().splitlines()) == sorted(named)
    assert records(tmp_path / "parts")[-1] == records(tmp_path / "whole")[-1]


def test_too_many_broken_files_stop_the_run_and_are_named(data, tmp_path):
    for number in (0, 1):
        (tmp_path / f"set/train/0/00{number}.jpg").write_bytes(b"no JPEG")
    with pytest.raises(UsageError, match="2 of 24 files are broken so far; expected at most 1"):
        train(tmp_path / "run", data=data)
    assert len((tmp_path / "run/broken.txt").read_text().splitlines()) == 2


def test_a_set_without_broken_files_leaves_no_list(tmp_path):
    fitted = train(tmp_path, steps=2)
    assert "not_evaluated" not in fitted.metrics["test"]
    assert not (tmp_path / "broken.txt").exists()


def test_the_share_of_time_spent_waiting_for_input_is_recorded(tmp_path, monkeypatch):
    batches = type(DATA).train

    def delayed(self, start=0, host=(0, 1)):
        for batch in batches(self, start, host):
            time.sleep(0.3)
            yield batch

    monkeypatch.setattr(type(DATA), "train", delayed)
    train(tmp_path, steps=6, log_every=2, eval_every=None, save_every=None)
    timing = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    shares = [record["waiting"] for record in timing if "waiting" in record][1:]
    assert len(shares) == 2
    assert min(shares) > 0.3  # 0.3 s a batch against steps of some milliseconds


@pytest.mark.parametrize(("ready", "low", "high"), [(True, 0.05, 60.0), (False, 0.0, 0.0)])
def test_a_wait_counts_only_if_the_device_ran_dry_meanwhile(tmp_path, ready, low, high):
    class Sum:
        def is_ready(self):
            return ready

    def slow():
        time.sleep(0.05)
        yield "batch"

    log = RunLog(tmp_path, "toy", 1, 1, None)
    assert log.take(slow(), {"loss": (Sum(), 1)}) == "batch"
    log.close()
    assert low <= log.waited <= high
