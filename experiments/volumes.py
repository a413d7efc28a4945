"""A class for every voxel of a volume: residual U-Nets and their plain twins.

    python -m experiments.volumes
    python -m experiments.volumes --dataset Task09_Spleen --recipe resenc_m --window -160 240
    python -m experiments.volumes --dataset FOLDER --net medicalnet_resnet10 --weights resnet_10.pth

Without a folder it learns grey and white matter of the MNI152 head, which comes with nilearn
(`pip install 'jresnet[medical]'`). A folder holds NIfTI files or DICOM series in one of the layouts
of `jresnet.data.sources.volume_layouts`.
"""

import functools
from pathlib import Path

from jresnet.data.sources.mni152 import Mni152
from jresnet.data.sources.volumes import Volumes
from jresnet.data.volumes import Preparation, Window, ZScore
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.models.zoo.medical import VOLUME
from jresnet.recipes.segmentation import criterion
from jresnet.recipes.volumes import RECIPES, VolumeRecipeName
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.backbone_start import FRESH, read_starts
from jresnet.studies.segmentation.nets import VolumeNetName, volume_net
from jresnet.studies.segmentation.report import PICTURES
from jresnet.studies.segmentation.volumes import conclude


def volumes(
    dataset: Path | None = None,
    recipe: VolumeRecipeName = "small",
    net: VolumeNetName = "unet",
    weights: Path | None = None,
    loss: str | None = None,
    spacing: tuple[float, ...] = (),
    window: tuple[float, ...] = (),
    fold: int = 0,
    classes: tuple[str, ...] = (),
    ignored: tuple[int, ...] | None = None,
    foreground: bool = False,
    plain: bool = True,
    patch: tuple[int, ...] = (),
    boundaries: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Segmentation of volumes: residual-encoder U-Nets and their plain twins by one recipe.

    small: a U-Net of 80 thousand parameters in minutes on two CPU cores; patches of 32 x 32 x 32
    voxels, AdamW, half a cosine. Without a dataset its Dice is 0.90 for grey and 0.96 for white
    matter. That head is one average of 152 and symmetric, so a net learns on the back of its left
    half and is tested on the front: this says that the code works, and nothing about people. The
    report shows what the intensity of a voxel alone tells, which here is more than the nets do.

    resenc_m, resenc_l, resenc_xl: nnU-Net's ResEnc presets (Isensee et al. 2024, arXiv:2404.09556):
    six stages, 1000 epochs of 250 steps, SGD with Nesterov momentum 0.99 and a polynomial schedule
    of power 0.9, Dice and cross-entropy with deep supervision. Dice in five folds there, M / L / XL:
    ACDC 91.99 / 91.69 / 91.48, LiTS 80.75 / 81.60 / 81.19, KiTS 86.79 / 88.17 / 88.67, AMOS 88.77 /
    89.41 / 89.68. Cost there: 9, 23 and 37 GB and 12, 35 and 66 hours of one A100 a fold.

    Deviations: nnU-Net plans spacing, patch, batch and strides for each set; here patches are 128 x
    128 x 128, 160 x 192 x 160 and 192 x 224 x 192, two a step, and `spacing` and `patch` are yours
    to choose. Whole volumes are evaluated in windows of a patch, without mirror images. The
    losses of deep supervision halve from level to level down to the coarsest, which nnU-Net leaves
    out. These presets were not run to their end here.

    Args:
        dataset: folder of train/images and train/labels, or of imagesTr, labelsTr and dataset.json.
            Without a test split a fifth of the volumes is left out of training. Without a folder,
            the MNI152 head.
        recipe: which of the above.
        net: the recipe's residual U-Net, or one of MedicalNet's (Chen et al. 2019,
            arXiv:1904.00625).
        weights: checkpoint in torch's layout, such as MedicalNet's pretrained ones, or a run's
            folder that the backbone starts from; it has no plain twin then.
        loss: what is minimised, instead of the recipe's: cross_entropy, focal, dice, jaccard, tversky
            or lovasz, or the sum of several, such as focal+dice.
        spacing: millimetres between voxels from feet to head, back to front, left to right; volumes
            are resampled to it. By default each keeps its own.
        window: lowest and highest value, such as Hounsfield units, that become -1 and 1. By default
            each volume gets mean 0 and deviation 1 over its voxels that are not 0.
        fold: which fifth is left out, 0 to 4, by nnU-Net's draw.
        classes: names of the classes; by default those of dataset.json or classes.txt.
        ignored: values in the maps that are no class; by default 255, none with foreground.
        foreground: two classes, 0 where a map is 0 and 1 for any other value: for maps that number
            lesions, and masks of 0 and 255.
        plain: also train the plain twin.
        patch: voxels of a random part, in the order of spacing, instead of the recipe's.
        boundaries: also measure distances between boundaries, in millimetres.
        steps: training steps instead of the recipe's.
        batch_size: patches a training step instead of the recipe's.
        learning_rate: peak rate instead of the recipe's.
        seeds: repetitions.
        workers: processes that read; each keeps up to 4 GiB of volumes in memory.
    """
    for argument, values, count in (
        ("spacing", spacing, 3),
        ("window", window, 2),
        ("patch", patch, 3),
    ):
        if values and len(values) != count:
            raise UsageError(f"{argument}={values}: expected {count} numbers")
    changes = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    chosen = RECIPES[recipe].changed(patch=patch or None, **changes)
    preparation = Preparation((*spacing,) or None, Window(*window) if window else ZScore())  # type: ignore[arg-type]
    if dataset is None:
        cases = Mni152(max(32, chosen.batch_size), preparation)
    else:
        cases = Volumes(dataset, preparation, classes, ignored, fold, foreground)
    info = cases.info()
    built = volume_net(net, chosen, info.num_classes)
    name = "residual U-Net" if net == "unet" else net
    twins = {f"plain {name}": zoo.plain(built)} if plain and weights is None else {}
    nets = {name: built, **twins}
    image = (*VOLUME[:-1], info.image_shape[-1] or 1)
    starts = read_starts(weights, nets, image) if weights else {}
    minimised = criterion(loss) if loss else None
    runs = {}
    for label, model in nets.items():
        start = starts.get(label, FRESH).variables
        for number in range(seed, seed + seeds):
            data = chosen.data(cases, cases.largest(), seed=number, workers=workers)
            training = chosen.experiment(model, data, start, minimised, boundaries)
            runs[f"{label}-seed{number}"] = training
    by_intensity = runs[f"{name}-seed{seed}"].data if dataset is None else None
    return Study(
        runs,
        functools.partial(conclude, runs, info.class_names, by_intensity),
        functools.partial(conclude, None, info.class_names, None),
        pictures=PICTURES,
    )


if __name__ == "__main__":
    launch(volumes)
