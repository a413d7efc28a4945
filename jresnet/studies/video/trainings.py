"""The trainings of the study of clips: the net, its plain twin, and controls without motion."""

from collections.abc import Mapping
from typing import NamedTuple

from jresnet.data.info import Dataset
from jresnet.data.sources.moving_digits import CLASSES, DIRECTIONS
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.recipes.video import Seen, VideoRecipe
from jresnet.studies.video.nets import BLOCKS, NetName, Start, build, small_2d
from jresnet.tasks.classify_clips import Parts

MAIN, PLAIN = "3-D", "plain 3-D"
SHUFFLED, ONE = "3-D, shuffled frames", "2-D, one frame"


class Subject(NamedTuple):
    """A net and the frames that it sees."""

    net: Classifier
    seen: Seen = "ordered"


def subjects(
    name: NetName,
    num_classes: int,
    blocks: int | None = None,
    plain: bool = True,
    controls: bool = True,
) -> dict[str, Subject]:
    """The nets of a study by their titles.

    `plain` adds the twin without shortcuts, `controls` the same net on shuffled frames and, for net
    small, one of the same size without the axis of time on single frames.
    """
    net = build(name, num_classes, blocks)
    title = "" if name == "small" else f" {name}"
    nets = {f"{MAIN}{title}": Subject(net)}
    if controls and name == "small":
        nets[ONE] = Subject(small_2d(num_classes, blocks or BLOCKS), "one")
    if controls:
        nets[SHUFFLED] = Subject(net, "shuffled")
    if plain:
        nets[f"{PLAIN}{title}"] = Subject(zoo.plain(net))
    return nets


def parts_of(classes: tuple[str, ...]) -> Parts:
    """Digit and direction, where all classes are those of the moving digits."""
    if not classes or not set(classes) <= set(CLASSES):
        return ()
    names = list(DIRECTIONS)
    digits, directions = zip(*(one.split(" ", 1) for one in classes), strict=True)
    return (
        ("digit", tuple(int(digit) for digit in digits)),
        ("direction", tuple(names.index(direction) for direction in directions)),
    )


def trainings(
    recipe: VideoRecipe,
    videos: Dataset,
    nets: Mapping[str, Subject],
    seeds: range,
    start: Start | None = None,
    workers: int = 0,
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN, each from `start` or fresh."""
    parts = parts_of(videos.info().class_names)
    start = start or Start()
    runs = {}
    for name, (net, seen) in nets.items():
        for seed in seeds:
            data = recipe.data(videos, seen, seed=seed, workers=workers)
            runs[f"{name}-seed{seed}"] = recipe.experiment(
                net, data, start.variables, parts, start.normalize
            )
    return runs
