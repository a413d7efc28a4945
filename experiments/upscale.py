"""Pictures made larger: super-resolution by residual nets, and by their plain twins.

    python -m experiments.upscale
    python -m experiments.upscale --dataset sr/ --scale 2 --blocks 4 16
    python -m experiments.upscale --dataset sr/ --scale 4 --workdir runs/x4
    python -m experiments.upscale --dataset sr/ --scale 4 --adversarial --weights runs/x4/small-4-seed0
    python -m experiments.upscale --dataset sr/ --scale 4 --weights runs/x4/small-4-seed0 \\
        --features cifar_resnet20_state.npz --features-net cifar_resnet
    python -m experiments.upscale --dataset DIV2K/ --scale 4 --reduced DIV2K_train_LR_bicubic/ \\
        --test-reduced DIV2K_valid_LR_bicubic/
    python -m experiments.upscale --dataset DIV2K/ --test-pictures Set5/ --recipe edsr \\
        --net edsr_baseline --scale 2 --no-plain

Without a data set it takes the two photographs that come with scikit-learn. A folder holds pictures
in the layouts of `jresnet.data.sources.picture_layouts`; the smaller ones are made of them, or read from folders.
"""

import functools
from pathlib import Path
from typing import Literal

from jresnet.data.sources.picture_layouts import Reduced
from jresnet.data.sources.pictures import chosen_pictures
from jresnet.experiment import Study
from jresnet.recipes.upscaling import RecipeName, recipe_at
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.upscaling.nets import NetName, family
from jresnet.studies.upscaling.report import PICTURES, Facts, conclude
from jresnet.studies.upscaling.trainings import read_features, tell_small_pictures, trainings


def upscale(
    dataset: Path | None = None,
    test_pictures: Path | None = None,
    reduced: Path | None = None,
    test_reduced: Path | None = None,
    scale: Literal[2, 3, 4, 8] = 2,
    recipe: RecipeName = "small",
    net: NetName = "small",
    blocks: tuple[int, ...] = (),
    width: int | None = None,
    plain: bool = True,
    weights: Path | None = None,
    loss: Literal["l1", "l2"] | None = None,
    features: Path | None = None,
    features_net: str = "resnet18",
    features_depth: int | None = None,
    feature: str = "stage2",
    feature_weight: float = 0.1,
    pixel_weight: float = 1.0,
    adversarial: bool = False,
    adversarial_weight: float = 1e-3,
    judge_learning_rate: float | None = None,
    judge_width: int | None = None,
    kind: Literal["matlab", "pillow"] = "matlab",
    ensemble: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patch: int | None = None,
    eval_batch_size: int | None = None,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Super-resolution: residual nets and their plain twins by one recipe.

    small: a SRResNet without norms in minutes on two CPU cores. Adam, the rate ramped up over a
    tenth of the steps, then half a cosine; 1500 steps of 16 patches of 24 pixels, 900 above x2.

    srresnet: 10^6 steps of 16 patches of 96 pixels of the truth, Adam at 1e-4, the squared error
    (Ledig et al. 2017, arXiv:1609.04802, section 3.2). edsr: 300,000 steps of 16 patches of 48, Adam
    at 1e-4, halved every 200,000 steps, the absolute error (Lim et al. 2017, arXiv:1707.02921,
    section 4.2). Published PSNR and SSIM on Y, trained on DIV2K or ImageNet and tested on Set5, a
    border of the scale left out:

    - bicubic: 33.67 / 30.40 / 28.43 dB at x2 / x3 / x4 (a test of this project).
    - --recipe srresnet --net srresnet --scale 4 --no-plain: 32.05 dB, 0.9019 (trained on 350,000
      pictures of ImageNet); Set14 28.49, BSD100 27.58 dB.
    - --recipe edsr --net edsr_large --scale 4 --no-plain: 32.46 dB.
    - SRCNN x2, three layers, for small runs: 36.66 dB (arXiv:1501.00092).

    BasicSR's figures are on RGB: MSRResNet x4 30.25 dB on Set5.

    Deviations: none of the published recipes has been run here. The paper's SRResNet is trained on
    ImageNet, which is to be given as `train`. EDSR x4 starts from the weights of x2 in the paper,
    here fresh.

    Args:
        dataset: folder of pictures, `train` and `test` or `DIV2K_train_HR` and `DIV2K_valid_HR`;
            or pictures alone, of which every tenth is tested on; without it, parts of two
            photographs.
        test_pictures: folder of pictures to test on instead, such as Set14 or Urban100.
        reduced: folder of reduced pictures to train on, named as those of dataset or with x4 at the
            end; without it they are made.
        test_reduced: folder of reduced pictures of the test.
        scale: how many times as large.
        recipe: which of the above.
        net: small, or a published net.
        blocks: residual blocks of net small, one net for each; by default 4.
        width: channels of net small; by default 32.
        plain: also train the plain twin of each net, unless weights are given: these had shortcuts.
        weights: BasicSR's checkpoint of the net, or the folder of a run of it, to start from.
        loss: what is minimised over pixels instead of the recipe's.
        features: trained classifier whose features are compared too (perceptual loss): a run's
            folder, or a checkpoint in torch's layout. With a net trained on CIFAR-10 it left a fine
            grid in flat parts of pictures.
        features_net: zoo function that the checkpoint is for.
        features_depth: its layers, where there is a choice; cifar_resnet has 20 by default.
        feature: which of its features, stem or stage1 to stage4.
        feature_weight: weight of the features' squared difference.
        pixel_weight: weight of the pixels' loss beside it.
        adversarial: a discriminator learns to tell results from truth, and the net to be taken for
            truth (SRGAN): sharper, and of lower PSNR.
        adversarial_weight: weight of -log D(result) beside the loss of pixels and features; 0.001 in
            the paper.
        judge_learning_rate: peak rate of the discriminator instead of the recipe's: 1e-4 in small,
            as in the paper, and that of the net in the published ones.
        judge_width: channels of its first convolution instead of the recipe's: 16 in small, 64 in the
            paper and the others.
        kind: whose bicubic reduction makes the smaller pictures.
        ensemble: also measure the mean over the eight ways to lay a picture, in a table of its own.
        steps: training steps instead of the recipe's.
        batch_size: patches a training step instead of the recipe's.
        learning_rate: peak rate instead of the recipe's.
        patch: side of the smaller patches in pixels instead of the recipe's.
        eval_batch_size: whole pictures at a time, by default 1; filled up to a multiple of the
            devices.
        seeds: repetitions.
        workers: processes that decode.
    """
    chosen = recipe_at(recipe, scale).changed(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, patch=patch, loss=loss,
        eval_batch_size=eval_batch_size, judge_rate=judge_learning_rate,
        judge_width=judge_width,
    )  # fmt: skip
    pairs = [None if each is None else Reduced(each, scale) for each in (reduced, test_reduced)]
    pictures = chosen_pictures(dataset, test_pictures, *pairs)
    nets = family(net, scale, blocks, width, plain and weights is None)
    if dataset is not None:
        tell_small_pictures(pictures, scale * chosen.patch)
    perceptual = None
    if features is not None:
        perceptual = read_features(
            features,
            features_net,
            feature,
            feature_weight,
            pixel_weight,
            chosen.loss,
            features_depth,
        )
    runs = trainings(
        chosen, pictures, nets, range(seed, seed + seeds), weights, perceptual,
        adversarial_weight if adversarial else None, kind, ensemble, workers,
    )  # fmt: skip
    words = {"l1": "the absolute error", "l2": "the squared error"}[chosen.loss]
    words += f" and that of {feature} of a trained net" if perceptual else ""
    words += " and what a discriminator says" if adversarial else ""
    facts = Facts(scale, pictures.tested, words, adversarial, weights)
    return Study(runs, functools.partial(conclude, facts), pictures=PICTURES)


if __name__ == "__main__":
    launch(upscale)
