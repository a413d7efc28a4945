"""The trainings of the study: each application's nets and plain twins, at each depth."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jresnet.experiment import Experiment
from jresnet.studies.shortcut_worth.application import Application, Case

NOWHERE = Path("nowhere")  # the folder of an application that needs none


def cases(
    application: Application,
    folder: Path | None,
    blocks: Sequence[int],
    seeds: int,
    length: float,
) -> list[Case]:
    """The trainings of an application: shallow before deep, residual before plain.

    Args:
        application: with its own depths and length.
        folder: of the data sets.
        blocks: of each stage, instead of the application's; () for those.
        seeds: repetitions.
        length: factor of the application's length here.
    """
    steps = max(1, round(length * application.steps))
    return [
        Case(depth, residual, seed, steps, folder or NOWHERE)
        for depth in (blocks or application.blocks)
        for residual in (True, False)
        for seed in range(seeds)
    ]


def trainings(
    chosen: Mapping[Application, Sequence[Case]],
) -> dict[str, Experiment]:
    """Experiments by the name APPLICATION/KIND-BLOCKS-seedN, and before them those they start from."""
    runs: dict[str, Experiment] = {}
    for application, each in chosen.items():
        for case in each:
            if application.sources is not None:
                for label, source in application.sources(case).items():
                    runs.setdefault(label, source)
            runs[f"{application.name}/{case.label}"] = application.build(case)
    return runs
