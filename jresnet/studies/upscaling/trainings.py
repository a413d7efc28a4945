"""The trainings of a study of enlarged pictures."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jresnet.data.augment.resize import Kind
from jresnet.data.buckets import measured
from jresnet.data.info import Dataset
from jresnet.experiment import Experiment
from jresnet.models.heads.upsample import Upscaler
from jresnet.recipes.upscaling import LOSSES, UpscaleRecipe
from jresnet.studies.feature_net import colour_feature_net
from jresnet.studies.upscaling.nets import read_start
from jresnet.tasks.picture_losses import Perceptual

logger = logging.getLogger(__name__)


def trainings(
    recipe: UpscaleRecipe,
    pictures: Dataset,
    nets: Mapping[str, Upscaler],
    seeds: range,
    weights: Path | None = None,
    perceptual: tuple[Perceptual, Any] | None = None,
    adversarial: float | None = None,
    kind: Kind = "matlab",
    ensemble: bool = False,
    workers: int = 0,
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN.

    Args:
        recipe: how they are trained.
        pictures: the set.
        nets: by their titles, of one scale.
        seeds: one training of each net for each.
        weights: a file or a run's folder that they start from.
        perceptual: a loss of features, and its constants.
        adversarial: weight of what a second player says of the results; None for no such player.
        kind: whose bicubic reduction.
        ensemble: also measure the self-ensemble.
        workers: processes that decode.
    """
    runs = {}
    criterion, constants = perceptual or (None, None)
    for name, net in nets.items():
        start = None if weights is None else read_start(weights, net, name)
        for seed in seeds:
            data = recipe.data(pictures, net.scale, seed=seed, workers=workers)
            judge = None if adversarial is None else recipe.judge()
            runs[f"{name}-seed{seed}"] = recipe.experiment(
                net,
                data,
                criterion,
                constants,
                start,
                judge,
                kind,
                ensemble,
                adversarial=adversarial,
            )
    return runs


def read_features(
    weights: Path,
    net: str,
    feature: str,
    weight: float,
    pixels: float,
    pixel_loss: str,
    depth: int | None = None,
) -> tuple[Perceptual, Any]:
    """The loss of a trained classifier's features, and the classifier's variables.

    Args:
        weights: a run's folder, or a file in torch's layout for `net`, a function of the zoo.
        net: its name.
        feature: which of the backbone's.
        weight: of the features' loss.
        pixels: weight of the loss of pixels beside it.
        pixel_loss: l1 or l2.
        depth: of a net that has one to choose; cifar_resnet has 20 layers without it.

    Raises UsageError for weights that are not the net's, a net of other channels than three, or a
    feature that it does not have.
    """
    body = colour_feature_net(weights, net, depth, argument="features")
    body.check("feature", feature)
    loss = Perceptual(body.backbone, body.normalize, feature, weight, pixels, LOSSES[pixel_loss])
    return loss, body.variables


def tell_small_pictures(pictures: Dataset, size: int) -> None:
    """Warn, in one line, of pictures that are smaller than a training patch of `size` pixels."""
    sizes = measured(pictures.open("train"), "image")
    small = int(((sizes < size) & (sizes > 0)).any(1).sum())
    if small:
        logger.warning(
            "%d of %d pictures to train on are smaller than a patch of %d x %d pixels: they are "
            "continued by their mirror images",
            small, len(sizes), size, size,
        )  # fmt: skip
