"""Residual features for style transfer: why they are poor, and what smoothing does.

    python -m experiments.style_features
    python -m experiments.style_features --weights resnet50.pth --net resnet50 --size 256 \\
        --styles great_wave.jpg --content cat.jpg
    python -m experiments.degradation --dataset cifar10 --depths 20 --workdir runs/depth20
    python -m experiments.style_features --weights runs/depth20/ResNet-20-seed0 \\
        --twin runs/depth20/plain-20-seed0

Wang, Li and Vasconcelos 2021 (arXiv:2104.05623). Without weights, the net's are random, and so are
those of every variant.
"""

import functools
from pathlib import Path

from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.recipes.styling import StyleRecipe, chosen_layers
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.feature_net import colour_feature_net, net_in_words
from jresnet.studies.style_features.measure import variants
from jresnet.studies.style_features.report import Facts, conclude
from jresnet.studies.style_features.trainings import trainings
from jresnet.studies.stylising.pictures import read_photos, sample_content, sample_style


def style_features(
    content: Path | None = None,
    styles: tuple[Path, ...] = (),
    weights: Path | None = None,
    net: str = "cifar_resnet",
    depth: int | None = None,
    twin: Path | None = None,
    style_layers: tuple[str, ...] = (),
    content_layer: str | None = None,
    size: int = 128,
    steps: int = 150,
    learning_rate: float | None = None,
    content_weight: float | None = None,
    seed: Seed = 0,
) -> Study:
    """One picture stylised by variants of one net, and the entropy of their activations.

    Variants: plain features; a softmax over all entries of a layer, at temperatures 1 (which the
    paper has) and 10; a softmax over its channels;
    the last two stages times 0.001 (which the authors' code runs); the same weights without
    shortcuts (the paper's control, figure 1 f); random weights with and without shortcuts.
    Everything else is equal: pictures, layers, optimizer, steps, and the weights of the losses,
    which are relative to each variant's own scale.

    Reported are the normalised entropy of the activations of each stage, the style loss against
    steps by each variant's own features and by the plain ones, and the pictures side by side.

    The paper's net is ResNet-50 at 512 pixels, optimised by L-BFGS from the content picture; style
    layers are the stem and the last block of each stage, content is stage 3. It gives entropies as
    figures and the share of users who prefer a result.

    Weights of the losses: 1 of style, 0.01 of content, 0.5 of total variation; all layers weigh the
    same. The softmax over all entries is multiplied by their number.

    Deviations: Adam, content and style weights relative to the losses of the content picture, and
    the softmax's factor, without which pictures of two sizes would differ in style for that alone.

    Args:
        content: picture that takes on the style; by default a photograph in scikit-learn.
        styles: pictures whose style it is; by default waves drawn by a formula.
        weights: a run's folder, or a checkpoint in torch's layout.
        net: zoo function that a checkpoint is for; a run knows its own.
        depth: layers of the net, where there is a choice; cifar_resnet has 20 by default.
        twin: run's folder of a net that was trained without shortcuts, as one more variant.
        style_layers: layers of the Gram matrices; by default the stem and all stages.
        content_layer: layer of the content; by default the last stage but one.
        size: pixels of the longer side of all pictures.
        steps: steps of each variant.
        learning_rate: peak rate instead of the recipe's; a pixel's range is 1.
        content_weight: weight of the relative content loss instead of the recipe's.
    """
    recipe = StyleRecipe(steps).changed(learning_rate=learning_rate, content_weight=content_weight)
    body = colour_feature_net(weights, net, depth, seed).before_pool()
    layers, kept = chosen_layers(body.layers, style_layers, content_layer)
    for layer in layers:
        body.check("style_layers", layer)
    body.check("content_layer", kept)
    fresh = None if weights is None else body.with_random_weights(seed)
    plain_net = None
    if twin is not None:
        plain_net = colour_feature_net(twin, net, depth, argument="twin").before_pool()
    if plain_net is not None and plain_net.without_shortcuts() != plain_net:
        raise UsageError(f"twin={twin}: expected the run of a net without shortcuts")
    if plain_net is not None and plain_net.layers != body.layers:
        raise UsageError(
            f"twin={twin}: expected a net with the features {', '.join(body.layers)}, "
            f"it has {', '.join(plain_net.layers)}"
        )
    chosen = variants(body, fresh, plain_net)
    photos = read_photos("content", () if content is None else (content,), size)
    photo = photos[0] if photos else sample_content(size)
    painted = read_photos("styles", styles, size) or [sample_style(size)]
    runs = trainings(recipe, chosen, layers, kept, painted, photo, seed)
    facts = Facts(
        net_in_words(weights, net),
        f"style layers {', '.join(layers)}, content layer {kept}",
        chosen, painted, photo, recipe,
    )  # fmt: skip
    return Study(runs, functools.partial(conclude, facts))


if __name__ == "__main__":
    launch(style_features)
