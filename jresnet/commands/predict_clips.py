"""`predict` of a run or a published net of clips: the classes of a video over time."""

import dataclasses
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from jresnet.commands.predict_pictures import batched
from jresnet.commands.results import Results
from jresnet.commands.table import Table
from jresnet.commands.trained import Trained, load_task
from jresnet.data.broken import ExampleError
from jresnet.data.clips import Clip, Length, places, read_length
from jresnet.data.films import is_film
from jresnet.data.info import Info
from jresnet.data.normalisation import KINETICS, Normalize
from jresnet.data.sources.files import by_number, is_image, list_folder
from jresnet.data.sources.made_up import MadeUp
from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.report.timeline import Moment, timeline
from jresnet.tasks.case import Column, Prediction
from jresnet.tasks.classify import LIKELIEST
from jresnet.tasks.classify_clips import ClassifyClips
from jresnet.text import shown
from jresnet.weights.nets import Loaded, Net
from jresnet.weights.recorded import Recorded

MOST = 30  # clips of a video that are looked at
BATCH = 8
DRAWN = 12  # of them that are drawn
FRAMES = 6  # of a strip at least: one clip alone shows its motion
WHOLE = "whole video"


@dataclasses.dataclass(frozen=True)
class TrainedOnClips:
    """A trained net, the transform of its run's videos, and its input's channels."""

    trained: Trained
    clip: Clip
    channels: int


def takes_clips(recorded: Recorded) -> bool:
    """Whether a run was trained on clips."""
    task = recorded.parts.get("task")
    name = f"{ClassifyClips.__module__}:{ClassifyClips.__qualname__}"
    return isinstance(task, dict) and task.get("new") == name


def load_clips(recorded: Recorded) -> TrainedOnClips:
    """The net of a run of clips, which may be those of moving digits. Raises UsageError."""
    task, variables = load_task(recorded)
    assert isinstance(task, ClassifyClips)
    frames, height, width, channels = recorded.image
    stored = recorded.parts["data"]["fields"].get("eval_transform") is None
    clip: Any = None if stored else recorded.transform()
    if clip is None or isinstance(clip, MadeUp):
        # Clips that were stored as arrays, or made up: any video is cut to their size.
        clip = Clip(frames, 1.0, (height, width), min(height, width))
    if not isinstance(clip, Clip):
        raise UsageError(
            f"run {str(recorded.folder)!r}: its evaluation transform is {type(clip).__name__}: "
            "expected Clip for videos"
        )
    info = Info(recorded.folder.name, len(recorded.classes), recorded.classes, class_of="clip")
    return TrainedOnClips(Trained(task, variables, clip, info), clip, channels)


def classifies_clips(net: Net) -> bool:
    """Whether a net's published card is of clips in colours."""
    return len(net.image) == 4 and net.image[-1] == 3


def clips_of_net(
    net: Net,
    loaded: Loaded,
    labels: Sequence[str],
    size: tuple[int | None, int | None] = (None, None),
    normalize: Normalize = KINETICS,
) -> TrainedOnClips:
    """A published net for clips, with the weights of a file.

    Args:
        net: its card tells frames and pixels; every second frame is taken.
        loaded: its weights.
        labels: names of its classes.
        size: the frames' shorter side, and the part in the middle; None for torchvision's, 128 and
            112 pixels.
        normalize: of torchvision's training on Kinetics.

    Raises UsageError for a run, and for a part larger than the frames.
    """
    if loaded.recorded is not None:
        raise UsageError(
            f"weights={shown(str(loaded.weights))}: expected a file; a run of clips predicts by its "
            "folder alone"
        )
    frames, height, width, channels = net.image
    resize, crop = size
    part = (height, width) if crop is None else (crop, crop)
    clip = Clip(frames, 2.0, part, round(min(part) * 128 / 112) if resize is None else resize)
    info = Info(net.name, len(labels), tuple(labels), class_of="clip")
    clip.spec(info)
    task = ClassifyClips(loaded.classifier, normalize)
    return TrainedOnClips(Trained(task, loaded.variables, clip, info), clip, channels)


def find_videos(paths: Iterable[Path]) -> Iterator[Path]:
    """Files and folders of frames; of a folder with video files these, by the numbers in their names.

    Raises UsageError if there are video files and no library that reads them.
    """
    for path in paths:
        inside: list[Path] = []
        if path.is_dir():
            names = sorted((e.name for e in list_folder(path)), key=by_number)
            inside = [path / name for name in names if is_film(path / name)]
            if not any(map(is_image, names)) and not inside:
                inside = [path / name for name in names if (path / name).is_dir()]
        for video in inside or [path]:
            if not video.is_dir():
                library("av", "video")
            yield video


def predict_clips(paths: Sequence[Path], clips: TrainedOnClips, results: Results | None) -> int:
    """Print the likeliest class of each clip of every video, and the classes of the whole.

    The probabilities of a video are the mean over its clips. Returns 1 if there is a video that
    cannot be read. Strips of frames are also drawn if there are `results` to add them to.
    """
    task = clips.trained.task

    @jax.jit
    def step(variables: Any, images: jax.Array) -> jax.Array:
        batch = {"image": images, "label": np.zeros(BATCH, int), "video": np.zeros(BATCH, int)}
        return task.outputs(variables, batch)["probability"]  # type: ignore[attr-defined]

    variables = jax.device_put(clips.trained.variables)
    columns = (
        Column("time", (WHOLE, "00:00.00 to 00:00.00")),
        Column("class", clips.trained.classes),
        Column("probability", right=True),
    )
    table = Table(columns, paths, "video")
    status = 0
    table.heading()
    for number, path in enumerate(paths, 1):
        try:
            length = read_length(path)
            seen = [*_read(path, length, clips)]
        except (ExampleError, OSError, UsageError) as error:
            print(shown(f"skipped {path}: {error}"), file=sys.stderr)
            status = 1
            if results is not None:
                results.skip(path, str(error))
            continue
        rows = np.stack([image for _, image in seen])
        probabilities = np.concatenate(
            [
                np.asarray(step(variables, batched([{"image": x} for x in part], BATCH)["image"]))[
                    : len(part)
                ]
                for part in np.split(rows, range(BATCH, len(rows), BATCH))
            ]
        )
        times = [time for time, _ in seen]
        prediction = present(times, rows, probabilities, length, clips, results is not None)
        table.add(path, prediction.rows)
        if results is not None:
            results.add(number, path, prediction)
    if results is not None:
        results.write()
    return status


def _read(path: Path, length: Length, clips: TrainedOnClips) -> Iterator[tuple[float, np.ndarray]]:
    """Where each clip begins, and its frames. One after the other, or `MOST` evenly."""
    clip = clips.clip
    count = math.ceil(length.total / length.span(clip.frames, clip.stride) - 1e-6)
    for place in places(min(MOST, max(1, count))):
        example: Mapping[str, Any] = {"path": str(path), "label": 0, "place": place}
        image = clip(dict(example), np.random.default_rng(0))["image"]
        if clips.channels == 1:
            grey = [np.asarray(Image.fromarray(frame).convert("L")) for frame in image]
            image = np.stack(grey)[..., None]
        yield length.begin(clip.frames, clip.stride, place), image


def present(
    times: Sequence[float],
    rows: np.ndarray,
    probabilities: np.ndarray,
    length: Length,
    clips: TrainedOnClips,
    draw: bool,
) -> Prediction:
    """The result of one video.

    Args:
        times: where each clip begins.
        rows: frames, `[clips, frames, H, W, channels]`.
        probabilities: `[clips, classes]`.
        length: of the video.
        clips: the net.
        draw: whether to draw.
    """
    span = min(length.span(clips.clip.frames, clips.clip.stride), length.total)
    mean = probabilities.mean(0)
    chosen = probabilities.argmax(1).tolist()
    record: list[dict[str, Any]] = [
        {"begin": time, "end": time + span, **_entry(clips, label, probability[label])}
        for time, label, probability in zip(times, chosen, probabilities, strict=True)
    ]
    whole = [
        _entry(clips, n, mean[n]) for n in np.argsort(-mean, kind="stable")[:LIKELIEST].tolist()
    ]
    lines = [
        (f"{clock(one['begin'], length)} to {clock(one['end'], length)}", *_cells(one))
        for one in record
    ]
    first = itertools.chain([WHOLE], itertools.repeat(""))
    lines += [(title, *_cells(one)) for title, one in zip(first, whole, strict=False)]
    about = {
        "classes": whole,
        "over_time": record,
        "unit": length.unit,
    }
    if not draw:
        return Prediction(lines, about)
    moments = [
        Moment(
            rows[n, frame],
            clock(record[n]["begin"] + late, length),
            record[n]["class"],
            record[n]["probability"],
        )
        for n in _evenly(len(rows), DRAWN)
        for frame, late in _frames(clips.clip, len(rows), length)
    ]
    title = f"{WHOLE}: {whole[0]['class']}, {whole[0]['probability']:.0%}"
    return Prediction(lines, about, timeline(moments, title))


def _evenly(count: int, most: int) -> list[int]:
    """So many of the numbers below `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def _frames(clip: Clip, count: int, length: Length) -> list[tuple[int, float]]:
    """The frames of a clip that are drawn if there are so many clips, and when, from its begin on.

    The one in the middle stands for the whole of it where many clips make a strip.
    """
    each = min(clip.frames, FRAMES // count)
    if each < 2:
        return [(clip.frames // 2, 0.0)]
    return [(frame, frame * clip.stride / length.rate) for frame in _evenly(clip.frames, each)]


def _entry(clips: TrainedOnClips, label: int, probability: float) -> dict[str, Any]:
    names = clips.trained.classes
    name = names[label] if label < len(names) else str(label)
    return {"class": name, "number": label, "probability": float(probability)}


def _cells(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["class"], f"{entry['probability']:.4f}"


def clock(time: float, length: Length) -> str:
    """A time as minutes and seconds, or the number of a frame from 0 of a folder of pictures."""
    if length.unit == "frame":
        return f"frame {round(time)}"
    hundredths = round(100 * time)
    return f"{hundredths // 6000:02}:{hundredths % 6000 / 100:05.2f}"
