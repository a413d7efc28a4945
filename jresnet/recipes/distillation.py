"""Distillation as function matching: a patient student, and a teacher that sees the same views."""

import dataclasses

from jresnet.data.augment.mix import Mixup
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.recipes.recipe import Recipe
from jresnet.tasks.classify import Classify
from jresnet.tasks.distil import TEACHER, Distil
from jresnet.weights.nets import Loaded

# Beyer et al. 2021 (arXiv:2106.05237, section 4 and the authors' configuration of ImageNet): Adam,
# images mixed in uniform shares, no labels. The decay there does not scale with the rate: 0.0003 of
# the weights at the peak, here 0.01 times the rate. The ramp has 5,000 steps.
FUNMATCH = Recipe(
    9600, 0.03, 4096, "adamw", weight_decay=0.01, clip=1.0, warmup_epochs=16, mix=Mixup(1.0),
    batch_norm_group=None, zero_init_residual=False,
)  # fmt: skip


def taught(experiment: Experiment, teacher: Loaded, temperature: float = 1.0) -> Experiment:
    """The same training by a teacher's probabilities alone; the teacher is among the constants.

    Images are normalised as a run's own record says, for both; else as they were.

    Raises UsageError for a task that is not `Classify`, and for a teacher of other classes.
    """
    task = experiment.task
    if type(task) is not Classify:
        raise UsageError(f"task={type(task).__name__}: expected Classify")
    classes = experiment.data.info().num_classes  # type: ignore[attr-defined]
    if teacher.classifier.num_classes != classes:
        raise UsageError(
            f"teacher={teacher.classifier.num_classes} classes: expected {classes}, the set's"
        )
    recorded = teacher.recorded
    normalize = task.normalize if recorded is None else recorded.normalize()
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    fields["normalize"] = normalize
    learner = Distil(**fields, teacher=teacher.classifier, temperature=temperature)
    constants = {TEACHER: dict(teacher.variables)}
    return dataclasses.replace(experiment, task=learner, constants=constants)
