"""The trainings of a study of transfer: from scratch, on fixed features, and fine-tuned."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.augment.mix import Mixup
from jresnet.data.crops import ResizeCenterCrop, ResizeSquare
from jresnet.data.features import FeatureData
from jresnet.data.fit import Fit
from jresnet.data.info import Dataset
from jresnet.data.normalisation import Statistics, normalisation
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.few import PerClass
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads import Classifier, Precomputed
from jresnet.studies.transfer.start import (
    extractor,
    for_classes,
    layer_factors,
    without_head,
)
from jresnet.tasks.classify import Classify
from jresnet.train.hyperrule import HyperRule, hyperrule
from jresnet.train.loop import Plan
from jresnet.train.optim import by_layer, sgd
from jresnet.train.schedules import cosine
from jresnet.weights.nets import Loaded, Net

Method = Literal["scratch", "probe", "finetune"]


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
            possible = setting.experiments(ImageData(few, 1, seed=seed))
            runs |= {
                f"{method}-{count or 'all'}-seed{seed}": possible[method]
                for method in methods
                if method in possible
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

    def experiments(self, data: ImageData) -> dict[Method, Experiment]:
        """One experiment for each possible method, on the same examples in the same order."""
        info = data.info()
        examples, (height, width, channels) = info.sizes["train"], info.image_shape
        rule = hyperrule(examples, height or 224, width or 224) if self.bit else None
        rule = rule.scaled(self.steps) if rule and self.steps else rule
        batch = self.batch_size or (rule.batch_size if rule else 32)
        data = self.resized(dataclasses.replace(data, batch_size=min(batch, examples)), rule)
        normalize = self.normalisation(data)

        steps = rule.steps if rule else self.steps or 400
        plan = Plan(steps, data.seed, eval_every=max(1, steps // 8), save_every=max(1, steps // 2))
        side = data.example_batch["image"].shape[1]
        augment: tuple[Any, ...] = () if rule else (RandomCrop(max(1, side // 8)),)
        if self.flip or (self.flip is None and channels == 3):
            augment = (*augment, RandomFlip())
        mix = Mixup(rule.mixup) if rule and rule.mixup else None

        def training(model: Classifier, peak: float, start: Any = None) -> Experiment:
            schedule = rule.schedule(peak) if rule else cosine(peak, steps)
            factors = layer_factors(
                model, (side, side, self.channels), self.factors if start else ()
            )
            decay = 0.0 if rule else self.weight_decay
            optimizer = by_layer(sgd(schedule, weight_decay=decay), factors)
            task = Classify(model, normalize, augment, mix=mix)
            return Experiment(task, data, optimizer, plan, start, keep_outputs=("test",))

        experiments: dict[Method, Experiment] = {
            "scratch": training(for_classes(self.model, info.num_classes), self.scratch_rate)
        }
        if self.source is not None:
            peak = self.rate or (rule.learning_rate if rule else 0.01)
            start = without_head(self.source.variables)
            experiments["finetune"] = training(self.model, peak, start)
            probe = Classify(Classifier(Precomputed(), info.num_classes), lambda features: features)
            features = FeatureData(data, extractor(self.source, normalize))
            optimizer = sgd(cosine(0.1, steps), weight_decay=0.01)
            experiments["probe"] = Experiment(
                probe, features, optimizer, plan, keep_outputs=("test",)
            )
        return experiments

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
        return 3 if self.source is None else self.source.channels

    def normalisation(self, data: ImageData) -> Callable[[Any], Any]:
        """A function from the set's images to the net's input; grey images get the net's channels.

        Raises UsageError for coloured images and a net for grey ones.
        """
        colours = data.example_batch["image"].shape[-1]
        if colours not in (1, self.channels):
            raise UsageError(
                f"weights: a net for {self.channels} channels, the images have {colours}"
            )
        if self.source is not None and self.source.recorded is not None:
            return self.source.recorded.normalize()
        return normalisation(self.statistics, data, self.channels)
