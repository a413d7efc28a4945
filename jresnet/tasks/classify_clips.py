"""Classification of clips, and of videos by the mean over their clips."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jresnet.report.colours import BLUE, VERMILION
from jresnet.tasks.base import Array, Batch, Variables
from jresnet.tasks.case import Case, Picture
from jresnet.tasks.classify import Classify

STRIP = 8  # frames of a clip that a picture shows


@dataclasses.dataclass(frozen=True)
class ClassifyClips(Classify):
    """`batch["image"]` uint8 `[batch, frames, height, width, channels]`, `batch["label"]` and
    `batch["video"]` int `[batch]`, the number of the video that a clip is of.

    Metrics are those of clips; besides, `clip_accuracy` and `video_accuracy` name both, for papers
    differ in which they print. A video's class has the highest mean probability over its clips.
    """

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
        return VideoCollector()

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        number, label = int(results["class"][0]), int(case.arrays["label"])
        share = f"{results['probability'][0]:.0%}"
        caption = f"true {case.class_name(label)}, predicted {case.class_name(number)} ({share})"
        return Picture(strip(case.arrays["image"]), caption, BLUE if number == label else VERMILION)


class VideoCollector:
    """Accuracies of clips and of the videos that they are of; what is kept is a row a video."""

    def __init__(self) -> None:
        self.sums: dict[int, np.ndarray] = {}
        self.labels: dict[int, int] = {}
        self.right, self.clips = 0, 0

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
            self.right += int(probability.argmax() == label)
            self.clips += 1

    def result(self) -> dict[str, float]:
        """`clip_accuracy`, `video_accuracy` and how many clips a video had; NaN without any."""
        if not self.clips:
            return dict.fromkeys(("clip_accuracy", "video_accuracy", "views"), float("nan"))
        right = sum(int(self.sums[n].argmax()) == label for n, label in self.labels.items())
        return {
            "clip_accuracy": self.right / self.clips,
            "video_accuracy": right / len(self.labels),
            "views": self.clips / len(self.labels),
        }


def strip(clip: np.ndarray, count: int = STRIP) -> np.ndarray:
    """At most `count` frames of a clip `[frames, H, W, C]`, evenly and side by side, a grey column
    between: uint8 `[H, width, 1 or 3]`."""
    numbers = np.unique(np.linspace(0, len(clip) - 1, min(count, len(clip))).round().astype(int))
    frames = [one if one.shape[-1] == 3 else one[..., :1] for one in clip[numbers]]
    gap = np.full_like(frames[0][:, :1], 128)
    parts: Sequence[np.ndarray] = [part for frame in frames for part in (frame, gap)]
    return np.concatenate(parts[:-1], 1)
