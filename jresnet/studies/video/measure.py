"""Classes of the videos of a split by trained nets, with one view of each video or with several."""

import dataclasses
from typing import NamedTuple

import numpy as np

from jresnet.data.pipeline import ImageData
from jresnet.data.sources.clips import Films
from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Result
from jresnet.studies.collected import collected
from jresnet.tasks.classify_clips import VideoCollector

# Clips along a video and parts of each clip's frames, as papers count their views.
VIEWS = {1: (1, 1), 10: (10, 1), 30: (10, 3)}


class Predicted(NamedTuple):
    """A split's videos: the true class and the predicted one, int `[videos]`, and metrics."""

    true: np.ndarray
    chosen: np.ndarray
    metrics: dict[str, float]


def check_views(views: tuple[int, ...], dataset: object) -> None:
    """Raise UsageError for views other than papers' 1, 10 and 30, and for several of digits."""
    for count in views:
        if count not in VIEWS:
            raise UsageError(f"views={count}: expected some of 1, 10, 30")
        if count != 1 and not isinstance(dataset, Films):
            raise UsageError(
                f"views={count}: expected dataset or films too, a clip is all of a digit"
            )


def with_views(data: ImageData, views: int) -> ImageData:
    """The same data with so many clips of each video of the test split."""
    if views == 1 or not isinstance(data.dataset, Films):
        return data
    along, across = VIEWS[views]
    dataset = dataclasses.replace(data.dataset, views=along, crops=across)
    return dataclasses.replace(data, dataset=dataset)


def predicted(experiment: Experiment, result: Result, views: int = 1) -> Predicted:
    """The videos of the test split by a trained net."""
    assert isinstance(experiment.data, ImageData)
    collector = collected(experiment, result, data=with_views(experiment.data, views))
    return Predicted(*_classes(collector), collector.result())


def _classes(collector: VideoCollector) -> tuple[np.ndarray, np.ndarray]:
    numbers = sorted(collector.labels)
    true = [collector.labels[number] for number in numbers]
    chosen = [int(collector.sums[number].argmax()) for number in numbers]
    return np.array(true, int), np.array(chosen, int)


def counts(true: np.ndarray, chosen: np.ndarray, answers: tuple[int, ...]) -> np.ndarray:
    """Videos by the true answer (row) and that of the chosen class, `[answers, answers]`."""
    of_class = np.asarray(answers)
    size = int(of_class.max()) + 1
    matrix = np.zeros((size, size), int)
    np.add.at(matrix, (of_class[true], of_class[chosen]), 1)
    return matrix
