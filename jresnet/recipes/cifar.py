"""Recipes of the CIFAR papers, and the nets that each paper trains by its recipe."""

import dataclasses
from typing import Literal

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.tasks.classify import Classify
from jresnet.train.loop import Plan
from jresnet.train.optim import sgd
from jresnet.train.schedules import step_decay

Family = Literal["resnet", "preactivation", "wrn", "resnext"]
Shortcut = Literal["A", "B", "C", "identity", "none"]


@dataclasses.dataclass(frozen=True)
class CifarRecipe:
    """A paper's nets and its recipe: SGD with momentum 0.9 whose rate falls in steps.

    - depth, width: layers and width of its main net.
    - weight_decay: on every parameter.
    - length, drops: of training, and where the rate falls; in epochs or, if not `in_epochs`, steps.
    - factor: the rate is multiplied by it at each of `drops`.
    - nesterov: Nesterov momentum.
    - warmup_steps: steps at a rate of 0.01 at the start; at most an eighth of the training.
    - padding: of the images that random crops are taken from.
    """

    depth: int
    width: int
    weight_decay: float
    length: int
    drops: tuple[int, ...]
    factor: float = 0.1
    nesterov: bool = False
    warmup_steps: int = 0
    padding: Literal["constant", "reflect"] = "constant"
    in_epochs: bool = True

    def experiment(
        self,
        net: Classifier,
        data: ImageData,
        *,
        learning_rate: float = 0.1,
        weight_decay: float | None = None,
        steps: int | None = None,
        accumulate: int = 1,
        steps_per_dispatch: int = 1,
    ) -> Experiment:
        """The training of a net on `data`, with random crops and flips unless that is the digits.

        Args:
            net: the net.
            data: images; its seed is also that of the initialisation.
            learning_rate: peak rate.
            weight_decay: another one than the recipe's.
            steps: another length than the recipe's; the drops are scaled with it.
            accumulate: parts that a batch is computed in.
            steps_per_dispatch: steps of one program; evaluations and logs come at multiples of it.
        """
        epoch = max(1, data.info().sizes.get("train", 50_000) // data.batch_size)
        unit = epoch if self.in_epochs else 1
        full = self.length * unit
        steps = full if steps is None else steps
        schedule = step_decay(
            learning_rate,
            [drop * unit * steps // full for drop in self.drops],
            self.factor,
            min(self.warmup_steps, steps // 8),
            warmup_rate=0.01,
        )
        decay = self.weight_decay if weight_decay is None else weight_decay
        augment = (RandomCrop(4, self.padding), RandomFlip()) if data.dataset != "digits" else ()

        def every(wanted: int) -> int:
            together = max(1, steps_per_dispatch)
            return max(1, wanted // together) * together

        plan = Plan(
            steps,
            data.seed,
            eval_every=every(steps // 64),
            save_every=every(min(1000, steps // 4)),
            log_every=every(steps // 1000),
            accumulate=accumulate,
            steps_per_dispatch=steps_per_dispatch,
        )
        optimizer = sgd(schedule, weight_decay=decay, nesterov=self.nesterov)
        return Experiment(Classify(net, data.normalize(), augment), data, optimizer, plan)


RECIPES: dict[Family, CifarRecipe] = {
    # He et al. 2015, section 4.2. The warm-up, 0.01 for about 400 steps, is for depth 110 there.
    "resnet": CifarRecipe(
        56, 16, 1e-4, 64_000, (32_000, 48_000), warmup_steps=400, in_epochs=False
    ),
    # He et al. 2016, appendix: the same, with the warm-up for every net.
    "preactivation": CifarRecipe(
        164, 16, 1e-4, 64_000, (32_000, 48_000), warmup_steps=400, in_epochs=False
    ),
    # Zagoruyko & Komodakis 2016, section 3, and their code: reflected borders.
    "wrn": CifarRecipe(28, 10, 5e-4, 200, (60, 120, 160), 0.2, nesterov=True, padding="reflect"),
    # Xie et al. 2016, section 5.3, and their code.
    "resnext": CifarRecipe(29, 64, 5e-4, 300, (150, 225), nesterov=True),
}


def cifar_net(
    family: Family,
    depth: int,
    width: int,
    cardinality: int,
    dropout: float,
    shortcut: Shortcut | None,
    num_classes: int,
    norm: object,
) -> Classifier:
    """The net of a family.

    Args:
        family: family of nets.
        depth: layers.
        width: factor of the width for wrn, channels of a path for resnext; 16 for the others.
        cardinality: paths, for resnext.
        dropout: rate of dropout, for wrn.
        shortcut: option of the shortcut, for resnet and preactivation; None for the paper's.
        num_classes: number of classes.
        norm: the norm's part.

    Raises:
        UsageError: the family does not have an argument.
    """
    if family == "resnext" and depth != 29:
        raise UsageError(f"depth {depth}: the CIFAR ResNeXt of the paper has 29 layers")
    if family in ("wrn", "resnext") and shortcut is not None:
        raise UsageError(f"shortcut {shortcut!r}: only resnet and preactivation have a choice")
    if dropout and family != "wrn":
        raise UsageError(f"dropout {dropout}: only wrn has dropout")
    if family == "wrn":
        return zoo.wrn(depth, width, dropout, num_classes, norm=norm)
    if family == "resnext":
        return zoo.cifar_resnext29(cardinality, width, num_classes, norm=norm)
    preactivation = family == "preactivation"
    if width != 16:
        raise UsageError(f"width {width}: {family} has 16 channels; wider ones are wrn")
    return zoo.cifar_resnet(
        depth,
        num_classes,
        shortcut or ("B" if preactivation else "A"),
        preactivation,
        norm=norm,
    )


def he2015(
    model: Classifier,
    data: ImageData,
    steps: int,
    seed: int = 0,
    learning_rate: float = 0.1,
    weight_decay: float = 1e-4,
    augment: bool | None = None,
) -> Experiment:
    """A training as He et al. 2015 trained on CIFAR-10 (arXiv:1512.03385, section 4.2).

    SGD with momentum 0.9 and weight decay on every parameter. The rate is 0.01 for a short warm-up
    of 400 steps, or an eighth of a short run; it is `learning_rate` if that is lower. Then it is
    `learning_rate`, divided by 10 at 1/2 and 3/4 of the steps: 32k and 48k of the paper's 64k.

    Args:
        model: the net.
        data: images.
        steps: training steps.
        seed: seed of the initialisation.
        learning_rate: peak rate.
        weight_decay: weight decay.
        augment: random crops of images padded by 4, and flips; by default for all data but the
            digits.
    """
    warmup = min(400, steps // 8)
    schedule = step_decay(
        learning_rate,
        (steps // 2, steps * 3 // 4),
        warmup_steps=warmup,
        warmup_rate=min(0.01, learning_rate),
    )
    if augment is None:
        augment = data.dataset != "digits"
    task = Classify(model, data.normalize(), (RandomCrop(4), RandomFlip()) if augment else ())
    plan = Plan(
        steps,
        seed,
        eval_every=max(1, steps // 20),
        save_every=max(1, min(1000, steps // 3)),
        log_every=max(1, steps // 1000),
        final_splits=("train", "test"),
    )
    return Experiment(task, data, sgd(schedule, weight_decay=weight_decay), plan)
