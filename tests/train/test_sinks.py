"""Sinks beside metrics.jsonl: what they get, and that a resumed training goes on in the same run."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.run import sinks as named
from jresnet.storage import read_json
from jresnet.train import sinks as services
from jresnet.train.board import Board
from jresnet.train.log import NonFiniteLossError, RunLog
from jresnet.train.loop import Interrupted
from jresnet.train.sinks import PAUSE, MlflowSink, Service, WandbSink


class Kept:
    """A sink that keeps all that it gets."""

    def __init__(self, folder, purge):
        self.opened, self.got = (folder, purge), []

    def scalars(self, values, step):
        self.got.append((step, dict(values)))

    def images(self, name, images, step):
        self.got.append((step, name, images.shape))

    def flush(self):
        self.got.append("flushed")

    def close(self, error=None):
        self.got.append("closed" if error is None else error)


def test_every_sink_gets_every_number_and_picture(tmp_path):
    sinks = []

    def opens(folder, purge):
        sinks.append(Kept(folder, purge))
        return sinks[-1]

    position = {"bytes": 0, "step": 4, "window": {}, "seconds": 0.0}
    log = RunLog(tmp_path, "toy", 6, 1, position, sinks=(opens, opens))
    log.write(5, "test", {"loss": 0.5})
    log.pictures(5, np.zeros((2, 8, 8, 1), np.uint8), "train/images")
    log.position()
    log.close()
    for sink in sinks:
        assert sink.opened == (tmp_path, 5)
        points, pictures, *ends = sink.got
        assert points == (5, {"test/loss": 0.5})
        assert pictures == (5, "train/images", (2, 8, 8, 3))
        assert ends == ["flushed", "closed"]
    # Of several processes one keeps the log, and the others open nothing.
    RunLog(None, "toy", 6, 1, None, sinks=(opens,)).close()
    assert len(sinks) == 2


def test_a_sink_that_does_not_open_leaves_nothing_open(tmp_path):
    opened = []

    def opens(folder, purge):
        opened.append(Kept(folder, purge))
        return opened[-1]

    def fails(folder, purge):
        raise OSError("no such account")

    with pytest.raises(OSError, match="no such account"):
        RunLog(tmp_path, "toy", 6, 1, None, sinks=(opens, fails))
    assert opened[0].got == ["closed"]


def test_words_name_sinks_and_their_extras(monkeypatch):
    config = {"experiment": "experiments.cifar10", "arguments": {"depth": 8}}
    opening = named.open_sinks(("wandb", "tensorboard", "wandb"), "small", config)
    assert opening[1] is Board
    assert len(opening) == 2
    assert opening[0].keywords == {
        "name": "small",
        "config": {"depth": 8, "experiment": "experiments.cifar10"},
    }
    named.check_sinks(("tensorboard",), Path("gs:/bucket/run"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(named, "library", lambda name, extra: None)
    named.check_sinks(("mlflow",), Path("runs/x"))
    with pytest.raises(UsageError, match="log_to=mlflow: expected a server's address"):
        named.check_sinks(("mlflow",), Path("gs:/bucket/run"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker")
    named.check_sinks(("mlflow",), Path("gs:/bucket/run"))
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"mlflow is not installed: pip install 'jresnet\[mlflow\]"
    ):
        named.check_sinks(("tensorboard", "mlflow"), None)


def sitting(kind, folder, steps):
    sink = kind(folder, steps[0], "toy", {"depth": 8, "classes": None})
    for step in steps:
        sink.scalars({"train/loss": 1 / step, "test/ap50/dog": 0.5}, step)
        sink.images("test/examples", np.full((2, 8, 8, 3), step, np.uint8), step)
    sink.flush()
    sink.close()


def test_a_service_that_fails_does_not_end_a_training(monkeypatch, caplog):
    now, calls = [1e6], []

    def call():
        calls.append(now[0])
        if len(calls) in (2, 3):
            raise ConnectionError("no route to host")

    monkeypatch.setattr("jresnet.train.sinks.time.monotonic", lambda: now[0])
    service = Service("mlflow")
    for step in range(1, 6):
        service.send(step, call)
        now[0] += PAUSE / 2
    # Step 2 and 4 failed, no try was made at 3 and 5.
    assert len(calls) == 3
    now[0] += PAUSE
    service.send(6, call)
    assert service.unsent == [2, 3, 4, 5]
    service.end(call)
    assert caplog.messages == [
        "mlflow: no route to host; the training goes on, and metrics.jsonl has all",
        "mlflow did not take all of steps 2 to 5; metrics.jsonl has them",
    ]


def test_a_sink_hears_what_ended_a_sitting(tmp_path):
    sinks = []

    def opens(folder, purge):
        sinks.append(Kept(folder, purge))
        return sinks[-1]

    error = NonFiniteLossError("the loss is nan")
    RunLog(tmp_path, "toy", 6, 1, None, sinks=(opens,)).close(error)
    assert sinks[0].got == [error]


def test_wandb_hears_that_a_stopped_sitting_goes_on(tmp_path, monkeypatch):
    calls = []
    run = SimpleNamespace(
        mark_preempting=lambda: calls.append("preempting"),
        finish=lambda exit_code: calls.append(exit_code),
    )
    wandb = SimpleNamespace(Image=None, Settings=dict, init=lambda **fields: run)
    monkeypatch.setattr(services, "library", lambda name, extra: wandb)
    for error in (Interrupted("stopped"), KeyboardInterrupt(), NonFiniteLossError("nan"), None):
        WandbSink(tmp_path, 1, "toy", {}).close(error)
    assert calls == ["preempting", 1, "preempting", 1, 1, 0]


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_says_how_a_sitting_ended(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for error, status in (
        (Interrupted("stopped"), "KILLED"),
        (NonFiniteLossError("nan"), "FAILED"),
        (None, "FINISHED"),
    ):
        sink = MlflowSink(tmp_path, 1, "toy", {})
        assert sink.client.get_run(sink.run).info.status == "RUNNING"
        sink.close(error)
        assert sink.client.get_run(sink.run).info.status == status


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_training_goes_on_in_its_run_of_mlflow(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    sitting(MlflowSink, folder, (1, 2, 3))
    sitting(MlflowSink, folder, (2, 3, 4))  # from the checkpoint of step 1
    client = MlflowSink(folder, 5, "toy", {}).client
    (run,) = client.search_runs([client.get_experiment_by_name("jresnet").experiment_id])
    assert run.info.run_id == read_json(folder / "mlflow.json")["id"]
    assert run.data.params == {"depth": "8", "classes": "None"}
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [(n, 1 / n) for n in (1, 2, 3, 4)]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_training_goes_on_in_its_run_of_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    sitting(WandbSink, tmp_path, (1, 2, 3))
    sitting(WandbSink, tmp_path, (2, 3, 4))
    identity = read_json(tmp_path / "wandb.json")["id"]
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert {path.stem for path in files} == {f"run-{identity}"}
    assert b"train/loss" in files[0].read_bytes()
