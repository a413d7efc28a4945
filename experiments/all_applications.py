"""Every application of residual nets on one page: its pictures, its number, and a published one.

    python -m experiments.shortcut_worth --data FOLDER --workdir runs/worth
    python -m experiments.all_applications
    python -m experiments.all_applications --runs runs/worth runs/segment runs/video

Residual nets are those of He et al. 2015 (arXiv:1512.03385).
"""

import functools
from pathlib import Path

from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.run.launch import launch
from jresnet.studies.all_applications.report import conclude
from jresnet.studies.shortcut_worth.applications import ALL

RUNS = (Path("runs"),)


def all_applications(runs: tuple[Path, ...] = RUNS) -> Study:
    """A page of finished runs; nothing is trained.

    An application's own run counts before the short trainings of experiments.shortcut_worth, and of
    several the newest; rehearsals by --smoke do not count. An application without a run is on the
    page too, with its command.

    Args:
        runs: folders of runs, or folders with runs in them.
    """
    # A fresh clone has no runs: its page tells the commands.
    for folder in runs if runs != RUNS else ():
        if not folder.is_dir():
            raise UsageError(f"runs={folder}: expected a folder")
    return Study({}, functools.partial(conclude, ALL, runs))


if __name__ == "__main__":
    launch(all_applications)
