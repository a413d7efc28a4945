"""How a trained net wants its pictures: by what its run or its repository tells, or as published."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jresnet.data.crops import Interpolation, ResizeCenterCrop
from jresnet.data.fit import Grey
from jresnet.data.normalisation import IMAGENET, Normalize
from jresnet.data.transform import ImageTransform
from jresnet.errors import UsageError
from jresnet.text import shown
from jresnet.weights import hub, remote
from jresnet.weights.nets import Loaded, Net, find_net
from jresnet.weights.pretrained import Pretrained, read_pretrained
from jresnet.weights.recorded import TRAINING

Statistic = tuple[float, float, float]
UNSET: Statistic = (0.0, 0.0, 0.0)  # no standard deviation is 0
TREATMENT = ("resize", "crop", "mean", "std")  # flags that say how pictures are cut and normalised


@dataclasses.dataclass(frozen=True)
class Treatment:
    """From a picture to the net's input: on the host, then on the device.

    `resize`, `crop` and `interpolation` are those of `transform`, for other views of a picture.
    """

    transform: ImageTransform
    normalize: Callable[[Any], Any]
    resize: int
    crop: int
    interpolation: Interpolation = "bilinear"


def at_hand(argv: Sequence[str]) -> list[str]:
    """The arguments, with a folder of this machine for a net on a model hub. Raises UsageError."""
    return [hub.at_hand(argv[0]), *argv[1:]] if argv else []


def subject(argv: Sequence[str]) -> tuple[Net, dict[str, Path], list[str]]:
    """The net that a command's first argument names, defaults of its flags, and the other arguments.

    The folder of a run stands for its net and its weights, and so does a name on a model hub that
    `push` wrote. Raises UsageError.
    """
    name, *rest = at_hand(argv) or (None,)
    net = find_net(name)
    return net, {"weights": Path(name)} if name and Path(name).is_dir() else {}, rest


def treat(
    net: Net,
    loaded: Loaded,
    resize: int | None = None,
    crop: int | None = None,
    mean: Statistic = UNSET,
    std: Statistic = UNSET,
) -> Treatment:
    """The treatment of pictures for a net; arguments that are set take its place.

    A run that trained no classifier gets the middle square of its pictures, at their shorter side.
    Weights on a model hub get what their repository tells, and a line on stderr says so; with all
    arguments set it is not asked.

    Raises UsageError for statistics that do not fit the net, for a run's own code, and for a
    repository's treatment that is not known here.
    """
    recorded = loaded.recorded
    repository = None if None not in (resize, crop) and UNSET not in (mean, std) else told(loaded)
    interpolation: Interpolation = repository.square.interpolation if repository else "bilinear"
    if recorded is not None and recorded.is_classifier:
        transform = recorded.transform()
        interpolation = getattr(transform, "interpolation", "bilinear")
        sizes = recorded.sizes()
    else:
        side = None if recorded is None else min(recorded.image[:2])
        published = evaluation(net) if side is None else ResizeCenterCrop(side, side)
        square = repository.square if repository else published
        sizes = square.resize, square.crop
        transform = cut(loaded, square)
    if resize is not None or crop is not None:
        sizes = resize or sizes[0], crop or sizes[1]
        transform = cut(loaded, ResizeCenterCrop(*sizes, interpolation))
    normalize = _normalize(loaded, mean, std, repository)
    return Treatment(transform, normalize, *sizes, interpolation)


def told(loaded: Loaded) -> Pretrained | None:
    """The treatment that the repository of weights on a model hub tells, said on stderr."""
    if loaded.weights is None or not remote.is_remote(loaded.weights):
        return None
    repository = read_pretrained(loaded.weights)
    if repository is not None:
        name = shown(remote.spelled(loaded.weights))
        print(f"{name}: pictures as its config.json tells: {repository.told()}", file=sys.stderr)
    return repository


def cut(loaded: Loaded, square: ResizeCenterCrop) -> ImageTransform:
    """A picture's middle square, in as many channels as the net's images have."""
    channels = loaded.recorded.image[-1] if loaded.recorded else loaded.channels
    return Grey(square) if channels == 1 else square


def check_old_run(weights: Path, loaded: Loaded, **statistics: Any) -> None:
    """Raise UsageError for a run of a version that kept no record, unless all is given.

    The published size and statistics are hardly those that it was trained with.
    """
    missing = [f"--{name}" for name, value in statistics.items() if value in (None, UNSET)]
    if weights.is_dir() and loaded.recorded is None and missing:
        raise UsageError(
            f"run {str(weights)!r} keeps no {TRAINING}, an older version made it: give "
            f"{', '.join(missing)} as it was trained"
        )


def _normalize(
    loaded: Loaded, mean: Statistic, std: Statistic, repository: Pretrained | None
) -> Callable[[Any], Any]:
    if std == mean == UNSET and loaded.recorded is not None:
        return loaded.recorded.normalize()
    if std == mean == UNSET and loaded.channels == 3:
        return repository.normalize if repository else IMAGENET
    if min(std) <= 0:
        raise UsageError(
            f"std={std}: expected numbers above 0, for a net of {loaded.channels} channels"
        )
    if loaded.channels == 3:
        return Normalize(mean, std)
    if len({*mean}) > 1 or len({*std}) > 1:
        raise UsageError(f"mean={mean}, std={std}: expected equal numbers, the net takes grey")
    return Normalize(mean[:1], std[:1])


def evaluation(net: Net) -> ResizeCenterCrop:
    """The size of published evaluations: torchvision's on ImageNet, the images as they are on CIFAR."""
    return ResizeCenterCrop(32, 32) if net.image == (32, 32, 3) else ResizeCenterCrop()


def check_takes_pictures(net: Net) -> None:
    """Raise UsageError for video nets."""
    if len(net.image) != 3:
        size = "x".join(map(str, net.image))
        raise UsageError(f"net {net.name!r} takes clips of {size}: expected a net for images")
