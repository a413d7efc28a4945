"""Figures, tables and words of the study of gradient flow."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jresnet.experiment import Result
from jresnet.report.curves import read_metrics, series
from jresnet.report.lines import Line, bars, line_panels
from jresnet.studies.gradient_flow import Findings, Profile, Setting

HEADERS = (
    "net",
    "blocks",
    "|g| at the first block",
    "|g| behind the last",
    "first / last",
    "largest error of the split",
)
ROWS = (
    "g is the gradient of the mean cross-entropy by a block's input, over all examples, positions "
    "and channels. The error of shortcut part + branch part against the whole is a share of the "
    "whole's largest entry."
)
NORMS = (
    "Euclidean norm of the gradient at each block's input, the last point behind the last block, "
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
    "term that passes no branch, against that behind the last block; dashed, lambda^(L-l)."
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
    "the size of its gradients alone. (How alike the gradients of similar inputs are is what "
    "experiments.shattered_gradients measures.)",
)


def row(label: str, profile: Profile) -> tuple[object, ...]:
    """One line of the table."""
    first, last = profile.inputs[0], profile.inputs[-1]
    numbers = (f"{value:.2e}" for value in (first, last, first / last))
    error = None if profile.error is None else f"{profile.error:.0e}"
    return (label, len(profile.weights), *numbers, error)


def outcome(label: str, result: Result) -> tuple[object, ...]:
    """One line on a training."""
    _, values = series(read_metrics(result.folder), "test", "gradient/input1")
    norms = f"{values[0]:.1e} / {values[-1]:.1e}" if len(values) else None
    if result.diverged:
        return (label, "diverged", None, norms)
    error = f"{100 * result.metrics['test']['error']:.2f}"
    return (label, f"{result.metrics['train']['loss']:.4f}", error, norms)


def norms_figure(found: Findings) -> Figure:
    """A panel for each net: as it is and switched."""
    panels: dict[str, dict[str, Line]] = {}
    for label, profile in found.profiles.items():
        net, _, switch = label.partition(", ")
        y = profile.inputs
        line = Line(range(1, len(y) + 1), y.tolist())
        panels.setdefault(net, {})[switch or "as it is"] = line
    return line_panels(panels, "block", "|dL/dh| (log scale)", log=True)


def split_figure(found: Findings) -> Figure:
    """A panel for each net."""
    panels = {}
    for label, profile in found.profiles.items():
        if profile.shortcut is None or profile.branch is None:
            continue
        x = range(1, len(profile.shortcut) + 1)
        lines = {
            "whole": profile.inputs[:-1],
            "through the shortcut": profile.shortcut,
            "through the branch": profile.branch,
        }
        panels[label] = {name: Line(x, y.tolist()) for name, y in lines.items()}
    return line_panels(panels, "block", "|dL/dh| (log scale)", log=True)


def orders_figure(found: Findings) -> Figure:
    """Bars for each net."""
    shares = {label: (100 * values).tolist() for label, values in found.orders.items()}
    return bars(shares, 0, "branches passed, k", "share of the gradient (%)")


def singular_figure(found: Findings) -> Figure:
    """A panel for each net."""
    panels = {
        label: {
            "largest": Line(range(1, len(values) + 1), [value.largest for value in values]),
            "smallest": Line(range(1, len(values) + 1), [value.smallest for value in values]),
        }
        for label, values in found.singular.items()
    }
    return line_panels(panels, "block", "singular value (log scale)", log=True)


def scaled_figure(found: Findings) -> Figure:
    """The whole gradient, and its branch-free term."""
    whole, alone, theory = {}, {}, []
    for scale, values in found.scaled.items():
        x = np.arange(1.0, len(values.whole) + 1)
        ratio = values.shortcut_only / values.shortcut_only[-1]
        whole[f"λ = {scale:g}"] = Line(x.tolist(), (values.whole / values.whole[-1]).tolist())
        alone[f"λ = {scale:g}"] = Line(x.tolist(), ratio.tolist())
        theory.append(np.stack([x, scale ** (len(x) - x)]))
        theory.append(np.full((2, 1), np.nan))
    x, y = np.concatenate(theory, 1)
    alone["λ^(L−l)"] = Line(x.tolist(), y.tolist(), dashed=True)
    panels = {"whole gradient": whole, "without any branch": alone}
    return line_panels(
        panels, "block", "|dL/dh$_l$| / |dL/dh$_L$| (log scale)", log=True, columns=5
    )


def training_figure(results: Mapping[str, Result]) -> Figure:
    """A panel for plain nets and one for residual ones."""
    panels: dict[str, dict[str, Line]] = {}
    for label, result in results.items():
        kind, _, switch = label.partition(", ")
        steps, values = series(read_metrics(result.folder), "test", "gradient/input1")
        panels.setdefault(kind, {})[switch] = Line(steps.tolist(), values.tolist())
    return line_panels(panels, "iterations", "|dL/dh| at the first block (log scale)", log=True)


def write_tables(folder: Path, found: Findings) -> None:
    """blocks.csv, orders.csv, singular_values.csv, scaled.csv."""
    blocks: list[tuple[object, ...]] = [
        ("net", "block", "input", "shortcut part", "branch part", "kernels")
    ]
    for label, profile in found.profiles.items():
        for i, norm in enumerate(profile.inputs):
            inner = i < len(profile.weights)
            parts = [
                float(values[i]) if inner and values is not None else ""
                for values in (profile.shortcut, profile.branch, profile.weights)
            ]
            blocks.append((label, i + 1, float(norm), *parts))
    orders = [
        (label, k, float(share))
        for label, shares in found.orders.items()
        for k, share in enumerate(shares)
    ]
    singular = [
        (label, i, *value)
        for label, values in found.singular.items()
        for i, value in enumerate(values, 1)
    ]
    scaled = [
        (scale, i, float(whole), float(alone))
        for scale, values in found.scaled.items()
        for i, (whole, alone) in enumerate(zip(*values, strict=True), 1)
    ]
    for name, lines in (
        ("blocks.csv", blocks),
        ("orders.csv", [("net", "branches", "share"), *orders]),
        ("singular_values.csv", [("net", "block", "largest", "smallest"), *singular]),
        ("scaled.csv", [("lambda", "block", "input", "without any branch"), *scaled]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)


def statement(setting: Setting, found: Findings) -> str:
    """What was measured, in a few sentences."""
    parts = []
    for label, profile in found.profiles.items():
        if profile.error is not None:
            ratio = profile.inputs[0] / profile.inputs[-1]
            parts.append(f"{label} {ratio:.2g}")
    worst = max(p.error for p in found.profiles.values() if p.error is not None)
    text = f"|g| at the first block against the last block's output: {', '.join(parts)}. "
    bare = [
        f"{label.split(',')[0]} {profile.inputs[0] / profile.inputs[-1]:.2g}"
        for label, profile in found.profiles.items()
        if label.endswith("without BatchNorm")
    ]
    text += f"Without BatchNorm: {', '.join(bare)}. " if bare else ""
    text += f"Shortcut and branch parts add up to the gradient within {worst:.0e}. "
    for label, shares in found.orders.items():
        if len(shares) > 1 and abs(shares[:-1]).max() > 1e-6:
            mean = float(np.arange(len(shares)) @ shares)
            text += f"In {label} the gradient passes {mean:.1f} of {len(shares) - 1} branches on average. "
    errors = []
    for scale, values in found.scaled.items():
        ratio = values.shortcut_only / values.shortcut_only[-1]
        theory = scale ** np.arange(len(ratio) - 1, -1, -1.0)
        errors.append(float(abs(ratio / theory - 1).max()))
    return (
        f"{text}The branch-free term of scaled shortcuts is lambda^(L-l) within {max(errors):.0e}."
    )
