"""The worth of shortcuts: every application's net beside its plain twin, in one table.

    python -m experiments.shortcut_worth --data FOLDER
    python -m experiments.shortcut_worth --data FOLDER --only segmentation video --seeds 3

FOLDER holds the data sets: `bccd`, `camvid`, `cats_dogs`, `cifar10_jpeg`, `nuclei`, `orl_faces`,
`pneumonia`, `sr` and `styles`, each in the layout that its own experiment reads. Applications whose
data or library is missing are named in the report, with what would bring them.
"""

import functools
from pathlib import Path

from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.run.launch import launch
from jresnet.studies.shortcut_worth.applications import ALL
from jresnet.studies.shortcut_worth.report import conclude
from jresnet.studies.shortcut_worth.trainings import cases, trainings

PICTURES = 3  # examples that the deepest residual net of each application draws


def shortcut_worth(
    data: Path | None = None,
    only: tuple[str, ...] = (),
    depths: tuple[int, ...] = (),
    seeds: int = 1,
    length: float = 1.0,
) -> Study:
    """The applications of the residual backbone, each with and without shortcuts, at two depths.

    classification, transfer, segmentation, volumes, detection, masks, keypoints, faces, upscaling,
    style, video, games and disease. Each has the recipe of its own experiment, shortened; the
    report says by how much. By estimate all of them take an hour on two idle CPU cores. A net and
    its plain twin have the same layers, examples and seeds. He et al. 2015 (arXiv:1512.03385) claim
    that shortcuts help where nets are deep; Wang et al. 2021 (arXiv:2104.05623) that they harm
    style.

    Each training has its folder. The same command goes on where it was stopped.

    Args:
        data: folder of the data sets; without it the applications run that need none.
        only: names of applications; by default all.
        depths: residual blocks of each stage, for all; by default each application's own two.
        seeds: repetitions; intervals need 2 or more, and 3 take three times as long.
        length: factor of all lengths.
    """
    names = [application.name for application in ALL]
    if strange := [name for name in only if name not in names]:
        raise UsageError(f"only={' '.join(strange)}: expected some of {', '.join(names)}")
    wanted = [application for application in ALL if not only or application.name in only]
    reasons = {application: application.lacking(data) for application in wanted}
    missing = {application: why for application, why in reasons.items() if why is not None}
    chosen = {
        application: cases(application, data, sorted(set(depths)), seeds, length)
        for application in wanted
        if application not in missing
    }
    if not chosen:
        raise UsageError("; ".join(f"{one.name}: {why}" for one, why in missing.items()))
    runs = trainings(chosen)
    shown = {
        f"{application.name}/{case.label}": PICTURES
        for application, each in chosen.items()
        for case in each
        if case.residual and case.seed == 0 and case.blocks == each[-1].blocks
    }
    return Study(runs, functools.partial(conclude, chosen, missing), pictures=shown)


if __name__ == "__main__":
    launch(shortcut_worth)
