"""Published nets that label every pixel, with weights of a file, for `predict` and `evaluate`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jresnet.commands.trained import Trained
from jresnet.data.info import Info
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.known_maps import VOC
from jresnet.data.sources.tfds_maps import find_maps
from jresnet.data.with_map import AtOwnSize
from jresnet.errors import UsageError
from jresnet.models.heads.maps import Segmenter
from jresnet.tasks.scales import Scales
from jresnet.tasks.segment import Segment
from jresnet.weights.nets import Loaded

# Pictures are seen at their own size, and a few sizes of programs hold all of them.
WHOLE = AtOwnSize(base=(256, 256))


def classes_of(net: Segmenter) -> int:
    """The number of classes; a net of one logit tells two apart."""
    return max(2, net.num_classes)


def known_names(net: Segmenter) -> tuple[str, ...]:
    """Names of the classes: VOC's of a net with as many, else their numbers."""
    count = classes_of(net)
    return VOC if count == len(VOC) else tuple(map(str, range(count)))


def labeller(
    loaded: Loaded, name: str, labels: Sequence[str], normalize: Callable[[Any], Any]
) -> Trained:
    """The net with the `labels` of its classes and its normalisation, for `predict`."""
    net = loaded.model
    assert isinstance(net, Segmenter)
    task = Segment(net, normalize, classes=tuple(labels))
    return Trained(task, loaded.variables, WHOLE, Info(name, len(labels), tuple(labels)))


def labelled_set(
    net: Segmenter, dataset: str, data_dir: Path | None, batch_size: int | None, workers: int
) -> ImageData:
    """The data set `dataset` for evaluation, 4 pictures at a time by default.

    Raises UsageError for a set of another number of classes than the net's.
    """
    maps = find_maps(dataset, data_dir)
    if (count := maps.info().num_classes) != classes_of(net):
        raise UsageError(
            f"dataset={dataset!r}: {count} classes; expected {classes_of(net)}, as the net has"
        )
    size = batch_size or 4
    return ImageData(maps, 1, size, train_transform=WHOLE, eval_transform=WHOLE, workers=workers)


def measured_by(
    loaded: Loaded,
    classes: tuple[str, ...],
    normalize: Callable[[Any], Any],
    scales: Sequence[float],
    mirrored: bool,
) -> Segment:
    """The task that scores the net, with views of several scales and mirror images if wanted."""
    views = Scales(tuple(scales) or (1.0,), mirrored) if scales or mirrored else None
    return Segment(loaded.model, normalize, classes=classes, views=views)
