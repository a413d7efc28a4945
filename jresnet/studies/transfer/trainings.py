"""The trainings of a study of transfer: every method on each number of examples."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.crops import ResizeCenterCrop, ResizeSquare
from jresnet.data.fit import Fit
from jresnet.data.info import Dataset
from jresnet.data.normalisation import Statistics, normalisation
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.few import PerClass
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads import Classifier
from jresnet.studies.transfer.methods import Build, Method
from jresnet.studies.transfer.start import for_classes
from jresnet.train.hyperrule import HyperRule, hyperrule
from jresnet.train.loop import Plan
from jresnet.weights.nets import Loaded, Net


def trainings(
    setting: "Setting",
    dataset: Dataset,
    counts: Sequence[int | None],
    methods: Sequence[Method],
    seeds: int,
) -> dict[str, Experiment]:
    """Experiments by the name METHOD-COUNT-seedN.

    Args:
        setting: what they share.
        dataset: the other set.
        counts: training examples a class; None for all.
        methods: methods to run; without weights, only from scratch is possible.
        seeds: repetitions, each with its own draw of examples.
    """
    runs: dict[str, Experiment] = {}
    for count in counts:
        for seed in range(seeds):
            few = dataset if count is None else PerClass(dataset, count, seed)
            possible = setting.experiments(ImageData(few, 1, seed=seed), methods)
            runs |= {
                f"{method}-{count or 'all'}-seed{seed}": experiment
                for method, experiment in possible.items()
            }
    return runs


@dataclasses.dataclass(frozen=True)
class Setting:
    """Everything that the trainings of a study share.

    - net, source, model: as `starting_net` returns them; `model` has the new head.
    - bit: whether the BiT-HyperRule sets length, batch, rates and crops.
    - steps, batch_size: instead of the preset's; None for those.
    - rate, scratch_rate: peak rate of fine-tuning (None for the preset's), and from scratch.
    - weight_decay: on every parameter, without BiT.
    - factors: factors of the rate by patterns of parameters' paths.
    - size: side of the images; None for their own, or the net's.
    - flip: whether images are mirrored at random; None for colour images only.
    - statistics: of the images that weights in a file were trained with.
    - teacher: a net trained on this very set; None for none.
    - rising: lowest and highest rate of a range test in the place of every schedule.
    """

    net: Net
    source: Loaded | None
    model: Classifier
    bit: bool
    steps: int | None
    batch_size: int | None
    rate: float | None
    scratch_rate: float
    weight_decay: float
    factors: tuple[tuple[str, float], ...]
    size: int | None
    flip: bool | None
    statistics: Statistics
    teacher: Loaded | None = None
    rising: tuple[float, float] | None = None

    def experiments(self, data: ImageData, methods: Sequence[Method]) -> dict[Method, Experiment]:
        """One experiment for each method that is possible, on the same examples in the same order."""
        info = data.info()
        examples, (height, width, channels) = info.sizes["train"], info.image_shape
        rule = hyperrule(examples, height or 224, width or 224) if self.bit else None
        rule = rule.scaled(self.steps) if rule and self.steps else rule
        batch = self.batch_size or (rule.batch_size if rule else 32)
        data = self.resized(dataclasses.replace(data, batch_size=min(batch, examples)), rule)
        steps = rule.steps if rule else self.steps or 400
        plan = Plan(steps, data.seed, eval_every=max(1, steps // 8), save_every=max(1, steps // 2))
        side = data.example_batch["image"].shape[1]
        augment: tuple[Any, ...] = () if rule else (RandomCrop(max(1, side // 8)),)
        if self.flip or (self.flip is None and channels == 3):
            augment = (*augment, RandomFlip())
        build = Build(
            data=data,
            plan=plan,
            normalize=self.normalisation(data),
            augment=augment,
            image=(side, side, self.channels),
            rule=rule,
            model=self.model,
            scratch=for_classes(self.model, info.num_classes),
            source=self.source,
            teacher=self.teacher,
            rate=self.rate or (rule.learning_rate if rule else 0.01),
            scratch_rate=self.scratch_rate,
            weight_decay=0.0 if rule else self.weight_decay,
            factors=self.factors,
            rising=self.rising,
        )
        return {method: build.experiment(method) for method in methods if build.possible(method)}

    def resized(self, data: ImageData, rule: HyperRule | None) -> ImageData:
        """The data with images of one size: cut once and kept, or with BiT at random each time."""
        if rule is not None:
            crop = self.size or rule.crop
            resize = round(crop * rule.resize / rule.crop)
            cut, whole = ResizeSquare(resize, crop), ResizeSquare(crop, crop)
            return dataclasses.replace(data, train_transform=cut, eval_transform=whole)
        if self.size is None and data.info().fixed_shape is not None:
            return data
        side = self.size or self.net.image[0]
        cut = ResizeCenterCrop(side, side) if self.channels == 3 else Fit((side, side, 1))
        return dataclasses.replace(
            data, train_transform=cut, eval_transform=cut, transform_once=True
        )

    @property
    def channels(self) -> int:
        """Input channels of the net."""
        return 3 if self._guide is None else self._guide.channels

    @property
    def _guide(self) -> Loaded | None:
        """The net whose images decide how these are normalised."""
        return self.source or self.teacher

    def normalisation(self, data: ImageData) -> Callable[[Any], Any]:
        """A function from the set's images to the net's input; grey images get the net's channels.

        Raises UsageError for coloured images and a net for grey ones.
        """
        colours = data.example_batch["image"].shape[-1]
        if colours not in (1, self.channels):
            raise UsageError(
                f"weights: a net for {self.channels} channels, the images have {colours}"
            )
        guide = self._guide
        if guide is not None and guide.recorded is not None:
            chosen = guide.recorded.normalize()
        else:
            chosen = normalisation(self.statistics, data, self.channels)
        recorded = None if self.teacher is None else self.teacher.recorded
        if recorded is not None and recorded.normalize() != chosen:
            raise UsageError(
                f"teacher={recorded.folder.name}: normalised by {recorded.normalize()}; expected "
                f"{chosen}, as the net is"
            )
        return chosen
