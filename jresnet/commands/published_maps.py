"""`predict` and `evaluate` of nets that label every pixel, with the weights of a checkpoint file."""

from collections.abc import Sequence
from pathlib import Path

from jresnet.commands.trained import Trained
from jresnet.commands.treatment import UNSET, Statistic, treat
from jresnet.data.info import Info
from jresnet.data.pipeline import ImageData
from jresnet.data.shorter_side import AtShorterSide
from jresnet.data.sources.known_maps import VOC
from jresnet.data.sources.tfds_maps import find_maps
from jresnet.errors import UsageError
from jresnet.models.heads.maps import Segmenter
from jresnet.tasks.segment import Segment
from jresnet.text import shown
from jresnet.weights.nets import Loaded, Net

SIDE = 520  # pixels of the shorter side in torchvision's evaluation of these nets


def count_classes(net: Segmenter) -> int:
    """The classes of a net's maps: two where it has one output, for a sigmoid."""
    return max(2, net.num_classes)


def class_names(count: int) -> tuple[str, ...]:
    """Names for `count` classes: VOC's for 21, as published files have them, and else numbers."""
    return VOC if count == len(VOC) else tuple(map(str, range(count)))


def labeller(
    net: Net,
    loaded: Loaded,
    classes: Sequence[str],
    resize: int | None = None,
    mean: Statistic = UNSET,
    std: Statistic = UNSET,
) -> Trained:
    """A net for label maps, of which pictures are treated as torchvision evaluates its own.

    Args:
        net: its name and image.
        loaded: its variables; the model is a `Segmenter`.
        classes: a name for each class.
        resize: pixels of the shorter side; by default torchvision's.
        mean: means of the channels; with `std` unset ImageNet's.
        std: standard deviations of the channels.

    Raises UsageError for statistics that do not fit the net.
    """
    normalize = treat(net, loaded, mean=mean, std=std).normalize
    assert isinstance(loaded.model, Segmenter)
    task = Segment(loaded.model, normalize, classes=tuple(classes))
    transform = AtShorterSide(SIDE if resize is None else resize, loaded.channels)
    return Trained(task, loaded.variables, transform, Info(net.name, len(classes), tuple(classes)))


def data_for(
    trained: Trained, dataset: str, data_dir: Path | None, batch_size: int, workers: int
) -> ImageData:
    """A set of images and label maps, treated for a net's evaluation.

    Raises UsageError for a set with more classes than the net, or of other names where both have
    some.
    """
    names = trained.classes
    maps = find_maps(dataset, data_dir)
    info = maps.info()
    if all(name.isdecimal() for name in info.class_names) and info.num_classes <= len(names):
        # A folder that names no class has as many as occur there, which may be fewer.
        maps = find_maps(dataset, data_dir, classes=names)
    elif info.num_classes != len(names):
        raise UsageError(
            f"dataset={shown(dataset)!r}: {info.num_classes} classes, the net has {len(names)}"
        )
    return ImageData(
        maps,
        1,
        eval_batch_size=batch_size,
        train_transform=trained.transform,
        eval_transform=trained.transform,
        workers=workers,
    )
