"""A study of one small training whose class matrix is sharded, to be run by several processes.

python -m tests.train.sharded --model-parallel 4 --workdir FOLDER
"""

import optax
from jax.sharding import PartitionSpec

from jresnet.experiment import Experiment, Study
from jresnet.run.launch import launch
from jresnet.train.loop import Plan
from tests.killable import conclude
from tests.tasks import identities, toys

RULES = (("head/kernel$", PartitionSpec(None, "model")),)


def sharded(steps: int = 6, every: int = 2) -> Study:
    """Identities by a head of 10,000 classes, spread over the devices of `--model-parallel`."""
    splits = {"train": identities.identities(64, 1), "test": identities.identities(19, 2)}
    plan = Plan(steps, 1, eval_every=every, save_every=every, log_every=every, ema_decay=0.5)
    run = Experiment(
        identities.Identify(), toys.in_memory(splits), optax.adam(1e-2), plan, sharding=RULES
    )
    return Study({"heads": run}, conclude)


if __name__ == "__main__":
    launch(sharded)
