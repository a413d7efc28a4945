"""The trainings of one small net by several recipes."""

from collections.abc import Mapping
from pathlib import Path

from jresnet.data.pipeline import ImageData
from jresnet.data.sources.few import PerClass
from jresnet.data.sources.resolve import resolve
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.recipes import Recipe
from jresnet.studies.ingredients.report import slug
from jresnet.train.loop import Plan
from jresnet.train.schedules import cosine


def trainings(
    recipes: Mapping[str, Recipe],
    dataset: str,
    data_dir: Path | None,
    depth: int,
    steps: int,
    seeds: int,
    per_class: int | None,
) -> dict[str, Experiment]:
    """A CIFAR ResNet by each recipe, under half a cosine after a short ramp.

    Args:
        recipes: by name; their lengths and schedules are not used.
        dataset: name or folder of the data set.
        data_dir: folder of TFDS data sets.
        depth: layers, 6n+2.
        steps: training steps of each net.
        seeds: repetitions, each with its own draw of examples and initialisation.
        per_class: training examples of each class; None for all.

    Returns:
        Experiments by the name RECIPE-seedN.
    """
    source = resolve(dataset, data_dir)
    runs = {}
    for name, recipe in recipes.items():
        peak = recipe.learning_rate
        schedule = cosine(peak, steps, warmup_steps=steps // 20, warmup_rate=peak / 10)
        for seed in range(seeds):
            few = dataset if per_class is None else PerClass(source, per_class, seed)
            data = ImageData(few, recipe.batch_size, data_dir=data_dir, seed=seed)
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
    return runs
