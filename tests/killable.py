"""A study of two small trainings for what kills, moves and multiplies runs; starts in seconds.

python -m tests.killable --steps 40 --workdir FOLDER
python -m tests.killable --game atari:pong --workdir FOLDER
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from jresnet.data.sources.synthetic import Synthetic
from jresnet.data.worlds.named import world_named
from jresnet.data.worlds.world import World
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.models.encoders import same_max_pool
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.recipes.value_games import PQNRecipe
from jresnet.report.conclusion import Conclusion
from jresnet.run.launch import launch
from jresnet.train.optim import sgd
from jresnet.train.schedules import step_decay
from tests.train.toy import DATA, PLAN, classify


def killable(
    steps: int = 6,
    every: int = 2,
    test_size: int = 37,
    only: Literal["whole", "groups"] | None = None,
    game: str | None = None,
) -> Study:
    """BatchNorm over the batch, with an average of the weights, and over groups of it.

    Evaluated `every` steps, saved and logged in other rhythms where that is 10 or more. With a
    `game` an agent that plays it instead, whose world is part of what is saved.
    """
    if game is not None:
        return Study({"agent": agent(world_named(game))}, conclude)
    images = Synthetic((8, 8, 3), 10, train_size=1000, test_size=test_size)
    data = dataclasses.replace(DATA, dataset=images, batch_size=32)
    save, log = (every * 2 // 5, every // 4) if every >= 10 else (every, 3)
    plan = dataclasses.replace(PLAN, steps=steps, eval_every=every, save_every=save, log_every=log)
    runs = {}
    for label, group, changes in (
        ("whole", None, {"ema_decay": 0.9}),
        ("groups", 4, {}),
    ):
        if only not in (None, label):
            continue
        task = classify(norm=part(BatchNorm, group=group))
        optimizer = sgd(step_decay(0.05, (steps // 2,), warmup_steps=1, warmup_rate=0.01))
        runs[label] = Experiment(task, data, optimizer, dataclasses.replace(plan, **changes))
    return Study(runs, conclude)


def agent(world: World) -> Experiment:
    """Forty rounds of playing in four worlds, 320 steps, saved five times."""
    net = zoo.small_impala(world.actions, 4, pool=same_max_pool, hidden=8, values=True, norm=True)
    recipe = PQNRecipe(640, 1e-3, worlds=4, turns=4, minibatches=4, longest=4, episodes=2)
    return recipe.experiment(net, world)


def conclude(
    folder: Path, results: Mapping[str, Result], provenance: Mapping[str, object]
) -> Conclusion:
    """The metrics, to the last digit."""
    return Conclusion(" ".join(f"{label} {result.metrics}" for label, result in results.items()))


if __name__ == "__main__":
    launch(killable)
