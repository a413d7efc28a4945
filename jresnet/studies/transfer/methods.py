"""Methods of transfer, each as one training of a net on another set."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import optax

from jresnet.data.augment.mix import Mixup
from jresnet.data.features import FeatureData
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads import Classifier, Precomputed
from jresnet.studies.transfer.start import (
    Factors,
    extractor,
    layer_factors,
    without_head,
)
from jresnet.tasks.classify import Classify
from jresnet.tasks.distil import START, TEACHER, Anchored, Distil
from jresnet.train.hyperrule import HyperRule
from jresnet.train.loop import Plan
from jresnet.train.optim import by_layer, sgd, thawed
from jresnet.train.schedules import cosine
from jresnet.weights.nets import Loaded

Method = Literal[
    "scratch",
    "plain",
    "probe",
    "finetune",
    "lpft",
    "discriminative",
    "gradual",
    "l2sp",
    "distil",
    "hints",
]
NAMES: dict[str, str] = {
    "scratch": "from scratch",
    "plain": "plain twin from scratch",
    "probe": "linear probe",
    "finetune": "fine-tuned",
    "lpft": "probe, then fine-tuned",
    "discriminative": "discriminative rates",
    "gradual": "gradual unfreezing",
    "l2sp": "L2-SP",
    "distil": "distilled logits",
    "hints": "distilled features",
}
STEP_DOWN = 2.6  # of the rate from part to part towards the image (arXiv:1801.06146, section 3.2)
HINTS = 1.0  # weight of the features that the trained net shows


@dataclasses.dataclass(frozen=True)
class Build:
    """Builds the training of each method on one set of examples.

    - data, plan, normalize, augment: what all share.
    - image: `[*spatial, channels]` of the net's input.
    - rule: the BiT-HyperRule, if it is used.
    - model, scratch: the net with its frozen parts and a new head, and without frozen parts.
    - source: the trained net; None for no method but from scratch and distilled logits.
    - teacher: a net trained on this set; None for no distilled logits.
    - rate, scratch_rate: peak rates from the trained net and from scratch.
    - factors: of the rates, by patterns of parameters' paths.
    - rising: lowest and highest rate of a range test in the place of every schedule.
    """

    data: ImageData
    plan: Plan
    normalize: Callable[[Any], Any]
    augment: tuple[Any, ...]
    image: tuple[int, ...]
    rule: HyperRule | None
    model: Classifier
    scratch: Classifier
    source: Loaded | None
    teacher: Loaded | None
    rate: float
    scratch_rate: float
    weight_decay: float
    factors: Factors
    rising: tuple[float, float] | None = None

    def possible(self, method: Method) -> bool:
        """Whether there is the trained net that the method needs."""
        if method == "distil":
            return self.teacher is not None
        return method in ("scratch", "plain") or self.source is not None

    def experiment(self, method: Method) -> Experiment:
        """The training by one method. Raises UsageError for rates that find no parameter."""
        experiment = self.training(method)
        if self.rising is None:
            return experiment
        plan = dataclasses.replace(self.plan, eval_every=None, log_every=1)
        return dataclasses.replace(experiment, plan=plan, may_diverge=True, keep_outputs=())

    def training(self, method: Method) -> Experiment:
        """The training by one method, as it is planned."""
        if method in ("scratch", "plain", "distil", "hints"):
            return self.fresh(method)
        assert self.source is not None
        if method == "probe":
            return self.probe(self.source)
        start = without_head(self.source.variables)
        decay = 0.0 if method == "l2sp" else self.weight_decay
        constants = None
        task: Classify = Classify(self.model, self.normalize, self.augment, mix=self.mix)
        if method == "l2sp":
            task = Anchored(self.model, self.normalize, self.augment, mix=self.mix)
            constants = {START: start["params"]["backbone"]}
        factors = (*self.factors, *(self.falling() if method == "discriminative" else ()))
        optimizer = self.tuned(method, decay)
        optimizer = by_layer(optimizer, layer_factors(self.model, self.image, factors))
        return Experiment(
            task,
            self.data,
            optimizer,
            self.plan,
            start,
            keep_outputs=("test",),
            constants=constants,
        )

    def tuned(self, method: Method, decay: float) -> optax.GradientTransformation:
        """SGD from the trained net, parts of it from later steps on."""

        def build(schedule: optax.Schedule) -> optax.GradientTransformation:
            return sgd(schedule, weight_decay=decay)

        if self.rising is not None:  # one rise, of all parts together
            return build(self.schedule(self.rate, self.plan.steps))
        if method == "gradual":
            return thawed(build, self.schedule(self.rate, self.plan.steps), self.thawing())
        if method == "lpft":
            half = max(1, self.plan.steps // 2)
            parts = [self.schedule(self.rate, steps) for steps in (half, self.plan.steps - half)]
            halves = optax.join_schedules(parts, [half])
            return thawed(build, halves, (("^head/", 0), (".*", half)))
        return build(self.schedule(self.rate, self.plan.steps))

    def fresh(self, method: Method) -> Experiment:
        """The training of fresh weights, with a teacher or without one."""
        model = zoo.plain(self.scratch) if method == "plain" else self.scratch
        task: Classify = Classify(model, self.normalize, self.augment, mix=self.mix)
        constants = None
        teacher = self.teacher if method == "distil" else self.source
        if method in ("distil", "hints"):
            assert teacher is not None
            task = Distil(
                self.scratch,
                self.normalize,
                self.augment,
                mix=self.mix,
                teacher=teacher.classifier,
                share=float(method == "distil"),
                hints=HINTS if method == "hints" else 0.0,
            )
            constants = {TEACHER: dict(teacher.variables)}
        schedule = self.schedule(self.scratch_rate, self.plan.steps)
        optimizer = sgd(schedule, weight_decay=self.weight_decay)
        optimizer = by_layer(optimizer, layer_factors(model, self.image, ()))
        return Experiment(
            task,
            self.data,
            optimizer,
            self.plan,
            keep_outputs=("test",),
            constants=constants,
        )

    def probe(self, source: Loaded) -> Experiment:
        """The training of a linear layer on features that are computed once."""
        classes = self.model.num_classes
        task = Classify(Classifier(Precomputed(), classes), as_they_are)
        features = FeatureData(self.data, extractor(source, self.normalize))
        steps = self.plan.steps
        rate = cosine(0.1, steps) if self.rising is None else self.schedule(0.1, steps)
        optimizer = sgd(rate, weight_decay=0.01)
        return Experiment(task, features, optimizer, self.plan, keep_outputs=("test",))

    @property
    def mix(self) -> Mixup | None:
        """The mixing of images that the BiT-HyperRule asks for."""
        return Mixup(self.rule.mixup) if self.rule and self.rule.mixup else None

    def schedule(self, peak: float, steps: int) -> optax.Schedule:
        """The rate over `steps`: half a cosine, or the BiT-HyperRule's ramp and drops."""
        if self.rising is not None:
            low, high = self.rising
            return optax.exponential_decay(low, max(1, steps - 1), high / low)
        if self.rule is None:
            return cosine(peak, max(1, steps))
        return self.rule.scaled(max(1, steps)).schedule(peak)

    def parts(self) -> list[str]:
        """The parts of the backbone, from the image on."""
        return list(self.model.backbone.training(True))

    def falling(self) -> Factors:
        """Rates that fall from part to part towards the image, the head's whole."""
        parts = self.parts()[::-1]
        rules = [(f"^backbone/{part}/", STEP_DOWN**-place) for place, part in enumerate(parts, 1)]
        return [("^head/", 1.0), *rules, (".*", 1 / STEP_DOWN)]

    def thawing(self) -> list[tuple[str, int]]:
        """The step from which each part trains: the head at once, the last part of all halfway."""
        parts = self.parts()[::-1]
        every = self.plan.steps / 2 / len(parts)
        rules = [
            (f"^backbone/{part}/", round(place * every)) for place, part in enumerate(parts, 1)
        ]
        return [("^head/", 0), *rules, (".*", round(every))]


def as_they_are(features: Any) -> Any:
    """Features need no normalisation."""
    return features
