"""What the ingredients of modern recipes are worth, one by one and together, on a small ResNet.

    python -m experiments.ingredients --dataset path/to/cifar10
    python -m experiments.ingredients --dataset path/to/cifar10 --per-class 500 --depth 14

In the manner of the tables of He et al. 2018 ("Bag of Tricks", arXiv:1812.01187) and of Wightman et
al. 2021 (arXiv:2110.00476): label smoothing, mixup or CutMix, a moving average of the weights.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.augment.mix import CutMix, Mixup, OneOf
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.few import PerClass
from jresnet.data.sources.resolve import resolve
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.recipes import Recipe
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.curves import read_metrics
from jresnet.report.figures import save, training_curves
from jresnet.report.html import Figure, Section, Table
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.train.loop import Plan
from jresnet.train.schedules import cosine


def ingredients(
    dataset: str = "digits",
    depth: int = 20,
    steps: int = 2000,
    per_class: int | None = None,
    seeds: int = 1,
    batch_size: int = 128,
    learning_rate: float = 0.1,
    weight_decay: float = 5e-4,
    label_smoothing: float = 0.1,
    mixup: float = 0.2,
    cutmix: float = 1.0,
    ema_decay: float = 0.99,
    data_dir: Path | None = None,
) -> Study:
    """Baseline, + label smoothing, + mixup or CutMix, + moving average, + all three.

    The baseline is a CIFAR ResNet with Nesterov momentum 0.9, half a cosine after a short ramp,
    decay on kernels, random crops and flips. Label smoothing: Szegedy et al. 2015
    (arXiv:1512.00567, section 7). Mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899) take
    turns by batch. The moving average covers parameters and BatchNorm statistics, and is what is
    evaluated.

    Args:
        dataset: digits, a TFDS name such as cifar10, or a folder of class folders.
        depth: layers, 6n+2.
        steps: training steps of each net.
        per_class: train on so many examples of each class instead of all.
        seeds: repetitions, each with its own draw of examples and initialisation.
        batch_size: examples a step.
        learning_rate: peak.
        weight_decay: on kernels.
        label_smoothing: share of the target spread over all classes.
        mixup: alpha of its Beta distribution.
        cutmix: alpha of its Beta distribution.
        ema_decay: share of the average that stays at each step.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
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
    found = resolve(dataset, data_dir)
    schedule = cosine(
        learning_rate, steps, warmup_steps=steps // 20, warmup_rate=learning_rate / 10
    )
    runs = {}
    for name, changes in variants.items():
        recipe = dataclasses.replace(base, **changes)
        for seed in range(seeds):
            few = found if per_class is None else PerClass(found, per_class, seed)
            data = ImageData(
                few if per_class else dataset, batch_size, data_dir=data_dir, seed=seed
            )
            plan = Plan(
                steps,
                seed,
                eval_every=max(1, steps // 10),
                save_every=max(1, steps // 4),
                log_every=max(1, steps // 200),
                ema_decay=recipe.ema_decay,
                final_splits=("train", "test"),
            )
            net = zoo.cifar_resnet(depth, data.info().num_classes)
            task = recipe.task(net, data.normalize())
            optimizer = recipe.make_optimizer(schedule)
            runs[f"{slug(name)}-seed{seed}"] = Experiment(task, data, optimizer, plan)
    names = {slug(name): name for name in variants}

    def conclude(
        folder: Path, results: Mapping[str, Result], made: Mapping[str, object]
    ) -> Conclusion:
        return report(names, folder, results, made)

    return Study(runs, conclude)


def slug(name: str) -> str:
    """A name as a folder's."""
    return name.removeprefix("+ ").replace(" ", "_")


HEADERS = (
    "recipe",
    "test error (%)",
    "test loss",
    "train error (%)",
    "against the baseline",
    "seconds",
)


def report(
    names: Mapping[str, str],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Table, curves and report; the closing line compares all with the baseline."""
    groups: dict[str, list[Result]] = {}
    for label, result in results.items():
        groups.setdefault(names[label.rsplit("-seed", 1)[0]], []).append(result)
    baseline = errors(groups["baseline"])
    rows = []
    for name, runs in groups.items():
        gain = errors(runs) - baseline
        rows.append(
            (
                name,
                written(errors(runs), 2),
                written(np.array([run.metrics["test"]["loss"] for run in runs]), 3),
                written(errors(runs, "train"), 2),
                "" if name == "baseline" else f"{gain.mean():+.2f}",
                f"{np.mean([run.seconds for run in runs]):.0f}",
            )
        )
    print(format_table(HEADERS, rows))
    curves = {name: [read_metrics(run.folder) for run in runs] for name, runs in groups.items()}
    figure = save(training_curves({"Test error": curves}), folder / "curves.png")
    best, worth = min(((errors(runs).mean(), name) for name, runs in groups.items()))
    summary = (
        f"Baseline {baseline.mean():.2f} % test error; best: {worth} with {best:.2f} %; "
        f"all together {errors(groups['+ all']).mean():.2f} %."
    )
    sections = [
        Section(
            "What happened",
            [
                Table(HEADERS, rows, "After the last step, over every example; means over seeds."),
                Figure(figure, "Error against steps: training thin, test bold.", summary),
            ],
        )
    ]
    return write_conclusion(folder, "Ingredients", summary, sections, provenance)


def errors(runs: list[Result], split: str = "test") -> np.ndarray:
    """In per cent, by seed."""
    return np.array([100 * run.metrics[split]["error"] for run in runs])


def written(values: np.ndarray, digits: int) -> str:
    """Mean, and deviation where there are several."""
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


if __name__ == "__main__":
    launch(ingredients)
