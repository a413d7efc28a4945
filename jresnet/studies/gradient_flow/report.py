"""Tables and sentences of the study of gradient flow."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.curves import read_metrics, series
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.gradient_flow.figures import (
    norms_figure,
    orders_figure,
    scaled_figure,
    singular_figure,
    split_figure,
    training_figure,
)
from jresnet.studies.gradient_flow.measure import Findings, Profile

HEADERS = (
    "net",
    "blocks",
    "|g| at the first block",
    "|g| after the last",
    "first / last",
    "largest error of the split",
)
ROWS = (
    "g is the gradient of the mean cross-entropy by a block's input, over all examples, positions "
    "and channels. The error of shortcut part + branch part against the whole is a share of the "
    "whole's largest entry."
)
NORMS = (
    "Euclidean norm of the gradient at each block's input, the last point after the last block, "
    "as it is and with BatchNorm or He initialisation taken away."
)
SPLIT = (
    "The gradient at each block's input and its two parts, through the shortcut and through the "
    "branch, which add up to it as vectors. A plain net has no shortcut part."
)
ORDERS = (
    "The gradient at the first block as a sum of terms that pass k branches: the share of each k, "
    "<e_k, g> / <g, g>. A plain net has one term, which passes all."
)
SINGULAR = (
    "Largest and smallest singular value of each block's Jacobian on four images: estimates, the "
    "largest a lower bound, the smallest an upper one."
)
SCALED = (
    "Nets of one stage whose shortcuts are multiplied by lambda. Left: the gradient. Right: its "
    "term that passes no branch, relative to the gradient after the last block; dashed, lambda^(L-l)."
)
TRAINED = ("net", "train loss", "test error (%)", "|g| first block, first / last measured")
TRAINING = (
    "Norm of the gradient at the first block's input (on the test images, in training mode) as the "
    "nets train. A line that ends early is a training whose loss became infinite."
)
PAPER = (
    "He et al. 2016 (section 2): with identity shortcuts the gradient at any block's input contains "
    "the gradient at the end itself, unattenuated by any weight, so it is unlikely to vanish even "
    "where weights are small; in a plain net it is a product of weights. With shortcuts scaled by "
    "lambda the direct term is multiplied by lambda^(L-l), and vanishes or explodes (section 3.1: "
    "ResNet-110 with 0.5 on both paths has 12.35 % error on CIFAR-10 against 6.61 %).",
    "He et al. 2015 (section 4.1) checked that with BatchNorm forward signals and gradients of "
    "plain nets do not vanish, and still saw them degrade: what fails in a deep plain net is not "
    "the size of its gradients alone. (experiments.shattered_gradients compares the "
    "gradients of similar inputs.)",
)


def conclude(
    measured: Callable[[], Findings],
    is_trained: bool,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure, draw, write the CSV files and the report.

    Args:
        measured: `measure` with all its arguments.
        is_trained: whether it measures a trained net, or nets at initialisation.
        folder: where everything is written.
        results: results of the trainings, if there were any.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    findings = measured()
    write_tables(folder, findings)
    rows = [row(label, profile) for label, profile in findings.profiles.items()]
    outcomes = [outcome(label, result) for label, result in results.items()]
    summary = statement(findings)
    when = "of the trained net" if is_trained else "at initialisation"
    sections = [
        Section(
            f"Gradients at block inputs, {when}",
            [
                picture(norms_figure(findings), folder / "norms.png", NORMS, summary),
                Table(HEADERS, rows, ROWS),
                picture(split_figure(findings), folder / "split.png", SPLIT),
            ],
        ),
        Section(
            f"The product I + J multiplied out, and its factors, {when}",
            [
                picture(orders_figure(findings), folder / "orders.png", ORDERS),
                picture(singular_figure(findings), folder / "singular.png", SINGULAR),
            ],
        ),
        Section(
            "Scaled shortcuts",
            [picture(scaled_figure(findings), folder / "scaled.png", SCALED)],
        ),
    ]
    if results:
        training = picture(training_figure(results), folder / "training.png", TRAINING)
        sections.append(
            Section(
                "During training, one thing switched",
                [training, Table(TRAINED, outcomes)],
            )
        )
    return conclude_study(folder, "Gradient flow", summary, sections, provenance, PAPER)


def row(label: str, profile: Profile) -> tuple[object, ...]:
    """One line of the table."""
    first, last = profile.inputs[0], profile.inputs[-1]
    numbers = (f"{value:.2e}" for value in (first, last, first / last))
    error = None if profile.error is None else f"{profile.error:.0e}"
    return (label, len(profile.weights), *numbers, error)


def outcome(label: str, result: Result) -> tuple[object, ...]:
    """One line about a training."""
    _, values = series(read_metrics(result.folder), "test", "gradient/input1")
    norms = f"{values[0]:.1e} / {values[-1]:.1e}" if len(values) else None
    if result.diverged:
        return (label, "diverged", None, norms)
    error = f"{100 * result.metrics['test']['error']:.2f}"
    return (label, f"{result.metrics['train']['loss']:.4f}", error, norms)


def write_tables(folder: Path, findings: Findings) -> None:
    """Write blocks.csv, orders.csv, singular_values.csv and scaled.csv."""
    blocks: list[tuple[object, ...]] = []
    for label, profile in findings.profiles.items():
        for i, norm in enumerate(profile.inputs):
            inner = i < len(profile.weights)
            parts = [
                float(values[i]) if inner and values is not None else ""
                for values in (profile.shortcut, profile.branch, profile.weights)
            ]
            blocks.append((label, i + 1, float(norm), *parts))
    orders = [
        (label, k, float(share))
        for label, shares in findings.orders.items()
        for k, share in enumerate(shares)
    ]
    singular = [
        (label, i, *value)
        for label, values in findings.singular.items()
        for i, value in enumerate(values, 1)
    ]
    scaled = [
        (scale, i, float(whole), float(alone))
        for scale, values in findings.scaled.items()
        for i, (whole, alone) in enumerate(zip(*values, strict=True), 1)
    ]
    inputs = ("net", "block", "input", "shortcut part", "branch part", "kernels")
    write_csv(folder / "blocks.csv", inputs, blocks)
    write_csv(folder / "orders.csv", ("net", "branches", "share"), orders)
    extremes = ("net", "block", "largest", "smallest")
    write_csv(folder / "singular_values.csv", extremes, singular)
    write_csv(folder / "scaled.csv", ("lambda", "block", "input", "without any branch"), scaled)


def statement(findings: Findings) -> str:
    """The gradient at both ends, its split, its orders and the scaled shortcuts, in sentences."""
    parts = []
    for label, profile in findings.profiles.items():
        if profile.error is not None:
            ratio = profile.inputs[0] / profile.inputs[-1]
            parts.append(f"{label} {ratio:.2g}")
    worst = max(p.error for p in findings.profiles.values() if p.error is not None)
    text = f"|g| at the first block against the last block's output: {', '.join(parts)}. "
    bare = [
        f"{label.split(',')[0]} {profile.inputs[0] / profile.inputs[-1]:.2g}"
        for label, profile in findings.profiles.items()
        if label.endswith("without BatchNorm")
    ]
    text += f"Without BatchNorm: {', '.join(bare)}. " if bare else ""
    text += f"Shortcut and branch parts add up to the gradient within {worst:.0e}. "
    for label, shares in findings.orders.items():
        if len(shares) > 1 and abs(shares[:-1]).max() > 1e-6:
            mean = float(np.arange(len(shares)) @ shares)
            text += f"In {label} the gradient passes {mean:.1f} of {len(shares) - 1} branches on average. "
    errors = []
    for scale, values in findings.scaled.items():
        ratio = values.shortcut_only / values.shortcut_only[-1]
        theory = scale ** np.arange(len(ratio) - 1, -1, -1.0)
        errors.append(float(abs(ratio / theory - 1).max()))
    return (
        f"{text}The branch-free term of scaled shortcuts is lambda^(L-l) within {max(errors):.0e}."
    )
