"""The trainings of a study of nets that paint pictures, and the nets."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jresnet.data.info import Dataset
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads.restyle import Restyler
from jresnet.recipes.restyling import RestyleRecipe
from jresnet.studies.feature_net import FeatureNet
from jresnet.studies.stylising.pictures import Photo
from jresnet.tasks.style_losses import Smoothing

NetName = Literal["small", "johnson"]
WIDTH, BLOCKS = 16, 5  # of net small


def build(name: NetName, blocks: int | None = None, width: int | None = None) -> Restyler:
    """A net by name; `blocks` and `width` are those of net small. Raises UsageError."""
    if name == "small":
        return zoo.restyler(width or WIDTH, blocks or BLOCKS)
    for argument, value in (("blocks", blocks), ("width", width)):
        if value is not None:
            raise UsageError(f"{argument}={value}: expected none, net {name} has no choice")
    return zoo.johnson()


def chosen_styles(
    photos: Sequence[Photo], blend: tuple[float, ...]
) -> dict[str, tuple[Photo, ...]]:
    """The style pictures of each net: one of each, or with `blend` all of them in one net.

    Raises UsageError for another number of weights, or weights that are all 0.
    """
    if not blend:
        return {photo.name: (photo,) for photo in photos}
    if len(blend) != len(photos) or sum(blend) <= 0:
        raise UsageError(
            f"blend={' '.join(map(str, blend))}: expected {len(photos)}, one a style picture, "
            "and not all 0"
        )
    return {"blend": tuple(photos)}


def trainings(
    recipe: RestyleRecipe,
    pictures: Dataset,
    nets: Mapping[str, Restyler],
    styles: Mapping[str, Sequence[Photo]],
    body: FeatureNet,
    seeds: range,
    layers: tuple[tuple[str, ...], str],
    smoothing: Smoothing,
    blend: tuple[float, ...] = (),
    keep_colour: bool = False,
    workers: int = 0,
) -> dict[str, Experiment]:
    """Experiments by the name STYLE-NET-seedN, or STYLE-seedN where there is one net.

    Args:
        recipe: how they are trained.
        pictures: the content pictures.
        nets: by their titles.
        styles: the style pictures by their titles.
        body: the loss network.
        seeds: one training of each net in each style for each.
        layers: style layers, and content layer.
        smoothing: of the loss network's features.
        blend: weights of the pictures of a style.
        keep_colour: whether results keep the colours of the pictures.
        workers: processes that decode.
    """
    runs = {}
    for style, photos in styles.items():
        fields: dict[str, Any] = {
            "backbone": body.backbone,
            "normalize": body.normalize,
            "style": layers[0],
            "content": layers[1],
            "smoothing": smoothing,
            "blend": blend,
        }
        pixels = [photo.pixels for photo in photos]
        criterion, constants = recipe.criterion(body.variables, pixels, keep_colour, **fields)
        for name, net in nets.items():
            for seed in seeds:
                data = recipe.data(pictures, seed=seed, workers=workers)
                label = style if len(nets) == 1 else f"{style}-{name}"
                runs[f"{label}-seed{seed}"] = recipe.experiment(
                    net, data, criterion, constants, keep_colour
                )
    return runs
