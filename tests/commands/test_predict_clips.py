"""`predict` of videos: classes over time, the strip of frames, and files that are none."""

import json
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from experiments.video import video
from jresnet.commands.predict import predict
from jresnet.commands.predict_clips import (
    TrainedOnClips,
    _frames,
    clips_of_net,
    clock,
    find_videos,
    predict_clips,
)
from jresnet.commands.results import Results
from jresnet.commands.trained import Trained
from jresnet.data.clips import Clip, Length
from jresnet.data.info import Info
from jresnet.data.normalisation import Prepared
from jresnet.data.sources.moving_digits import write_films
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.report.timeline import Moment, timeline
from jresnet.run.launch import launch
from jresnet.tasks.classify_clips import ClassifyClips
from jresnet.weights.convert import from_torch, to_torch
from jresnet.weights.nets import find_net
from tests.films import write_film
from tests.nets import apply, random_variables


class Bright(nn.Module):
    """Class 1 where the clip is brighter than the middle grey."""

    @nn.compact
    def __call__(self, x, *, train):
        light = x.mean(tuple(range(1, x.ndim))) - 128
        return jnp.stack([-light, light], -1) / 20


def bright(channels=3):
    clip = Clip(4, 2.0, (16, 16), 16)
    info = Info("run", 2, ("dark", "bright"), class_of="clip")
    trained = Trained(ClassifyClips(Bright(), Prepared()), {}, clip, info)
    return TrainedOnClips(trained, clip, channels)


def halves(count=28):
    """Frames that are dark, and from the middle on bright."""
    pictures = np.full((count, 32, 48, 3), 30, np.uint8)
    pictures[count // 2 :] = 230
    return pictures


@pytest.mark.slow
def test_a_published_net_by_name_and_file(tmp_path, capsys):
    """Random weights in torch's layout; probabilities by hand, from the frames that it reads."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    film = tmp_path / "film"
    film.mkdir()
    for number, pixels in enumerate(halves(40)):
        Image.fromarray(pixels + np.uint8(number % 7)).save(film / f"{number:03}.png")
    model = zoo.r3d_18(5)
    state = to_torch(random_variables(model, (4, 16, 16, 3)), model)
    save_file({name: np.ascontiguousarray(x) for name, x in state.items()}, tmp_path / "net.safetensors")  # fmt: skip
    words = ["--weights", f"{tmp_path}/net.safetensors", "--resize", "40", "--crop", "32"]
    assert predict(["r3d_18", *words, "--out", str(tmp_path / "out"), str(film)]) == 0
    assert "whole video" in capsys.readouterr().out
    (one,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["files"].values()
    spec = Clip(16, 2.0, (32, 32), 40)
    seen = [
        spec({"path": str(film), "label": 0, "place": p}, np.random.default_rng(0))["image"]
        for p in (0.0, 1.0)  # a clip spans 31 of the 40 frames
    ]
    mean, std = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
    inputs = jnp.asarray((np.stack(seen) / 255 - mean) / std, jnp.float32)
    logits = apply(model, from_torch(state, model), inputs, train=False)
    expected = np.asarray(jax.nn.softmax(logits)).mean(0)
    ours = {entry["number"]: entry["probability"] for entry in one["classes"]}
    np.testing.assert_allclose([ours[n] for n in range(5)], expected, atol=2e-3)


def test_clips_of_a_published_net_are_torchvision_s():
    loaded: Any = SimpleNamespace(classifier=zoo.r3d_18(5), variables={}, recorded=None)
    clips = clips_of_net(find_net("r3d_18"), loaded, [str(n) for n in range(5)])
    assert clips.clip == Clip(16, 2.0, (112, 112), 128)
    assert clips.trained.task.normalize.mean == (0.43216, 0.394666, 0.37645)
    with pytest.raises(UsageError, match="resize=100"):
        clips_of_net(find_net("r3d_18"), loaded, ["a"], (100, None))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_frames_and_its_classes_over_time(tmp_path, capsys, channels):
    folder = tmp_path / "in" / "film"
    folder.mkdir(parents=True)
    for number, pixels in enumerate(halves()):
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    for name in ("empty", "film10", "film9"):
        (tmp_path / "in" / name).mkdir()
    paths = list(find_videos([tmp_path / "in"]))
    assert [path.name for path in paths] == ["empty", "film", "film9", "film10"]
    paths = paths[:2]
    results = Results(tmp_path / "out", {}, 2)
    assert predict_clips(paths, bright(channels), results) == 1
    out, err = capsys.readouterr()
    assert err == f"skipped {tmp_path / 'in' / 'empty'}: a folder without frames\n"
    # Four clips of seven frames, one after the other.
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["video", "time", "class", "probability"]
    assert lines[1][1:-1] == ["frame", "0", "to", "frame", "7", "dark"]
    assert [line[-2] for line in lines[1:5]] == ["dark", "dark", "bright", "bright"]
    assert lines[5][:2] == ["whole", "video"]
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    (one,) = record["files"].values()
    assert [clip["begin"] for clip in one["over_time"]] == [0, 7, 14, 21]
    assert one["unit"] == "frame"
    assert sum(entry["probability"] for entry in one["classes"]) == pytest.approx(1)
    drawing = np.asarray(Image.open(tmp_path / "out" / one["drawing"]))
    assert drawing.shape[1] > 4 * 160
    assert drawing[100, 40].max() < 60 < 200 < drawing[100, 40 + 3 * 172].min()


def test_video_files_are_told_in_seconds_and_damaged_ones_are_named(tmp_path, capsys):
    pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
    write_film(tmp_path / "a.mp4", halves(), rate=10)
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(4000))
    paths = [*find_videos([tmp_path]), tmp_path / "missing.mp4"]
    assert predict_clips(paths, bright(), None) == 1
    out, err = capsys.readouterr()
    told = [line.split(": ")[0] for line in err.splitlines()]
    assert told == [f"skipped {tmp_path / name}" for name in ("noise.avi", "missing.mp4")]
    assert "is no video, or a damaged one" in err
    rows = [line for line in out.splitlines() if " to " in line]
    assert len(rows) == 4
    assert "00:00.00 to 00:00.70  dark" in rows[0]
    assert "00:02.10 to 00:02.80  bright" in rows[3]


def test_a_video_of_one_clip_shows_how_it_moves(tmp_path):
    folder = tmp_path / "film"
    folder.mkdir()
    for number in range(7):
        Image.fromarray(np.full((16, 16, 3), 30 * number, np.uint8)).save(folder / f"{number}.png")
    results = Results(tmp_path / "out", {}, 1)
    assert predict_clips([folder], bright(), results) == 0
    (one,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["files"].values()
    assert len(one["over_time"]) == 1
    drawing = np.asarray(Image.open(tmp_path / "out" / one["drawing"]))
    shown = [drawing[100, 40 + 172 * column, 0] for column in range(4)]
    assert shown == [0, 60, 120, 180]  # every second frame, as the net sees them
    times = [time for _, time in _frames(Clip(8, 1.0), 1, Length(1.0, 8.0))]
    assert times[:2] == [0.0, 1 / 8]
    assert (len(times), times[-1]) == (6, 7 / 8)
    assert _frames(Clip(8, 1.0), 4, Length(4.0, 8.0)) == [(4, 0.0)]


def test_clocks_and_strips():
    assert clock(61.239, Length(100, 25)) == "01:01.24"
    assert clock(7.0, Length(100, 1, "frame")) == "frame 7"
    frame = np.full((16, 16, 1), 200, np.uint8)
    moments = [Moment(frame, "00:01.00", "a class " * 9, share) for share in (0.0, 0.5, 1.0)]
    one, seven = timeline(moments[:1], "whole"), timeline(moments[:1] * 7, "whole")
    assert seven.shape[0] > 1.7 * one.shape[0]  # a second row
    drawn = timeline(moments, "whole")
    line = drawn[250].astype(int)
    blue = line[:, 2] > line[:, 0] + 100
    lengths = [int(blue[12 + 172 * n :][:160].sum()) for n in range(3)]
    assert lengths[0] == 0
    assert lengths[1:] == [81, 160]


@pytest.mark.slow
def test_a_run_on_moving_digits_takes_their_files(tmp_path, command):
    pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
    words = ["--smoke", "--no-plain", "--no-controls", "--devices", "1"]
    launch(video, [*words, "--workdir", str(tmp_path / "run")])
    write_films(tmp_path / "films", {"test": 2})
    (run,) = (path.parent for path in (tmp_path / "run").glob("*/training.json"))
    folders = sorted((tmp_path / "films" / "test").iterdir())
    status, out, err = command("predict", run, *folders, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert out.count("00:00.00 to 00:01.00") == 2
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    status, _, err = command("predict", run, *folders, "--crop", "8")
    assert status != 0
    assert "crop=8: expected none" in err
