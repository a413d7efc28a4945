"""A class for every pixel: label maps by residual nets, and by their plain twins.

    python -m experiments.segment
    python -m experiments.segment --dataset camvid/ --steps 900
    python -m experiments.segment --dataset VOCdevkit/VOC2012 --recipe voc --net deeplabv3_resnet101

Without a data set it makes pictures of shapes up. A folder holds images and label maps in one of
the layouts of `jresnet.data.sources.map_layouts`.
"""

import functools
from pathlib import Path
from typing import Literal

from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.shapes import Shapes
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.recipes.segmentation import LOSSES, RECIPES, LossName, RecipeName
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.segmentation.nets import NetName, build
from jresnet.studies.segmentation.report import conclude


def segment(
    dataset: Path | None = None,
    recipe: RecipeName = "small",
    net: NetName = "small",
    depths: tuple[int, ...] = (14,),
    plain: bool = True,
    loss: LossName = "cross_entropy",
    classes: tuple[str, ...] = (),
    ignored: tuple[int, ...] | None = None,
    first_class: int = 0,
    foreground: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    output_stride: Literal[8, 16] | None = None,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Semantic segmentation: residual nets and their plain twins by one recipe.

    small: a U-Net of 0.8 million parameters in minutes on two CPU cores. AdamW, the rate ramped up
    over a tenth of the steps, then half a cosine; parts of 144 x 192 of images scaled by 0.7 to 1.4.
    voc: DeepLabv3 on PASCAL VOC 2012 with the augmented training set. The paper's deeplabv3_resnet101
    has a mean IoU of 77.2 % at an output stride of 16, 78.5 % at 8 (Chen et al. 2017,
    arXiv:1706.05587, table 6). Cost at 8: 0.7e18 floating-point operations (two a
    multiply-accumulate, backward twice forward).
    cityscapes: deeplabv3_resnet101 81.0 % (mmsegmentation), whole images of 1024 x 2048.

    Deviation: these numbers are of nets that start from ImageNet's weights, here nets start fresh;
    neither has been run here.

    Scores are over all labelled pixels of whole images of the test split together, not means of
    batches. A class that occurs in neither truth nor prediction counts for nothing.

    Args:
        dataset: folder of images and label maps: train/images and train/labels, or the layout of
            VOC, Cityscapes, ADE20K or COCO-Stuff; a test split is `test` or else `val`. Without it,
            made-up pictures of shapes.
        recipe: which of the above.
        net: small, or a published net.
        depths: layers of the encoder of net small, 6n + 2.
        plain: also train the plain twin of each net.
        loss: what is minimised.
        classes: names of the classes; by default those of classes.txt, VOC or Cityscapes, or the
            numbers that occur.
        ignored: values in the maps that are no class; by default 255, none with foreground.
        first_class: the value of the first class; 1 for ADE20K.
        foreground: two classes, 0 where a map is 0 and 1 for any other value: for maps that number
            objects, and masks of 0 and 255.
        steps: training steps instead of the recipe's.
        batch_size: examples a training step instead of the recipe's.
        learning_rate: peak rate instead of the recipe's.
        output_stride: 8 or 16, of DeepLab nets.
        seeds: repetitions.
        workers: processes that decode.
    """
    chosen = RECIPES[recipe].changed(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate
    )
    maps = Shapes()
    if dataset is not None:
        maps = LabelMaps(dataset, classes, ignored, first_class, foreground)
    count = maps.info().num_classes
    nets = {}
    for depth in depths if net == "small" else (None,):
        name = net if depth is None else f"{net}-{depth}"
        residual = build(net, count, depth, output_stride)
        nets |= {name: residual, **({f"plain {name}": zoo.plain(residual)} if plain else {})}
    runs = {}
    for name, model in nets.items():
        for number in range(seed, seed + seeds):
            data = chosen.data(
                maps,
                batch_size=chosen.batch_size,
                eval_batch_size=chosen.batch_size,
                seed=number,
                workers=workers,
            )
            runs[f"{name}-seed{number}"] = chosen.experiment(model, data, LOSSES[loss])
    return Study(runs, functools.partial(conclude, runs))


if __name__ == "__main__":
    launch(segment)
