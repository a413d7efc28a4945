"""Residual nets on CIFAR-10, each family with its paper's recipe.

python -m experiments.cifar10 --depth 110
python -m experiments.cifar10 --family wrn --depth 28 --width 10 --dropout 0.3
"""

import dataclasses
from typing import Literal

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.run.arguments import BatchSize, DataDir, LearningRate, Seed
from jresnet.run.launch import launch
from jresnet.tasks.classify import Classify
from jresnet.train.loop import Plan
from jresnet.train.optim import sgd
from jresnet.train.schedules import step_decay

Family = Literal["resnet", "preactivation", "wrn", "resnext"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A paper's recipe; `length` and `drops` count epochs or, if not `in_epochs`, steps."""

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


RECIPES: dict[Family, Recipe] = {
    # He et al. 2015, section 4.2. The warm-up, 0.01 for about 400 steps, is for depth 110 there.
    "resnet": Recipe(56, 16, 1e-4, 64_000, (32_000, 48_000), warmup_steps=400, in_epochs=False),
    # He et al. 2016, appendix: the same, with the warm-up for every net.
    "preactivation": Recipe(
        164, 16, 1e-4, 64_000, (32_000, 48_000), warmup_steps=400, in_epochs=False
    ),
    # Zagoruyko & Komodakis 2016, section 3, and their code: reflected borders.
    "wrn": Recipe(28, 10, 5e-4, 200, (60, 120, 160), 0.2, nesterov=True, padding="reflect"),
    # Xie et al. 2016, section 5.3, and their code.
    "resnext": Recipe(29, 64, 5e-4, 300, (150, 225), nesterov=True),
}


def cifar10(
    family: Family = "resnet",
    depth: int | None = None,
    width: int | None = None,
    cardinality: int = 8,
    dropout: float = 0.0,
    shortcut: Literal["A", "B", "C", "identity", "none"] | None = None,
    residual: bool = True,
    dataset: str = "cifar10",
    steps: int | None = None,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 0.1,
    weight_decay: float | None = None,
    batch_norm_group: int | None = None,
    accumulate: int = 1,
    on_device: bool | None = None,
    steps_per_dispatch: int = 1,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> Experiment:
    """One net on CIFAR-10 (or a set like it) with the recipe of its paper.

    Expected test error in %, from the papers: resnet (He et al. 2015, arXiv:1512.03385)
    20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43 (mean of 5: 6.61), 1202: 7.93.
    preactivation (He et al. 2016, arXiv:1603.05027) 110: 6.37, 164: 5.46, 1001: 4.92.
    wrn (arXiv:1605.07146) 16-8: 4.27, 40-4: 4.53, 28-10: 4.00, with dropout 0.3: 3.89.
    resnext (arXiv:1611.05431) 29, 8x64d: 3.65, 16x64d: 3.58.

    Deviations: images are normalised by channel, not by pixel; all 50,000 training images are
    trained on; every resnet has the warm-up that the paper used at 110 layers.

    Args:
        family: which paper's nets and recipe.
        depth: layers; by default 56, 164, 28 or 29.
        width: WRN's k (10) or a ResNeXt path's channels (64).
        cardinality: ResNeXt's number of paths.
        dropout: between the convolutions of a WRN block.
        shortcut: option A, B, C of the paper, identity only, or none; by default A, and B for
            pre-activation.
        residual: no-residual trains the plain twin.
        dataset: cifar10, cifar100, digits, or a folder of class folders.
        steps: training steps instead of the recipe's; its drops are scaled with them.
        weight_decay: on every parameter, instead of the recipe's.
        batch_norm_group: examples behind each BatchNorm statistic; by default the whole batch.
        accumulate: parts that a batch is computed in, one after the other.
        on_device: the training images lie on the device as a whole; by default on accelerators.
        steps_per_dispatch: steps that are one program; evaluations and what is logged then come at
            multiples of it.
    """
    recipe = RECIPES[family]
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed, on_device=on_device)
    info = data.info()
    epoch = max(1, info.sizes.get("train", 50_000) // batch_size)
    unit = epoch if recipe.in_epochs else 1
    full = recipe.length * unit
    steps = full if steps is None else steps
    schedule = step_decay(
        learning_rate,
        [drop * unit * steps // full for drop in recipe.drops],
        recipe.factor,
        min(recipe.warmup_steps, steps // 8),
        warmup_rate=0.01,
    )
    optimizer = sgd(
        schedule,
        weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
        nesterov=recipe.nesterov,
    )
    norm = part(BatchNorm, group=batch_norm_group)
    depth = recipe.depth if depth is None else depth
    width = recipe.width if width is None else width
    net = build(family, depth, width, cardinality, dropout, shortcut, info.num_classes, norm)
    augment = () if dataset == "digits" else (RandomCrop(4, recipe.padding), RandomFlip())
    task = Classify(net if residual else zoo.plain(net), data.normalize(), augment)

    def every(wanted: int) -> int:
        together = max(1, steps_per_dispatch)
        return max(1, wanted // together) * together

    plan = Plan(
        steps,
        seed,
        eval_every=every(steps // 64),
        save_every=every(min(1000, steps // 4)),
        log_every=every(steps // 1000),
        accumulate=accumulate,
        steps_per_dispatch=steps_per_dispatch,
    )
    return Experiment(task, data, optimizer, plan)


def build(
    family: Family,
    depth: int,
    width: int,
    cardinality: int,
    dropout: float,
    shortcut: Literal["A", "B", "C", "identity", "none"] | None,
    num_classes: int,
    norm: object,
) -> Classifier:
    """The net of a family. Raises UsageError for an argument that the family does not have."""
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


if __name__ == "__main__":
    launch(cifar10)
