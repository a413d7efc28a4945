"""Style transfer by optimisation: a picture is changed until its features have a style's statistics.

    python -m experiments.style
    python -m experiments.style --content cat.jpg --styles great_wave.jpg \\
        --weights cifar_resnet20_state.npz
    python -m experiments.style --content a.jpg b.jpg --styles wave.jpg scream.jpg --blend 2 1 \\
        --weights resnet50.pth --net resnet50 --smoothing softmax-all --keep-colour

Without pictures it takes a photograph that comes with scikit-learn and a style drawn by a formula;
without weights the net's are random.
"""

import functools
from pathlib import Path
from typing import Literal

import numpy as np

from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Study
from jresnet.recipes.styling import (
    OptimizerName,
    SmoothingName,
    StyleRecipe,
    by_size,
    chosen_layers,
    smoothing_named,
)
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.feature_net import colour_feature_net, net_in_words
from jresnet.studies.stylising.pictures import read_photos, sample_content, sample_style
from jresnet.studies.stylising.report import Facts, conclude
from jresnet.tasks.style_losses import FeatureLoss


def style(
    content: tuple[Path, ...] = (),
    styles: tuple[Path, ...] = (),
    blend: tuple[float, ...] = (),
    weights: Path | None = None,
    net: str = "cifar_resnet",
    depth: int | None = None,
    style_layers: tuple[str, ...] = (),
    content_layer: str | None = None,
    smoothing: SmoothingName = "plain",
    size: int = 256,
    keep_colour: bool = False,
    begin: Literal["content", "noise"] = "content",
    style_weight: float | None = None,
    content_weight: float | None = None,
    variation_weight: float | None = None,
    optimizer: OptimizerName = "adam",
    steps: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    seed: Seed = 0,
) -> Study:
    """Style transfer with the features of a residual net (Gatys et al. 2016, arXiv:1508.06576).

    The style of a picture is the Gram matrices of a net's features, its content the features
    themselves. The losses are relative: style loss 1 is that of the content picture, content loss 1
    that of a picture without any structure, so that one pair of weights serves every net. By Adam
    content pictures of one size after resizing are optimised together, each as if it were alone; by
    L-BFGS one after the other, since its steps depend on all that it optimises.

    Results lie as PNG files, named as their content, in the run's folder.

    Deviations: the paper has VGG-19, average pooling and L-BFGS; here any net of the zoo, as it is,
    and Adam.

    Args:
        content: pictures that take on the style.
        styles: pictures whose style it is; of several the mean of their Gram matrices.
        blend: a weight for each of the style pictures; by default all weigh the same.
        weights: a run's folder, or a checkpoint in torch's layout; without it, random weights.
        net: zoo function that a checkpoint is for; a run knows its own.
        depth: layers of the net, where there is a choice; cifar_resnet has 20 by default.
        style_layers: layers of the Gram matrices; by default the stem and all stages.
        content_layer: layer of the content; by default the last stage but one.
        smoothing: of the features (Wang et al. 2021, arXiv:2104.05623).
        size: pixels of the longer side of all pictures, which are resized to it.
        keep_colour: compare luma alone, and keep the colours of the content.
        begin: start from the content picture, or from noise.
        style_weight: weight of the relative style loss instead of the recipe's.
        content_weight: weight of the relative content loss instead of the recipe's.
        variation_weight: weight of the total variation instead of the recipe's.
        optimizer: adam, or lbfgs without a line search.
        steps: steps instead of the recipe's.
        learning_rate: peak rate instead of the recipe's, or of 1 for lbfgs; a pixel's range is 1.
        batch_size: pictures a step, repeated if need be so that they divide among the devices.
    """
    if learning_rate is None and optimizer == "lbfgs":
        learning_rate = 1.0
    recipe = StyleRecipe(optimizer=optimizer, begin=begin).changed(
        steps=steps, learning_rate=learning_rate, style_weight=style_weight,
        content_weight=content_weight, variation_weight=variation_weight,
    )  # fmt: skip
    body = colour_feature_net(weights, net, depth, seed).before_pool()
    layers, kept = chosen_layers(body.layers, style_layers, content_layer)
    for layer in layers:
        body.check("style_layers", layer)
    body.check("content_layer", kept)
    photos = read_photos("content", content, size) or [sample_content(size)]
    painted = read_photos("styles", styles, size) or [sample_style(size)]
    if blend and (len(blend) != len(painted) or sum(blend) <= 0):
        raise UsageError(
            f"blend={' '.join(map(str, blend))}: expected {len(painted)}, one a style picture, "
            "and not all 0"
        )
    criterion = recipe.weigh(
        FeatureLoss(
            backbone=body.backbone,
            normalize=body.normalize,
            style=layers,
            content=kept,
            smoothing=smoothing_named(smoothing, body.layers),
            blend=blend,
        )
    )
    runs: dict[str, Experiment] = {}
    contents = {}
    groups = by_size({photo.name: photo.pixels for photo in photos})
    for names in groups if optimizer == "adam" else [[photo.name] for photo in photos]:
        group = [photo for photo in photos if photo.name in names]
        label = names[0] if len(names) == 1 else "x".join(map(str, group[0].pixels.shape[1::-1]))
        contents[label] = group
        runs[label] = recipe.experiment(
            criterion, body.variables, [photo.pixels for photo in painted],
            np.stack([photo.pixels for photo in group]), tuple(names), keep_colour=keep_colour,
            batch_size=batch_size, seed=seed,
        )  # fmt: skip
    facts = Facts(
        net_in_words(weights, net),
        f"style layers {', '.join(layers)}, content layer {kept}, smoothing {smoothing}",
        painted, contents, keep_colour, begin == "content",
    )  # fmt: skip
    return Study(runs, functools.partial(conclude, facts))


if __name__ == "__main__":
    launch(style)
