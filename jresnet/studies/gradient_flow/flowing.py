"""Nets that train while the flow of their gradients is measured, with one ingredient switched."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
import optax
from flax import linen as nn

from jresnet.analysis.chain import chain
from jresnet.analysis.derived_block import flattened
from jresnet.analysis.gradient_flow import Flow, flow
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, NoNorm
from jresnet.models.part import part
from jresnet.recipes import he2015
from jresnet.tasks.base import Array, Batch, Metrics, Variables
from jresnet.tasks.classify import Classify
from jresnet.train.optim import clipped

SMALL_INIT = nn.initializers.normal(0.01)  # of AlexNet and VGG, before He initialisation
Switch = Literal["as it is", "without BatchNorm", "without He init", "clipped"]
SWITCHES: tuple[Switch, ...] = ("as it is", "without BatchNorm", "without He init", "clipped")


@dataclasses.dataclass(frozen=True)
class Flowing(Classify):
    """Classification that also measures the flow of the gradient in evaluation.

    It adds these metrics to those of `Classify`:

    - `gradient/input1`, ...: the norm of the gradient at each block's input; the last is at the
      last block's output.
    - `gradient/kernels1`, ...: the norm of the gradient by each block's kernels.

    The gradient is that of the batch's mean loss, through the batch's statistics. Norms are
    averaged over the batches.
    """

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        metrics = super().evaluate(variables, batch)
        assert isinstance(self.model, Classifier)
        images, label = self.normalize(batch["image"]), batch["label"]
        gradient = flow(chain(self.model), variables, images, mean_loss(label), split=False)
        count = metrics["examples"][0]
        values = {
            f"gradient/input{i}": jnp.linalg.norm(g) for i, g in enumerate(gradient.inputs, 1)
        }
        values |= {f"gradient/kernels{i}": norm for i, norm in enumerate(weight_norms(gradient), 1)}
        return metrics | {name: (norm * count, count) for name, norm in values.items()}


def mean_loss(labels: Array) -> Any:
    """A function from logits to the mean cross-entropy."""
    return lambda logits: optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def weight_norms(gradient: Flow) -> list[Array]:
    """The norm of the gradient by all kernels of each block, in order."""
    blocks = [name for name in gradient.params if name.startswith("stage")][::-1]
    return [
        optax.tree.norm(
            [v for k, v in flattened(gradient.params[b]).items() if k.endswith("kernel")]
        )
        for b in blocks
    ]


def switched(model: Classifier, switch: Switch) -> Classifier:
    """The net without an ingredient, or as it is for the other switches."""
    backbone: Any = model.backbone
    if switch == "without BatchNorm":
        return model.clone(backbone=backbone.clone(norm=NoNorm))
    if switch == "without He init":
        return model.clone(backbone=backbone.clone(conv=part(Conv, kernel_init=SMALL_INIT)))
    return model


def trainings(
    model: Classifier,
    data: ImageData,
    steps: int,
    seed: int,
    learning_rate: float,
    switches: tuple[Switch, ...],
    clip: float,
) -> dict[str, Experiment]:
    """`plain, <switch>` and `ResNet, <switch>` for each switch, by the recipe of He et al. 2015."""
    runs = {}
    for kind, net in (("plain", zoo.plain(model)), ("ResNet", model)):
        for switch in switches:
            experiment = he2015(switched(net, switch), data, steps, seed, learning_rate)
            task: Any = experiment.task
            optimizer = experiment.optimizer
            if switch == "clipped":
                optimizer = clipped(optimizer, clip)
            fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
            plan = dataclasses.replace(experiment.plan, eval_every=max(1, steps // 10))
            runs[f"{kind}, {switch}"] = dataclasses.replace(
                experiment,
                task=Flowing(**fields),
                optimizer=optimizer,
                plan=plan,
                may_diverge=True,
            )
    return runs
