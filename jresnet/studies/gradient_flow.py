"""What the study of gradient flow measures."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jresnet.analysis.chain import chain
from jresnet.analysis.gradient_flow import activations, flow, norms, orders, shortcut_only
from jresnet.analysis.jacobian import Extremes, extremes, products
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.shortcuts import ScaledIdentity
from jresnet.studies.flowing import Switch, mean_loss, switched, weight_norms
from jresnet.studies.subjects import Subject
from jresnet.tasks.base import Array, Variables


class Sample(NamedTuple):
    """A normalised batch of images and its labels."""

    images: Array
    labels: Array

    def loss(self) -> Any:
        return mean_loss(self.labels)


def initialised(model: Classifier, sample: Sample, seed: int) -> dict[str, Any]:
    """Fresh variables. Without `jit`: nets of all depths share the few operations this takes."""
    return dict(model.init(jax.random.key(seed), sample.images[:1], train=False))


class Profile(NamedTuple):
    """Norms along one net: at every block input and behind the last `[L + 1]`, the parts through
    shortcut and branch `[L]` (or None), of every block's kernels `[L]`; and the split's error."""

    inputs: np.ndarray
    shortcut: np.ndarray | None
    branch: np.ndarray | None
    weights: np.ndarray
    error: float | None


def profile(model: Classifier, variables: Variables, sample: Sample, *, split: bool) -> Profile:
    """Of the gradient of the mean loss on a sample, in training mode."""
    found = flow(chain(model), variables, sample.images, sample.loss(), split=split)
    return Profile(
        found.norms(),
        norms(found.shortcut) if split else None,
        norms(found.branch) if split else None,
        np.array([float(value) for value in weight_norms(found)]),
        found.error() if split else None,
    )


def order_shares(model: Classifier, variables: Variables, sample: Sample) -> np.ndarray:
    """Share of each order in the gradient at the first block, `<e_k, g> / <g, g>`; adds up to 1."""
    terms = orders(chain(model), variables, sample.images, sample.loss())
    flat = np.asarray(terms, np.float64).reshape(len(terms), -1)
    whole = flat.sum(0)
    return flat @ whole / (whole @ whole)


def singular_values(
    model: Classifier, variables: Variables, sample: Sample, steps: int
) -> list[Extremes]:
    """Of each block's Jacobian on a few images, in training mode."""
    net = chain(model)
    h = activations(net, variables, sample.images)
    return [
        extremes(*products(block, variables, x), x.size, steps)
        for block, x in zip(net.blocks, h[:-1], strict=True)
    ]


class Scaled(NamedTuple):
    """With shortcuts scaled by lambda: norms `[L + 1]` of the gradient, and of its term that
    passes no branch."""

    whole: np.ndarray
    shortcut_only: np.ndarray


def scaled_shortcuts(scale: float, blocks: int, sample: Sample, classes: int, seed: int) -> Scaled:
    """A pre-activation net of one stage at initialisation, whose shortcuts never change the shape."""
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
    found = flow(pieces, variables, sample.images, sample.loss(), split=False)
    h = activations(pieces, variables, sample.images)
    return Scaled(found.norms(), norms(shortcut_only(pieces, variables, found, h)))


class Setting(NamedTuple):
    """As the arguments of `experiments.gradient_flow`."""

    depths: tuple[int, ...]
    examples: int
    scales: tuple[float, ...]
    blocks: int
    products: int
    seed: int
    preactivation: bool
    switches: tuple[Switch, ...]


class Findings(NamedTuple):
    """By the name of the net, and for scaled shortcuts by their scale."""

    profiles: dict[str, Profile]
    orders: dict[str, np.ndarray]
    singular: dict[str, list[Extremes]]
    scaled: dict[float, Scaled]


def measure(setting: Setting, subject: Subject) -> Findings:
    """Everything that is measured at one point: of a trained subject, or at initialisation where
    `subject` has no variables."""
    batch = subject.examples("train", setting.examples, setting.seed)
    images = subject.normalize(jnp.asarray(batch["image"]))
    sample = Sample(images, jnp.asarray(batch["label"]))
    few = Sample(sample.images[:4], sample.labels[:4])
    found = Findings({}, {}, {}, {})
    nets = list(_nets(setting, subject, sample))
    total = 3 * len(nets) + len(setting.scales)
    with tqdm(total=total, desc="gradients", unit="measurement", disable=None) as bar:
        for label, model, variables, whole in nets:
            found.profiles[label] = profile(model, variables, sample, split=whole)
            bar.update()
            if whole and len(chain(model).blocks) == len(chain(subject.model).blocks):
                found.orders[label] = order_shares(model, variables, sample)
                bar.update()
                found.singular[label] = singular_values(model, variables, few, setting.products)
                bar.update()
            else:
                bar.update(2)
        for scale in setting.scales:
            classes = subject.model.num_classes
            found.scaled[scale] = scaled_shortcuts(
                scale, setting.blocks, sample, classes, setting.seed
            )
            bar.update()
    return found


def _nets(
    setting: Setting, subject: Subject, sample: Sample
) -> Iterator[tuple[str, Classifier, Variables, bool]]:
    """Name, net, variables, and whether everything is measured or the norms alone."""
    if subject.variables:
        yield subject.label, subject.model, subject.variables, True
        return
    for depth in setting.depths:
        residual = zoo.cifar_resnet(
            depth,
            subject.model.num_classes,
            preactivation=setting.preactivation,
            bottleneck=False,
        )
        for kind, net in (("plain", zoo.plain(residual)), ("ResNet", residual)):
            # Clipping changes nothing before there is a step.
            still: tuple[Switch, ...] = ("as it is", "clipped")
            changes: list[Switch] = [s for s in setting.switches if s not in still]
            for switch in (still[0], *changes):
                whole = switch == "as it is"
                model = switched(net, switch)
                variables = initialised(model, sample, setting.seed)
                if switch == "without He init":
                    model = net  # the same function, compiled already
                name = f"{kind}-{depth}" if whole else f"{kind}-{depth}, {switch}"
                yield name, model, variables, whole
