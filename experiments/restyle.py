"""Nets that paint any picture in one style, in a single pass: feed-forward style transfer.

    python -m experiments.restyle
    python -m experiments.restyle --dataset cats_dogs/ --styles great_wave.jpg \\
        --weights cifar_resnet20_state.npz --workdir runs/wave
    python -m experiments.restyle --dataset train2014/ --styles mosaic.jpg --recipe johnson \\
        --net johnson --weights resnet50.pth --features-net resnet50 --smoothing deep-scaled
    python -m jresnet predict runs/wave/great_wave-seed0 pictures/ --out painted --strength 0.7

Without a data set it takes the two photographs that come with scikit-learn, without a style picture
a style drawn by a formula, and without weights a loss network of random ones.
"""

import functools
from pathlib import Path

from jresnet.data.sources.pictures import chosen_pictures
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.recipes.restyling import RECIPES, RecipeName
from jresnet.recipes.styling import SmoothingName, chosen_layers, smoothing_named
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.feature_net import colour_feature_net, net_in_words
from jresnet.studies.restyling.report import PICTURES, Facts, conclude
from jresnet.studies.restyling.trainings import (
    NetName,
    build,
    chosen_styles,
    trainings,
)
from jresnet.studies.stylising.pictures import read_photos, sample_style
from jresnet.studies.upscaling.trainings import tell_small_pictures


def restyle(
    dataset: Path | None = None,
    test_pictures: Path | None = None,
    styles: tuple[Path, ...] = (),
    blend: tuple[float, ...] = (),
    weights: Path | None = None,
    features_net: str = "cifar_resnet",
    depth: int | None = None,
    style_layers: tuple[str, ...] = (),
    content_layer: str | None = None,
    smoothing: SmoothingName = "plain",
    keep_colour: bool = False,
    recipe: RecipeName = "small",
    net: NetName = "small",
    blocks: int | None = None,
    width: int | None = None,
    plain: bool = False,
    style_size: int | None = None,
    style_weight: float | None = None,
    content_weight: float | None = None,
    variation_weight: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patch: int | None = None,
    eval_batch_size: int | None = None,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Nets that paint pictures (Johnson et al. 2016, arXiv:1603.08155), by residual features.

    Each net learns one style. Its losses are relative: style loss 1 is that of a picture without
    features, content loss 1 the variance of the style's features over places, so that one pair of
    weights serves every loss network. Instance norm, mirrored borders, and repetition before
    convolutions keep results free of grids.

    small: 16 channels and 5 blocks, for two CPU cores. Adam, the rate ramped up over a tenth of the
    steps, then half a cosine; 2,000 steps of 4 patches of 96 pixels. With The Great Wave, the features
    of a CIFAR ResNet-20 and 1,120 photographs of cats and dogs, the style loss of 279 others fell from
    0.387 to 0.019 in 13 minutes on two cores: hatched strokes in the print's blue on its paper, in
    which small forms are lost.

    johnson: 40,000 steps of 4 patches of 256 pixels, Adam at 1e-3: two epochs of COCO's 80,000
    training pictures, as in pytorch/examples. It has not been run here.

    Deviations: paper and pytorch/examples have VGG-16 as loss network; here any net of the zoo, by
    default a ResNet of CIFAR-10.

    Args:
        dataset: folder of content pictures, with `train` and `test` in it or split by itself;
            without it, parts of two photographs.
        test_pictures: folder of pictures to test on instead; a folder without parts is then all
            trained on.
        styles: pictures whose style it is, a net for each.
        blend: a weight for each of the style pictures, to train one net for their mean.
        weights: a run's folder, or a checkpoint in torch's layout: the loss network, without it
            one of random weights.
        features_net: zoo function that a checkpoint is for; a run knows its own.
        depth: layers of features net cifar_resnet; by default 20.
        style_layers: layers of the Gram matrices; by default the stem and all stages.
        content_layer: layer of the content; by default the last stage but one.
        smoothing: of the features (Wang et al. 2021, arXiv:2104.05623).
        keep_colour: compare luma alone, and keep the colours of the pictures.
        recipe: which of the above.
        net: small, or that of pytorch/examples.
        blocks: residual blocks of net small; by default 5.
        width: channels of net small at the picture's resolution; by default 16.
        plain: also train the plain twin.
        style_size: pixels of the longer side of the style pictures instead of the recipe's.
        style_weight: weight of the style loss instead of the recipe's.
        content_weight: weight of the content loss instead of the recipe's.
        variation_weight: weight of the total variation instead of the recipe's.
        steps: training steps instead of the recipe's.
        batch_size: patches a training step instead of the recipe's; where devices do not divide
            it, each patch is there several times, flipped anew.
        learning_rate: peak rate instead of the recipe's.
        patch: side of the patches in pixels instead of the recipe's.
        eval_batch_size: patches at a time in evaluation; filled up to a multiple of the devices.
        seeds: repetitions.
        workers: processes that decode.
    """
    chosen = RECIPES[recipe].changed(
        style_size=style_size, style_weight=style_weight, content_weight=content_weight,
        variation_weight=variation_weight, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, patch=patch, eval_batch_size=eval_batch_size,
    )  # fmt: skip
    pictures = chosen_pictures(dataset, test_pictures)
    photos = read_photos("styles", styles, chosen.style_size) or [sample_style(chosen.style_size)]
    painted = chosen_styles(photos, blend)
    model = build(net, blocks, width)
    nets = {net: model, **({f"plain {net}": zoo.plain(model)} if plain else {})}
    body = colour_feature_net(weights, features_net, depth, seed).before_pool()
    layers = chosen_layers(body.layers, style_layers, content_layer)
    for layer in layers[0]:
        body.check("style_layers", layer)
    body.check("content_layer", layers[1])
    if dataset is not None and chosen.shorter is None:
        tell_small_pictures(pictures, chosen.patch)
    runs = trainings(
        chosen, pictures, nets, painted, body, range(seed, seed + seeds), layers,
        smoothing_named(smoothing, body.layers), blend, keep_colour, workers,
    )  # fmt: skip
    facts = Facts(
        pictures.tested,
        net_in_words(weights, features_net),
        f"style layers {', '.join(layers[0])}, content layer {layers[1]}, smoothing {smoothing}",
        photos,
    )
    return Study(runs, functools.partial(conclude, facts), pictures=PICTURES)


if __name__ == "__main__":
    launch(restyle)
