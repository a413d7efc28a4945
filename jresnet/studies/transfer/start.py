"""A trained net for another set: its weights, its frozen parts, and its features."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jresnet.data.normalisation import Statistics
from jresnet.errors import UsageError
from jresnet.models.heads import Classifier
from jresnet.models.pools import global_average_pool
from jresnet.models.published import abstract_variables
from jresnet.weights.nets import Loaded, Net, load_net, net_of, shapes
from jresnet.weights.recorded import TRAINING
from jresnet.weights.remote import spelled

Factors = Sequence[tuple[str, float]]
Array = jax.Array


def starting_net(
    weights: Path | None,
    name: str,
    arguments: Mapping[str, Any],
    num_classes: int,
    freeze: tuple[str, ...],
    statistics: Statistics | None,
) -> tuple[Net, Loaded | None, Classifier]:
    """The net that is fine-tuned.

    Args:
        weights: a file or a run's folder; None for no trained net.
        name: zoo function that weights in a file are for.
        arguments: its arguments; None for those that are not set.
        num_classes: classes of the other set.
        freeze: parts of the backbone that stay as they are.
        statistics: statistics of the images for weights in a file, None if the user named none.

    Returns:
        Its card, its weights if there are any, and the net with a new head.

    Raises:
        UsageError: the net, the weights and the arguments do not fit; or a run of an older version
            does not say how its images were normalised.
    """
    arguments = {key: value for key, value in arguments.items() if value is not None}
    net, arguments = net_of(weights, name, arguments)
    if weights is None:
        return net, None, for_classes(net.build(**arguments), num_classes, freeze)
    loaded = load_net(net, arguments, weights, new_head=True)
    if weights.is_dir() and loaded.recorded is None and statistics is None:
        raise UsageError(
            f"run {str(weights)!r} keeps no {TRAINING}, an older version made it: give "
            "--statistics as it was trained"
        )
    return net, loaded, for_classes(loaded.classifier, num_classes, freeze)


def load_teacher(
    weights: Path, name: str, arguments: Mapping[str, Any], num_classes: int
) -> Loaded:
    """A net that was trained on this very set. Raises UsageError for one of other classes."""
    chosen = {key: value for key, value in arguments.items() if value is not None}
    loaded = load_net(*net_of(weights, name, chosen), weights)
    if loaded.classifier.num_classes != num_classes:
        raise UsageError(
            f"teacher={spelled(weights)!r}: {loaded.classifier.num_classes} classes; expected "
            f"{num_classes}, those of the set"
        )
    return loaded


def for_classes(model: Classifier, num_classes: int, freeze: tuple[str, ...] = ()) -> Classifier:
    """`model` with a head for other classes; parts in `freeze` keep their BatchNorm statistics.

    Raises UsageError for a part that the backbone does not have.
    """
    backbone = model.backbone.clone(frozen=freeze)
    try:
        backbone.training(True)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return model.clone(num_classes=num_classes, backbone=backbone)


def without_head(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of the backbone alone, for a net with a new head."""
    return {kind: {"backbone": tree["backbone"]} for kind, tree in variables.items()}


def layer_factors(model: Classifier, image: tuple[int, ...], factors: Factors) -> Factors:
    """Rules for `optim.by_layer`: 0 for the backbone's frozen parts, then `factors`, then 1.

    `image` is `[*spatial, channels]`. Raises UsageError for a rule that finds no parameter, and
    for factors below 0.
    """
    frozen = [f"^backbone/{part}/" for part in model.backbone.frozen]
    if f"stage{len(model.backbone.depths)}" in model.backbone.frozen:
        frozen.append("^backbone/norm/")  # the closing norm of a pre-activation net, if it is one
    names = shapes(abstract_variables(model, image)["params"])
    for pattern, factor in factors:
        if factor < 0:
            raise UsageError(f"rates {pattern}={factor}: expected a factor of 0 or more")
        if not any(re.search(pattern, name) for name in names):
            raise UsageError(
                f"rates {pattern!r}: no parameter's path has that; see {', '.join(names)}"
            )
    return (*((pattern, 0.0) for pattern in frozen), *factors, (".*", 1.0))


def extractor(source: Loaded, normalize: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A compiled function from uint8 images `[batch, *spatial, channels]` to pooled features."""

    @jax.jit
    def extract(variables: Any, images: Array) -> Array:
        features: Any = source.model.apply(
            variables, normalize(images), train=False, method="features"
        )
        return global_average_pool(list(features.values())[-1])

    return functools.partial(extract, source.variables)


def parse_factors(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Patterns and factors from texts `REGEX=FACTOR`. Raises UsageError for other texts."""
    parsed = []
    for text in texts:
        pattern, _, factor = text.rpartition("=")
        try:
            re.compile(pattern)
            parsed.append((pattern, float(factor)))
        except (re.error, ValueError) as error:
            raise UsageError(f"rates {text!r}: expected REGEX=FACTOR ({error})") from error
    return tuple(parsed)
