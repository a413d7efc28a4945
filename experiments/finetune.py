"""Transfer learning: a trained net on another set, against training from scratch.

    python -m experiments.finetune --weights resnet50.pth --net resnet50 --dataset photos/
    python -m experiments.finetune --weights runs/cifar10 --net cifar_resnet --depth 56 --dataset xrays.npz

Few examples a class, more, and all of them, as Kornblith et al. 2018 (arXiv:1805.08974) compare on
twelve sets; what transfers from which layer: Yosinski et al. 2014 (arXiv:1411.1792).
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.augment.mix import Mixup
from jresnet.data.crops import ResizeCenterCrop, ResizeSquare
from jresnet.data.features import FeatureData
from jresnet.data.fit import Fit
from jresnet.data.normalisation import Statistics, normalisation
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.few import PerClass
from jresnet.data.sources.resolve import resolve
from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Study
from jresnet.models.heads import Classifier, Given
from jresnet.run.launch import launch
from jresnet.studies.transfer.conclude import conclude
from jresnet.studies.transfer.start import (
    extractor,
    for_classes,
    layer_factors,
    parse_factors,
    without_head,
)
from jresnet.tasks.classify import Classify
from jresnet.train.hyperrule import HyperRule, hyperrule
from jresnet.train.loop import Plan
from jresnet.train.optim import by_layer, sgd
from jresnet.train.schedules import cosine
from jresnet.weights.nets import Loaded, Net, load_net, net_of

Method = Literal["scratch", "probe", "finetune"]


def finetune(
    weights: Path | None = None,
    net: str = "cifar_resnet",
    depth: int | None = None,
    width: int | None = None,
    dataset: str = "digits",
    per_class: tuple[int, ...] = (25, 100),
    whole: bool = True,
    methods: tuple[Method, ...] = ("scratch", "probe", "finetune"),
    preset: Literal["short", "bit"] = "short",
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    scratch_learning_rate: float = 0.01,
    weight_decay: float = 5e-4,
    freeze: tuple[str, ...] = (),
    rates: tuple[str, ...] = (),
    size: int | None = None,
    flip: bool | None = None,
    statistics: Statistics = "imagenet",
    seeds: int = 1,
    data_dir: Path | None = None,
) -> Study:
    """A trained net on another set: from scratch, linear probe, fine-tuned; few examples to all.

    Every method sees the same examples in the same order. From scratch and fine-tuned the net
    trains for as many steps, by SGD with momentum 0.9 under half a cosine, with random crops. The
    probe is a linear layer on the frozen net's pooled features, which are computed once and
    standardised. The preset bit is the BiT-HyperRule (Kolesnikov et al. 2019, arXiv:1912.11370,
    section 3.3), for what is fine-tuned and from scratch alike; its batches are cut to the set.

    The report has the table, accuracy against examples, confusion matrices and the pictures that
    fine-tuning gets wrong; for two classes also ROC AUC, sensitivity and specificity, the second
    class (in order of names) being the positive one.

    Args:
        weights: checkpoint in torch's layout or a run's folder; without it, from scratch only.
        net: zoo function that weights in a file are for; a run knows its own net.
        depth: its argument, for the CIFAR nets.
        width: its argument, for wrn and cifar_resnext29.
        dataset: a folder of class folders, an .npz as MedMNIST's, digits, or a TFDS name.
        per_class: training examples a class, one row of trainings each.
        whole: also train on the whole training split.
        methods: which to run.
        preset: short (400 steps of 32 at a rate of 0.01) or bit.
        steps: training steps instead of the preset's.
        batch_size: examples a step instead of the preset's; at most the whole set.
        learning_rate: peak rate of fine-tuning instead of the preset's.
        scratch_learning_rate: peak rate from scratch, with the preset short.
        weight_decay: on every parameter, with the preset short.
        freeze: parts of the backbone that keep weights and BatchNorm statistics: stem, stage1, ...
        rates: REGEX=FACTOR over parameter paths, the first that fits; backbone/stage1=0.1.
        size: pixels of either side; by default the images' own where all agree, or the net's.
        flip: mirror images at random; by default for colour images.
        statistics: what the images of weights in a file were normalised by.
        seeds: repetitions, each with its own draw of examples and initialisation.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    given = {k: v for k, v in (("depth", depth), ("width", width)) if v is not None}
    found, given = net_of(weights, net, given)
    source = None if weights is None else load_net(found, given, weights, new_head=True)
    model = found.build(**given) if source is None else source.model
    base = resolve(dataset, data_dir)
    classes = base.info().class_names
    setting = Setting(
        net=found,
        source=source,
        model=for_classes(model, len(classes), freeze),
        bit=preset == "bit",
        steps=steps,
        batch_size=batch_size,
        rate=learning_rate,
        scratch_rate=scratch_learning_rate,
        weight_decay=weight_decay,
        factors=parse_factors(rates),
        size=size,
        flip=flip,
        statistics=statistics,
    )
    runs: dict[str, Experiment] = {}
    for count in [*sorted(per_class), *([None] if whole else [])]:
        for seed in range(seeds):
            few = base if count is None else PerClass(base, count, seed)
            made = setting.experiments(ImageData(few, 1, seed=seed))
            runs |= {f"{m}-{count or 'all'}-seed{seed}": made[m] for m in methods if m in made}
    if not runs:
        raise UsageError(f"methods {' '.join(methods)}: all but scratch need --weights")
    return Study(runs, functools.partial(conclude, runs, classes))


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all trainings of a study share; the rest of the names as `finetune`'s arguments."""

    net: Net
    source: Loaded | None
    model: Classifier  # with the new head
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
        """One experiment for each method there can be, on the same examples in the same order."""
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

        made: dict[Method, Experiment] = {
            "scratch": training(for_classes(self.model, info.num_classes), self.scratch_rate)
        }
        if self.source is not None:
            peak = self.rate or (rule.learning_rate if rule else 0.01)
            start = without_head(self.source.variables)
            made["finetune"] = training(self.model, peak, start)
            probe = Classify(Classifier(Given(), info.num_classes), lambda features: features)
            features = FeatureData(data, extractor(self.source, normalize))
            optimizer = sgd(cosine(0.1, steps), weight_decay=0.01)
            made["probe"] = Experiment(probe, features, optimizer, plan, keep_outputs=("test",))
        return made

    def resized(self, data: ImageData, rule: HyperRule | None) -> ImageData:
        """Images of one size: cut once and held, or for BiT at random each time."""
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
        """From the set's images to as many channels as the net takes; grey ones become any number.

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


if __name__ == "__main__":
    launch(finetune)
