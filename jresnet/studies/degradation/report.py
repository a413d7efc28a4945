"""Table, figure and sentences of the degradation study."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics
from jresnet.report.figures import depth as depth_of
from jresnet.report.figures import training_curves
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import by_net, conclude_study, picture

HEADERS = ("net", "parameters", "train loss", "train error (%)", "test error (%)", "seconds")
AFTER = (
    "After the last step, in evaluation mode over every example of the split; "
    "means over the seeds, with the standard deviation where there are several."
)
MEANING = (
    "Both columns of nets have the same layers, the same parameters and the same recipe; the "
    "residual ones add each pair of layers' input to its output. A deeper plain net could copy a "
    "shallower one and let the rest be the identity, so a higher training error is no lack of "
    "expressiveness and no overfitting: it is a failure of optimisation. BatchNorm keeps signals "
    "from vanishing and does not cure it. With shortcuts the identity costs nothing to learn.",
    "He et al. 2015 saw this on CIFAR-10 from 20 to 56 plain layers, and residual nets whose "
    "error falls to 110 layers (8.75, 7.51, 7.17, 6.97, 6.43 % at 20, 32, 44, 56, 110).",
)


def conclude(
    folder: Path, results: Mapping[str, Result], provenance: Mapping[str, object]
) -> Conclusion:
    """Draw and write the report.

    Args:
        folder: where everything is written.
        results: results of the trainings, called NET-seedN.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, which states the degradation and its cure, and the page.
    """
    nets = {net: [results[i] for i in labels] for net, labels in by_net(results).items()}
    rows = [row(net, runs) for net, runs in nets.items()]
    panels = {
        title: {
            net: [read_metrics(run.folder) for run in runs]
            for net, runs in nets.items()
            if net.startswith(kind)
        }
        for title, kind in (("Plain nets", "plain"), ("Residual nets", "ResNet"))
    }
    summary = statement(nets)
    caption = (
        "Error against training steps, in the manner of figure 6 of He et al. 2015: training "
        "error thin and dashed, test error bold."
    )
    drawing = training_curves(panels, colour_by=depth_of)
    figure = picture(drawing, folder / "curves.png", caption, summary)
    sections = [
        Section("What happened", [figure, Table(HEADERS, rows, AFTER)]),
    ]
    return conclude_study(
        folder, "Degradation and its cure", summary, sections, provenance, MEANING
    )


def row(net: str, runs: list[Result]) -> tuple[object, ...]:
    """One line of the table."""

    def mean(split: str, metric: str, scale: float, digits: int) -> str:
        values = np.array([scale * run.metrics[split][metric] for run in runs])
        spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{values.mean():.{digits}f}{spread}"

    return (
        net,
        f"{runs[0].parameters:,}",
        mean("train", "loss", 1, 4),
        mean("train", "error", 100, 2),
        mean("test", "error", 100, 2),
        f"{sum(run.seconds for run in runs):.0f}",
    )


def statement(nets: Mapping[str, list[Result]]) -> str:
    """One sentence each on plain and on residual nets: errors of the shallowest and the deepest."""

    def error(net: str, split: str) -> float:
        return 100 * float(np.mean([run.metrics[split]["error"] for run in nets[net]]))

    depths = sorted(int(net.rsplit("-", 1)[1]) for net in nets if net.startswith("plain"))
    shallow, deep = depths[0], depths[-1]
    plain = [error(f"plain-{d}", "train") for d in (shallow, deep)]
    residual = [error(f"ResNet-{d}", "test") for d in (shallow, deep)]
    degraded = "degrades" if plain[1] > plain[0] else "does not degrade"
    cured = "stays trainable" if error(f"ResNet-{deep}", "train") < plain[1] else "fares no better"
    return (
        f"Plain {degraded} with depth: training error {plain[0]:.2f} % at {shallow} layers, "
        f"{plain[1]:.2f} % at {deep}. Residual {cured}: ResNet-{deep} has "
        f"{error(f'ResNet-{deep}', 'train'):.2f} % training and {residual[1]:.2f} % test error "
        f"(ResNet-{shallow}: {residual[0]:.2f} % test)."
    )
