"""The optimisations of the study: one picture by each variant."""

import dataclasses
from collections.abc import Mapping, Sequence

from jresnet.experiment import Experiment
from jresnet.recipes.styling import StyleRecipe
from jresnet.studies.style_features.measure import Variant
from jresnet.studies.stylising.pictures import Photo
from jresnet.tasks.stylise_picture import prepared


def trainings(
    recipe: StyleRecipe,
    variants: Mapping[str, Variant],
    style: Sequence[str],
    content: str,
    styles: Sequence[Photo],
    photo: Photo,
    seed: int = 0,
) -> dict[str, Experiment]:
    """An experiment by each variant's name; all are also judged by the first one's features.

    Args:
        recipe: how the picture is optimised.
        variants: nets and smoothings.
        style: layers of the Gram matrices.
        content: layer of the content.
        styles: the style pictures.
        photo: the content picture.
        seed: of the noise, if the recipe begins with it.
    """
    first = next(iter(variants.values()))
    painted, pixels = [each.pixels for each in styles], photo.pixels[None]
    loss = first.loss(style, content)
    judge = loss, prepared(loss, first.net.variables, painted, pixels)
    runs = {}
    for name, variant in variants.items():
        criterion = recipe.weigh(variant.loss(style, content))
        experiment = recipe.experiment(
            criterion,
            variant.net.variables,
            painted,
            pixels,
            (photo.name,),
            judge=judge,
            seed=seed,
        )
        # A variant whose features are all 0 has no gradient; one may also run away.
        runs[name] = dataclasses.replace(experiment, may_diverge=True)
    return runs
