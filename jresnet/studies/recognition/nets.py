"""The nets that recognition is learnt with, and weights that they start from."""

import textwrap
from pathlib import Path
from typing import Any, Literal

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.heads.embedding import Embedder
from jresnet.recipes.recognition import RecognitionRecipe
from jresnet.weights import files
from jresnet.weights.convert import WeightsError, from_torch
from jresnet.weights.remote import spelled

NetName = Literal[
    "small", "iresnet18", "iresnet34", "iresnet50", "iresnet100", "iresnet200",
    "resnet18", "resnet34", "resnet50", "resnet101",
]  # fmt: skip
WIDTHS = (16, 32, 64, 128)  # of net small


def small(features: int, dropout: float) -> Embedder:
    """An IResNet of ten layers for small pictures and small machines: narrow, a block a stage."""
    return zoo.iresnet((1,) * len(WIDTHS), features, dropout, WIDTHS)


def build(name: NetName, features: int = 512, dropout: float = 0.0) -> Embedder:
    """A net by name; the ResNets of ImageNet have an embedding in the place of their head."""
    if name == "small":
        return small(features, dropout)
    net: Any = getattr(zoo, name)
    if name.startswith("iresnet"):
        return net(features, dropout)
    return zoo.embedder(net(), features, dropout)


def family(name: NetName, recipe: RecognitionRecipe, plain: bool) -> dict[str, Embedder]:
    """The net of a study by its title, and with `plain` its twin without shortcuts."""
    net = build(name, recipe.features, recipe.dropout)
    return {name: net, **({f"plain {name}": zoo.plain(net)} if plain else {})}


def read_start(weights: Path, net: Embedder, recipe: RecognitionRecipe) -> dict[str, Any]:
    """Variables for `net` out of a file in torch's layout, such as insightface's `backbone.pth`.

    Raises UsageError for those of another net.
    """
    try:
        return from_torch(files.load(weights), net, image=(*recipe.size, recipe.channels))
    except (WeightsError, ValueError) as error:
        reason = textwrap.shorten(str(error), 400, placeholder=" ...")
        raise UsageError(f"weights={spelled(weights)!r}: not of this net: {reason}") from error
