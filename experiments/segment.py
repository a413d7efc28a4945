"""A class for every pixel: label maps by residual nets, and by their plain twins.

    python -m experiments.segment
    python -m experiments.segment --dataset camvid/ --ignored 11 255
    python -m experiments.segment --dataset VOCdevkit/VOC2012 --recipe voc --weights resnet101.pth \\
        --net deeplabv3_resnet101 --output-stride 16 --multi-grid 1 2 4

Without a data set it makes pictures of shapes up. A folder holds images and label maps in one of
the layouts of `jresnet.data.sources.map_layouts`.
"""

import functools
from pathlib import Path
from typing import Literal

from jresnet.data.sources.shapes import Shapes
from jresnet.data.sources.tfds_maps import find_maps
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.recipes.segmentation import RECIPES, RecipeName
from jresnet.run.arguments import DataDir, Seed
from jresnet.run.launch import launch
from jresnet.studies.backbone_start import read_starts
from jresnet.studies.segmentation.nets import NetName, family
from jresnet.studies.segmentation.report import PICTURES, Facts, conclude
from jresnet.studies.segmentation.trainings import trainings, weights_of
from jresnet.tasks.scales import Scales
from jresnet.tasks.windows import Windows


def segment(
    dataset: str | None = None,
    data_dir: DataDir = None,
    recipe: RecipeName = "small",
    net: NetName = "small",
    depths: tuple[int, ...] = (14,),
    plain: bool = True,
    weights: Path | None = None,
    loss: str | None = None,
    class_weights: float | None = None,
    colour: float | None = None,
    random_scale: tuple[float, ...] = (),
    classes: tuple[str, ...] = (),
    ignored: tuple[int, ...] | None = None,
    first_class: int = 0,
    foreground: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    output_stride: Literal[8, 16] | None = None,
    multi_grid: tuple[int, ...] = (),
    test_output_stride: Literal[8, 16] | None = None,
    windows: bool = False,
    overlap: float = 0.5,
    views: Literal["one", "mirrored"] = "one",
    scales: tuple[float, ...] = (),
    boundaries: bool = False,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Semantic segmentation: residual nets and their plain twins by one recipe.

    small: a U-Net in minutes on two CPU cores. Cross-entropy plus Dice; AdamW, the rate ramped up
    over a tenth of the steps, then half a cosine; whole images, or parts of 180 x 240 of larger
    ones, and their mirror images.

    voc: PASCAL VOC 2012 with the augmented training set (SegmentationClassAug, train_aug.txt); SGD,
    a polynomial rate, 30,000 steps of 16 crops of 513 x 513 scaled by 0.5 to 2. cityscapes: 80,000
    steps of 8 crops of 512 x 1024, tested on whole images. Published mean IoU on the validation
    split, in %, all from ImageNet's weights (`--weights resnet101.pth`), and the cost of training in
    floating-point operations (two a multiply-accumulate, backward twice forward):

    - voc, deeplabv3_resnet101, --output-stride 16 --multi-grid 1 2 4: 77.2; the same net with
      --test-output-stride 8: 78.5, and with --scales 0.5 0.75 1 1.25 1.5 1.75 --views mirrored: 79.8
      (Chen et al. 2017, arXiv:1706.05587, table 6). Cost 0.21e18.
    - voc, deeplabv3plus_resnet101, --output-stride 16: 79.2 (TensorFlow's model garden; Chen et al.
      2018, arXiv:1802.02611). Cost 0.16e18.
    - voc, fcn_resnet101: 71.2 in 20,000 steps of 512 x 512 (mmsegmentation; Long et al. 2014,
      arXiv:1411.4038, on a ResNet). Cost of 30,000 steps 0.67e18.
    - cityscapes, deeplabv3plus_resnet101, --output-stride 8: 81.0; at several scales 82.2
      (mmsegmentation). deeplabv3_resnet101: 80.2. Cost 1.5e18 and 1.9e18.

    Deviations: none of these has been run here. The first block of a dilated stage has the dilation
    before it in DeepLabv3 and FCN, as in torchvision; mmsegmentation's nets have a stem of three
    convolutions, and its Cityscapes images also change their colours.

    Scores are over all labelled pixels of whole images of the test split together, not means of
    batches. A class that occurs in neither truth nor prediction counts for nothing.

    Args:
        dataset: folder of images and label maps: train/images and train/labels, or the layout of
            VOC, Cityscapes, ADE20K or COCO-Stuff; a test split is `test` or else `val`. Of images/
            and masks/ without splits a fifth is tested on. Or a TFDS name such as
            oxford_iiit_pet, whose classes begin at 1. Without it, made-up pictures of shapes.
        recipe: which of the above.
        net: small, or a published net.
        depths: layers of the encoder of net small, 6n + 2.
        plain: also train the plain twin of each net, unless weights are given: these had shortcuts.
        weights: checkpoint in torch's layout or a run's folder that the backbone starts from.
        loss: what is minimised, instead of the recipe's: cross_entropy, focal, dice, jaccard, tversky
            or lovasz, or the sum of several, such as focal+dice.
        class_weights: how much rare classes of the training split weigh more in cross-entropy, as
            the power of median frequency balancing, instead of the recipe's: 0 not at all, 1 fully.
        colour: how far brightness, contrast and saturation are changed at random in training, 0 to
            1, instead of the recipe's.
        random_scale: two factors, between which images are scaled at random in training, instead of
            the recipe's.
        classes: names of the classes; by default those of classes.txt, VOC or Cityscapes, or the
            numbers that occur.
        ignored: values in the maps that are no class; by default 255, none with foreground.
        first_class: the value of the first class; 1 for ADE20K.
        foreground: two classes, 0 where a map is 0 and 1 for any other value: for maps that number
            objects, and masks of 0 and 255.
        steps: training steps instead of the recipe's.
        batch_size: examples a training step instead of the recipe's.
        learning_rate: peak rate instead of the recipe's.
        output_stride: 8 or 16, of FCN and DeepLab nets.
        multi_grid: factors of the dilation of each block of the last stage, of the same nets.
        test_output_stride: also test the trained nets at this output stride.
        windows: evaluate and predict in windows of the training crop, and images at their own size;
            recipe small does so anyway where images differ in size.
        overlap: share of a window's side that the next one covers too.
        views: mirrored: also measure the mean over each image and its mirror image, `views/mean_iou`.
        scales: also measure the mean over these sizes of each image: 0.5 0.75 1 1.25 1.5 1.75.
        boundaries: also measure distances between boundaries in pixels; takes seconds an image on
            the host where images are large.
        seeds: repetitions.
        workers: processes that decode.
    """
    chosen = RECIPES[recipe].changed(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        loss=loss,
        colour=colour,
    )
    if random_scale:
        if len(random_scale) != 2 or random_scale[0] > random_scale[1]:
            raise UsageError(
                f"random_scale={random_scale}: expected two factors, the smaller first"
            )
        chosen = chosen.changed(low=random_scale[0], high=random_scale[1])
    maps = Shapes()
    if dataset is not None:
        maps = find_maps(
            dataset,
            data_dir,
            classes=classes,
            ignored=ignored,
            first=first_class,
            foreground=foreground,
        )
    twins = plain and weights is None
    nets = family(net, maps.info().num_classes, depths, output_stride, multi_grid, twins)
    for build in nets.values():
        build(test_output_stride)  # one that the nets lack is told before anything is read
    starts = (
        {}
        if weights is None
        else read_starts(weights, {name: net(None) for name, net in nets.items()})
    )
    balance = weights_of(chosen, class_weights, maps)
    windows = windows or (recipe == "small" and maps.info().fixed_shape is None)
    seen = Scales(scales or (1.0,), views == "mirrored") if scales or views != "one" else None
    evaluation = {
        "windows": Windows(chosen.crop, overlap) if windows else None,
        "views": seen,
        "boundaries": boundaries,
    }
    repetitions = range(seed, seed + seeds)
    runs = trainings(chosen, maps, nets, balance, repetitions, starts, evaluation, workers)
    start = "fresh" if weights is None else weights.name
    facts = Facts(nets, start, balance, test_output_stride)
    return Study(runs, functools.partial(conclude, runs, facts), pictures=PICTURES)


if __name__ == "__main__":
    launch(segment)
