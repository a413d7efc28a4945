"""Disease classification on MedMNIST's files, by its protocol.

    python -m experiments.medmnist --dataset pneumoniamnist.npz
    python -m experiments.medmnist --dataset chestmnist.npz --net resnet50 --size 224
    python -m experiments.medmnist --dataset nodulemnist3d.npz --weighted

The files are at the place that MedMNIST names (arXiv:2110.14795); this command fetches nothing.
"""

import functools
from pathlib import Path
from typing import Literal

from jresnet.data.sources.medmnist import MedMnist
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.models import zoo
from jresnet.recipes.medmnist import MedMnistRecipe, NetName, has_volumes, published
from jresnet.run.launch import launch
from jresnet.studies.medmnist.report import PICTURES, conclude

RECIPE = MedMnistRecipe()


def medmnist(
    dataset: Path | None = None,
    net: NetName = "resnet18",
    size: Literal["own", "224"] = "own",
    width: int | None = None,
    weighted: bool = False,
    grades: bool = False,
    plain: bool = True,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    resamples: int = RECIPE.resamples,
    seeds: int = 1,
) -> Study:
    """A residual net and its plain twin on a file of MedMNIST: pictures or volumes, one class or several labels.

    Adam at 0.001, batches of 128, 100 epochs, the rate a tenth after 50 and 75; pixels from -1 to
    1, no augmentation; the epoch with the best validation AUC counts (arXiv:2110.14795, section 4).
    Volumes: batches of 32, from 0 to 1; those that are shapes, of AdrenalMNIST3D and VesselMNIST3D,
    times a factor drawn from 0 to 1 in training and one half in evaluation.

    The weights of the epoch that counts are not kept: the pictures, result.json and all commands
    that read a run's folder are of the last epoch.

    Published AUC / accuracy of the 12 sets of pictures are in docs/runs.md, such as .944/.854 of
    ResNet-18 on PneumoniaMNIST at 28 pixels, and stand in the report beside those of the run. Of
    the sets of volumes none are kept here. No full training has been run here.

    Deviations: grey images keep one channel at 224 pixels too; volumes have 3-D convolutions, where
    MedMNIST's script has ACS convolutions by default. Not for medical use.

    Args:
        dataset: a .npz of MedMNIST, of any of its 18 sets and resolutions, or one of its form.
        net: ResNet-18 or ResNet-50, with a 3x3 stem without pool below 64 pixels.
        size: own, or 224: pictures enlarged by the nearest pixel.
        width: channels of the first stage instead of 64, for small machines.
        weighted: weigh rare classes and the yes of rare labels like common ones.
        grades: learn the classes as grades in an order (RetinaMNIST), judged by kappa.
        plain: also train the plain twin.
        epochs: passes over the training split instead of 100; the drops scale.
        batch_size: examples a step instead of 128 pictures or 32 volumes.
        learning_rate: rate at the start instead of 0.001.
        resamples: bootstrap samples for the interval of the AUC; 0 for none.
        seeds: repetitions.
    """
    if dataset is None:
        raise UsageError("dataset missing: expected a file, such as pneumoniamnist.npz")
    cases = MedMnist(dataset)
    side = cases.info().image_shape[1] or 28
    if size == "224" and has_volumes(cases):
        raise UsageError("size='224': expected own, these are volumes")
    if grades and cases.many:
        raise UsageError("grades=True: expected one class an image, the set has several labels")
    if grades and weighted:
        raise UsageError("weighted=True: expected none with grades=True, grades have no weights")
    recipe = RECIPE.changed(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weighted=weighted,
        grades=grades,
        resamples=resamples,
        size=224 if size == "224" else None,
    )
    model = recipe.net(net, cases, side, width)
    nets = {net: model} | ({f"plain {net}": zoo.plain(model)} if plain else {})
    runs = {
        f"{label}-seed{seed}": recipe.experiment(one, cases, seed)
        for label, one in nets.items()
        for seed in range(seeds)
    }
    # The paper's numbers at 224 are of pictures of 28 pixels, enlarged; all are of its schedule.
    changes = (width, epochs, batch_size, learning_rate)
    as_published = side == 28 and not grades and not weighted and changes == (None,) * 4
    official = cases.release is not None and as_published
    reference = published(cases.key, net, 224 if size == "224" else side) if official else None
    split = {"MedMNIST v2": "", None: " (not the official split)"}
    title = cases.path.stem + split.get(cases.release, f" (the split of {cases.release})")
    chosen_by = "kappa" if grades else "auc"
    return Study(
        runs, functools.partial(conclude, title, {net: reference}, chosen_by), pictures=PICTURES
    )


if __name__ == "__main__":
    launch(medmnist)
