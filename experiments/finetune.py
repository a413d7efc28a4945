"""Transfer learning: a trained net on another set, against training from scratch.

    python -m experiments.finetune --weights resnet50.pth --net resnet50 --dataset photos/
    python -m experiments.finetune --weights runs/cifar10 --dataset xrays.npz --shifted \\
        --methods plain scratch probe finetune lpft discriminative gradual l2sp hints
    python -m experiments.finetune --weights runs/cifar10 --net cifar_resnet --depth 56 --dataset xrays.npz

It compares few examples a class, more, and all, as Kornblith et al. 2018 (arXiv:1805.08974) on
twelve sets. Yosinski et al. 2014 (arXiv:1411.1792) study the transfer of single layers.
"""

import functools
from pathlib import Path
from typing import Literal

from jresnet.data.normalisation import Statistics
from jresnet.data.sources.resolve import resolve
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.run.arguments import DataDir, DatasetName, NetName
from jresnet.run.launch import launch
from jresnet.studies.transfer.methods import Method
from jresnet.studies.transfer.rates import HIGHEST, LOWEST, conclude_rates
from jresnet.studies.transfer.report import conclude
from jresnet.studies.transfer.start import load_teacher, parse_factors, starting_net
from jresnet.studies.transfer.trainings import Setting, trainings


def finetune(
    weights: Path | None = None,
    net: NetName = "cifar_resnet",
    depth: int | None = None,
    width: int | None = None,
    dataset: DatasetName = "digits",
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
    statistics: Statistics | None = None,
    teacher: Path | None = None,
    shifted: bool = False,
    find_rate: bool = False,
    seeds: int = 1,
    data_dir: DataDir = None,
) -> Study:
    """A trained net on another set: from scratch, linear probe, fine-tuned; few examples to all.

    Every method sees the same examples in the same order. From scratch and fine-tuned the net
    trains for as many steps, by SGD with momentum 0.9 under half a cosine, with random crops. The
    probe is a linear layer on the frozen net's pooled features, which are computed once and
    standardised. The preset bit is the BiT-HyperRule (Kolesnikov et al. 2019, arXiv:1912.11370,
    section 3.3), for fine-tuning and from scratch; its batches are no larger than the set.

    The report has the table, accuracy against examples, confusion matrices and the pictures that
    fine-tuning gets wrong; for two classes also ROC AUC, sensitivity and specificity, the second
    class (in order of names) being the positive one.

    Args:
        weights: checkpoint in torch's layout or a run's folder; without it, from scratch only.
        depth: argument of the zoo function, for the CIFAR nets.
        width: argument of the zoo function, for wrn and cifar_resnext29.
        per_class: training examples a class, one row of trainings each.
        whole: also train on the whole training split.
        methods: methods to run; also plain (the plain twin from scratch), lpft (linear probe, then
            fine-tuned, arXiv:2202.10054), discriminative (rates that fall towards the image) and
            gradual (unfreezing from the head on; both arXiv:1801.06146), l2sp (arXiv:1802.01483),
            distil (fresh weights, a teacher's probabilities, arXiv:1503.02531) and hints (fresh
            weights, the trained net's features, arXiv:1412.6550). Deviation: while only the head
            trains, BatchNorm's statistics follow the set already.
        preset: short (400 steps of 32 at a rate of 0.01) or bit.
        steps: training steps instead of the preset's.
        batch_size: examples a step instead of the preset's; at most the whole set.
        learning_rate: peak rate of fine-tuning instead of the preset's.
        scratch_learning_rate: peak rate from scratch, with the preset short.
        weight_decay: weight decay on every parameter, with the preset short.
        freeze: parts of the backbone that keep weights and BatchNorm statistics: stem, stage1, ...
        rates: REGEX=FACTOR over parameter paths, the first that fits; backbone/stage1=0.1.
        size: pixels of either side; by default the images' own where all agree, or the net's.
        flip: mirror images at random; by default for colour images.
        statistics: mean and deviation that images were normalised by for weights in a file; imagenet
            by default. A run knows its own, unless an older version made it.
        teacher: checkpoint or run's folder of a net trained on this very set, for distil; a run of
            this study is one.
        shifted: also measure all nets on the test pictures with more brightness, blur, noise and
            JPEG, five strengths each (arXiv:1903.12261).
        find_rate: train each method once with a rate that rises from 0.00001 to 10, all parts from
            the first step on, and suggest one by the loss (arXiv:1506.01186), instead of the study.
        seeds: repetitions, each with its own draw of examples and initialisation.
    """
    if "distil" in methods and teacher is None:
        raise UsageError("methods distil: expected --teacher, a net trained on this set")
    base = resolve(dataset, data_dir)
    classes = base.info().class_names
    arguments = {"depth": depth, "width": width}
    zoo_net, source, model = starting_net(weights, net, arguments, len(classes), freeze, statistics)
    setting = Setting(
        net=zoo_net,
        source=source,
        model=model,
        bit=preset == "bit",
        steps=steps,
        batch_size=batch_size,
        rate=learning_rate,
        scratch_rate=scratch_learning_rate,
        weight_decay=weight_decay,
        factors=parse_factors(rates),
        size=size,
        flip=flip,
        statistics=statistics or "imagenet",
        rising=(LOWEST, HIGHEST) if find_rate else None,
        teacher=None if teacher is None else load_teacher(teacher, net, arguments, len(classes)),
    )
    counts = [*sorted(per_class), *([None] if whole else [])]
    runs = trainings(setting, base, counts, methods, seeds)
    if not runs:
        raise UsageError(f"methods {' '.join(methods)}: all but scratch need --weights")
    if find_rate:
        return Study(runs, conclude_rates)
    return Study(runs, functools.partial(conclude, runs, classes, shifted))


if __name__ == "__main__":
    launch(finetune)
