"""A small experiment that compiles and trains in seconds: two blocks, synthetic 8x8 images."""

import dataclasses
from pathlib import Path
from typing import Any

from jresnet.data.augment.flip_and_crop import RandomFlip
from jresnet.data.normalisation import Normalize
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.models.block import BASIC
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.resnet import ResNet, Stem, StemConv
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.classify import Classify
from jresnet.train.loop import Fitted, Plan, fit
from jresnet.train.optim import sgd
from jresnet.train.schedules import step_decay

DATA = ImageData(Synthetic((8, 8, 3), 10, train_size=72, test_size=37), 16, eval_batch_size=16)
PLAN = Plan(6, seed=3, eval_every=2, save_every=2, log_every=4, final_splits=("train", "test"))


def classify(**backbone: Any) -> Classify:
    normalize = Normalize((0.5,), (0.25,))
    stem = part(Stem, convs=(StemConv(8, 3, 1),), pool=None)
    net = ResNet((1, 1), BASIC, (8, 16), (1, 2), stem=stem, **backbone)
    return Classify(Classifier(net, 10), normalize, (RandomFlip(),))


def train(
    folder: Path,
    plan: Plan = PLAN,
    data: ImageData = DATA,
    devices: int = 1,
    task: Classify | None = None,
    rate: float = 0.1,
    patience: float | None = None,
    profile: bool = False,
    pictures: int = 0,
    **changes: Any,
) -> Fitted:
    """Fit the toy; `changes` are fields of the plan."""
    plan = dataclasses.replace(plan, **changes)
    optimizer = sgd(step_decay(rate, (4,), warmup_steps=1, warmup_rate=0.01))
    mesh = make_mesh(devices)
    task = task or classify()
    watched: Any = {"patience": patience, "profile": profile, "pictures": pictures}
    return fit(task, optimizer, data, plan, folder, "toy", mesh, **watched)
