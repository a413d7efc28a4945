"""All studies of the treatise, each with its quick defaults, in one gallery.

python -m experiments.all_studies
python -m experiments.all_studies --studies lesion landscape
"""

import functools
import importlib

from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Study
from jresnet.run.launch import launch
from jresnet.studies.all_studies.report import conclude

STUDIES = {
    "degradation": "Deeper plain nets train worse, deeper residual nets better",
    "derivation": "The backward pass by hand, and the net as the sum of its branches",
    "expressiveness": "Every plain net is a residual net",
    "gradient_flow": "The flow of the gradient to the first block",
    "shattered_gradients": "Correlation of the gradients of similar inputs",
    "identity_init": "Nets that start as the identity",
    "shortcuts": "Operations on the shortcut, and the order of norms and activations",
    "cardinality": "Many narrow paths against few wide ones",
    "width_depth": "Wide and shallow against thin and deep",
    "lesion": "Blocks deleted and swapped",
    "paths": "The paths that carry the gradient",
    "landscape": "The surface of the loss",
    "sensitivity": "Sensitivity to the learning rate and the depth",
    "responses": "Responses of the layers",
}


def all_studies(studies: tuple[str, ...] = tuple(STUDIES)) -> Study:
    """One study after another on the embedded data, and a page with all their figures.

    From the degradation of plain nets (He et al. 2015, arXiv:1512.03385) to why residual ones
    train.

    Each study has its own folder and report in the run's folder, as if it were run alone. Finished
    trainings are not repeated.

    Args:
        studies: names of studies, in order.
    """
    if strange := [name for name in studies if name not in STUDIES]:
        raise UsageError(f"studies {', '.join(strange)}: take some of {', '.join(STUDIES)}")
    chosen = {
        name: getattr(importlib.import_module(f"experiments.{name}"), name)() for name in studies
    }
    runs: dict[str, Experiment] = {
        f"{name}/{label}": run
        for name, study in chosen.items()
        for label, run in study.runs.items()
    }
    return Study(runs, functools.partial(conclude, chosen, STUDIES))


if __name__ == "__main__":
    launch(all_studies)
