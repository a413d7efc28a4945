"""Classification of clips, and of videos by the mean over their clips."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jresnet.tasks.base import Array, Batch, Variables
from jresnet.tasks.case import Case, Picture
from jresnet.tasks.classify import Classify

STRIP = 8  # frames of a clip that a picture shows
TALL = 64  # pixels of a frame's height from which a picture shows it at its own size

# By the name of a question the answer that each class gives: digit 3 of class "3 up".
Parts = tuple[tuple[str, tuple[int, ...]], ...]


@dataclasses.dataclass(frozen=True)
class ClassifyClips(Classify):
    """`batch["image"]` uint8 `[batch, frames, height, width, channels]`, `batch["label"]` and
    `batch["video"]` int `[batch]`, the number of the video that a clip is of.

    Metrics are those of clips; besides, `clip_accuracy` and `video_accuracy` name both, for papers
    differ in which they print. A video's class has the highest mean probability over its clips.

    `parts` are questions that a class answers beside: the share of clips and videos whose class
    gives the right answer are `clip_accuracy/NAME` and `video_accuracy/NAME`.
    """

    parts: Parts = ()
    unit = "clip"

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`logits` and `probability` `[batch, classes]`, `label` and `video` of each clip."""
        outputs = super().outputs(variables, batch)
        return {
            **outputs,
            "probability": jax.nn.softmax(outputs["logits"]),
            "video": batch["video"],
        }

    def collector(self) -> "VideoCollector":
        """For one pass over a split."""
        return VideoCollector(self.parts)

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        picture = super().show(results, case)
        frames = strip(case.arrays["image"])
        times = max(1, TALL // len(frames))
        return dataclasses.replace(picture, pixels=frames.repeat(times, 0).repeat(times, 1))


class VideoCollector:
    """Accuracies of clips and of the videos that they are of; what is kept is a row a video.

    - `labels`, `sums`: by the video's number, its class and the sum of its clips' probabilities.
    """

    def __init__(self, parts: Parts = ()) -> None:
        self.parts = {name: np.asarray(answers) for name, answers in parts}
        self.sums: dict[int, np.ndarray] = {}
        self.labels: dict[int, int] = {}
        self.right, self.clips = dict.fromkeys(("", *self.parts), 0), 0

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Take in `probability` `[b, classes]`, `label` and `video` `[b]` of real rows.

        Raises ValueError for clips of one video with different labels.
        """
        rows = zip(outputs["probability"], outputs["label"], outputs["video"], strict=True)
        for probability, label, video in rows:
            number, label = int(video), int(label)
            if self.labels.setdefault(number, label) != label:
                raise ValueError(
                    f"clips of video {number} have labels {self.labels[number]}, {label}"
                )
            self.sums[number] = self.sums.get(number, 0) + probability.astype(np.float64)
            for name, right in self._right(int(probability.argmax()), label).items():
                self.right[name] += right
            self.clips += 1

    def _right(self, chosen: int, label: int) -> dict[str, bool]:
        """Whether the chosen class is right, under "", and whether its answers are."""
        answers = {name: bool(part[chosen] == part[label]) for name, part in self.parts.items()}
        return {"": chosen == label, **answers}

    def result(self) -> dict[str, float]:
        """`clip_accuracy`, `video_accuracy`, the same of each part, and how many clips a video
        had; NaN without any."""
        videos = dict.fromkeys(self.right, 0)
        for number, label in self.labels.items():
            for name, right in self._right(int(self.sums[number].argmax()), label).items():
                videos[name] += right
        result = {}
        for kind, counts, size in (
            ("clip_accuracy", self.right, self.clips),
            ("video_accuracy", videos, len(self.labels)),
        ):
            for name, count in counts.items():
                key = f"{kind}/{name}" if name else kind
                result[key] = count / size if size else float("nan")
        return {**result, "views": self.clips / len(self.labels) if self.labels else float("nan")}


def strip(clip: np.ndarray, count: int = STRIP) -> np.ndarray:
    """At most `count` frames of a clip `[frames, H, W, C]`, evenly and side by side, a grey column
    between: uint8 `[H, width, 1 or 3]`."""
    numbers = np.unique(np.linspace(0, len(clip) - 1, min(count, len(clip))).round().astype(int))
    frames = [one if one.shape[-1] == 3 else one[..., :1] for one in clip[numbers]]
    gap = np.full_like(frames[0][:, :1], 128)
    parts: Sequence[np.ndarray] = [part for frame in frames for part in (frame, gap)]
    return np.concatenate(parts[:-1], 1)
