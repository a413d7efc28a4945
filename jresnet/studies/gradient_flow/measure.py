"""Norms, split, orders and Jacobians of the gradient's way back."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jresnet.analysis import jacobian
from jresnet.analysis.chain import chain
from jresnet.analysis.gradient_flow import activations, flow, norms, orders, shortcut_only
from jresnet.analysis.jacobian import Extremes
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.shortcuts import ScaledIdentity
from jresnet.studies.gradient_flow.flowing import Switch, mean_loss, switched, weight_norms
from jresnet.studies.subjects import Subject
from jresnet.tasks.base import Array, Variables


class Sample(NamedTuple):
    """A normalised batch of images and its labels."""

    images: Array
    labels: Array

    def loss(self) -> Any:
        return mean_loss(self.labels)


def initialised(model: Classifier, sample: Sample, seed: int) -> dict[str, Any]:
    """Fresh variables; without `jit`, since nets of all depths share the operations."""
    return dict(model.init(jax.random.key(seed), sample.images[:1], train=False))


class Profile(NamedTuple):
    """Norms along one net.

    - inputs: at every block's input and after the last block `[L + 1]`.
    - shortcut: of the parts through shortcuts `[L]`, or None.
    - branch: of the parts through branches `[L]`, or None.
    - weights: by every block's kernels `[L]`.
    - error: the largest difference between the parts' sum and the whole, or None.
    """

    inputs: np.ndarray
    shortcut: np.ndarray | None
    branch: np.ndarray | None
    weights: np.ndarray
    error: float | None


def profile(model: Classifier, variables: Variables, sample: Sample, *, split: bool) -> Profile:
    """Norms of the gradient of the mean loss on a sample, in training mode."""
    gradient = flow(chain(model), variables, sample.images, sample.loss(), split=split)
    return Profile(
        gradient.norms(),
        norms(gradient.shortcut) if split else None,
        norms(gradient.branch) if split else None,
        np.array([float(value) for value in weight_norms(gradient)]),
        gradient.error() if split else None,
    )


def order_shares(model: Classifier, variables: Variables, sample: Sample) -> np.ndarray:
    """Shares of the orders in the gradient at the first block, `<e_k, g> / <g, g>`."""
    terms = orders(chain(model), variables, sample.images, sample.loss())
    flat = np.asarray(terms, np.float64).reshape(len(terms), -1)
    whole = flat.sum(0)
    return flat @ whole / (whole @ whole)


def singular_values(
    model: Classifier, variables: Variables, sample: Sample, steps: int
) -> list[Extremes]:
    """Extreme singular values of each block's Jacobian on a few images, in training mode."""
    net = chain(model)
    h = activations(net, variables, sample.images)
    return [
        jacobian.extremes(*jacobian.products(block, variables, x), x.size, steps)
        for block, x in zip(net.blocks, h[:-1], strict=True)
    ]


class Scaled(NamedTuple):
    """Norms `[L + 1]` of the gradient, and of its term that passes no branch."""

    whole: np.ndarray
    shortcut_only: np.ndarray


def scaled_shortcuts(scale: float, blocks: int, sample: Sample, classes: int, seed: int) -> Scaled:
    """Gradients of a fresh pre-activation net of one stage with scaled identity shortcuts."""
    stem = part(Stem, convs=(StemConv(16, 3, 1),), pool=None)
    net = zoo.cifar_resnet(8, classes, preactivation=True)
    backbone: Any = net.backbone
    model = net.clone(
        backbone=backbone.clone(
            depths=(blocks,),
            widths=(16,),
            strides=(1,),
            stem=stem,
            shortcut=part(ScaledIdentity, scale=scale),
        )
    )
    variables, pieces = initialised(model, sample, seed), chain(model)
    gradient = flow(pieces, variables, sample.images, sample.loss(), split=False)
    h = activations(pieces, variables, sample.images)
    return Scaled(gradient.norms(), norms(shortcut_only(pieces, variables, gradient, h)))


class Findings(NamedTuple):
    """Everything that is measured at one point, of a trained net or at initialisation.

    - profiles: by the name of the net.
    - orders: `order_shares`, by the name of the net.
    - singular: `singular_values`, by the name of the net.
    - scaled: nets with scaled shortcuts, by their scale.
    """

    profiles: dict[str, Profile]
    orders: dict[str, np.ndarray]
    singular: dict[str, list[Extremes]]
    scaled: dict[float, Scaled]


def measure(
    subject: Subject,
    depths: tuple[int, ...],
    examples: int,
    scales: tuple[float, ...],
    blocks: int,
    products: int,
    seed: int,
    preactivation: bool,
    switches: tuple[Switch, ...],
) -> Findings:
    """Measure a trained net, or nets at initialisation if `subject` has no variables.

    Args:
        subject: the net and its data; without variables, the net of the least depth.
        depths: layers of the nets at initialisation.
        examples: images of the training split on which gradients are taken.
        scales: lambda of the scaled shortcuts.
        blocks: blocks of the net with scaled shortcuts.
        products: steps of the bidiagonalisation.
        seed: seed of initialisation and of the draw of images.
        preactivation: the ordering of the nets at initialisation.
        switches: ingredients that are also removed from the nets at initialisation.
    """
    batch = subject.examples("train", examples, seed)
    images = subject.normalize(jnp.asarray(batch["image"]))
    sample = Sample(images, jnp.asarray(batch["label"]))
    few = Sample(sample.images[:4], sample.labels[:4])
    classes = subject.classifier.num_classes
    findings = Findings({}, {}, {}, {})
    if subject.variables:
        nets = [(subject.label, subject.classifier, subject.variables, True)]
    else:
        nets = list(_nets(depths, classes, preactivation, switches, sample, seed))
    total = 3 * len(nets) + len(scales)
    with tqdm(total=total, desc="gradients", unit="measurement", disable=None) as bar:
        for label, model, variables, whole in nets:
            findings.profiles[label] = profile(model, variables, sample, split=whole)
            bar.update()
            if whole and len(chain(model).blocks) == len(chain(subject.classifier).blocks):
                findings.orders[label] = order_shares(model, variables, sample)
                bar.update()
                findings.singular[label] = singular_values(model, variables, few, products)
                bar.update()
            else:
                bar.update(2)
        for scale in scales:
            findings.scaled[scale] = scaled_shortcuts(scale, blocks, sample, classes, seed)
            bar.update()
    return findings


def _nets(
    depths: tuple[int, ...],
    classes: int,
    preactivation: bool,
    switches: tuple[Switch, ...],
    sample: Sample,
    seed: int,
) -> Iterator[tuple[str, Classifier, Variables, bool]]:
    """Name, net, variables, and whether everything is measured or only the norms."""
    # Clipping changes nothing before the first step.
    still: tuple[Switch, ...] = ("as it is", "clipped")
    changes: list[Switch] = [switch for switch in switches if switch not in still]
    for depth in depths:
        residual = zoo.cifar_resnet(depth, classes, preactivation=preactivation, bottleneck=False)
        for kind, net in (("plain", zoo.plain(residual)), ("ResNet", residual)):
            for switch in (still[0], *changes):
                whole = switch == "as it is"
                model = switched(net, switch)
                variables = initialised(model, sample, seed)
                if switch == "without He init":
                    model = net  # the same function is compiled already
                name = f"{kind}-{depth}" if whole else f"{kind}-{depth}, {switch}"
                yield name, model, variables, whole
