"""The gains of the ingredients of modern recipes, one by one and together, on a small ResNet.

    python -m experiments.ingredients --dataset path/to/cifar10
    python -m experiments.ingredients --dataset path/to/cifar10 --per-class 500 --depth 14

In the manner of the tables of He et al. 2018 ("Bag of Tricks", arXiv:1812.01187) and of Wightman et
al. 2021 (arXiv:2110.00476): label smoothing, mixup or CutMix, a moving average of the weights.
"""

import dataclasses
import functools

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.augment.mix import CutMix, Mixup, OneOf
from jresnet.experiment import Study
from jresnet.recipes import Recipe
from jresnet.run.arguments import BatchSize, DataDir, DatasetName, LearningRate
from jresnet.run.launch import launch
from jresnet.studies.ingredients.report import conclude, slug
from jresnet.studies.ingredients.trainings import trainings


def ingredients(
    dataset: DatasetName = "digits",
    depth: int = 20,
    steps: int = 2000,
    per_class: int | None = None,
    seeds: int = 1,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 0.1,
    weight_decay: float = 5e-4,
    label_smoothing: float = 0.1,
    mixup: float = 0.2,
    cutmix: float = 1.0,
    ema_decay: float = 0.99,
    data_dir: DataDir = None,
) -> Study:
    """Baseline, + label smoothing, + mixup or CutMix, + moving average, + all three.

    The baseline is a CIFAR ResNet with Nesterov momentum 0.9, half a cosine after a short ramp,
    decay on kernels, random crops and flips. Label smoothing: Szegedy et al. 2015
    (arXiv:1512.00567, section 7). Mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899) take
    turns by batch. The moving average of parameters and BatchNorm statistics is evaluated.

    Args:
        depth: layers, 6n+2.
        steps: training steps of each net.
        per_class: training examples of each class; by default all.
        seeds: repetitions, each with its own draw of examples and initialisation.
        weight_decay: weight decay on kernels.
        label_smoothing: share of the target spread over all classes.
        mixup: alpha of its Beta distribution.
        cutmix: alpha of its Beta distribution.
        ema_decay: share of the average that is kept at each step.
    """
    crops = () if dataset == "digits" else (RandomCrop(4), RandomFlip())
    base = Recipe(
        1, learning_rate, batch_size, "nesterov", weight_decay=weight_decay, augment=crops
    )
    smooth = {"label_smoothing": label_smoothing}
    mix = {"mix": OneOf((Mixup(mixup), CutMix(cutmix)))}
    average = {"ema_decay": ema_decay}
    variants = {
        "baseline": {},
        "+ label smoothing": smooth,
        "+ mixup or CutMix": mix,
        "+ moving average": average,
        "+ all": smooth | mix | average,
    }
    recipes = {name: dataclasses.replace(base, **changes) for name, changes in variants.items()}
    runs = trainings(recipes, dataset, data_dir, depth, steps, seeds, per_class)
    names = {slug(name): name for name in variants}
    return Study(runs, functools.partial(conclude, names))


if __name__ == "__main__":
    launch(ingredients)
