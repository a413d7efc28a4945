"""Figures of recognition: the ROC, cosines of pairs, the CMC, and pairs as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from jresnet.data.pipeline import ImageData
from jresnet.report.colours import BLUE, ORANGE
from jresnet.report.drawing import enlarged, side_by_side
from jresnet.report.html import Gallery, Thumbnail
from jresnet.report.style import STYLE, assign_colours, layout, literal
from jresnet.studies.stylising.report import save_pixels
from jresnet.tasks.verification import Pairs, Roc

BASELINE = "raw pixels"


@matplotlib.rc_context(STYLE)
def roc_figure(curves: Mapping[str, Roc]) -> Figure:
    """True accepts against false accepts on a log axis, from one false accept on; pixels dashed."""
    figure = Figure(figsize=(7.0, 4.8), layout=layout())
    ax = figure.subplots()
    colours = assign_colours(list(curves), str)
    for name, curve in curves.items():
        x = np.maximum(curve.false, 0.5) / max(1, curve.different)
        y = curve.true / max(1, curve.same)
        ax.step(
            x, y, where="post", color=colours[name], lw=1.8 if name == BASELINE else 2.2,
            ls="--" if name == BASELINE else "-", label=f"{literal(name)}, area {curve.area:.3f}",
        )  # fmt: skip
    most = max(curve.different for curve in curves.values())
    ax.set_xscale("log")
    ax.set(xlim=(0.9 / max(1, most), 1), ylim=(0, 1.02))
    ax.set(xlabel="pairs of two people accepted", ylabel="pairs of one person accepted")
    # Powers of ten would be drawn as formulas, whose fonts are not everywhere.
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(loc="outside lower center", ncols=min(2, len(curves)))
    return figure


@matplotlib.rc_context(STYLE)
def cosine_figure(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]], thresholds: Mapping[str, float]
) -> Figure:
    """How many pairs have each cosine, of one person and of two, a panel for each net.

    Args:
        scores: cosines and whether they are of one person, `[pairs]` each, by net.
        thresholds: drawn as a line.
    """
    figure = Figure(figsize=(max(7.0, 4.4 * len(scores)), 3.6), layout=layout())
    axes = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    bins = np.linspace(-1, 1, 41)
    for ax, (name, (cosine, same)) in zip(axes, scores.items(), strict=True):
        for colour, mask, words in ((ORANGE, ~same, "two people"), (BLUE, same, "one person")):
            ax.hist(cosine[mask], bins, color=colour, alpha=0.65, label=words)
        ax.axvline(thresholds[name], color="black", lw=1.2, ls=":", label="threshold")
        ax.set_title(literal(name), loc="left", fontweight="bold")
        ax.set(xlabel="cosine of a pair", xticks=(-1, -0.5, 0, 0.5, 1))
    axes[0].set_ylabel("pairs")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def pair_gallery(
    title: str, rows: Sequence[int], scores: np.ndarray, pairs: Pairs, data: ImageData, place: Path
) -> Gallery:
    """Pairs as pictures, the two beside each other, their cosine and their names below.

    Args:
        title: of the gallery.
        rows: positions among `pairs`, in the order to be shown.
        scores: cosines of all pairs.
        pairs: of positions in the test split of `data`.
        data: where the pictures are, as the nets see them.
        place: the PNG files' path without `-N.png`; its folder is made.
    """
    source = data.source("test")
    place.parent.mkdir(exist_ok=True)
    thumbnails = []
    for number, row in enumerate(rows, 1):
        positions = int(pairs.left[row]), int(pairs.right[row])
        shown = {index: batch["image"][0] for index, batch in data.pick("test", positions)}
        if len(shown) < len(set(positions)):
            continue  # of a broken file
        pixels = side_by_side([enlarged(shown[index], 128) for index in positions])
        path = save_pixels(place.with_name(f"{place.name}-{number}.png"), pixels)
        names = " and ".join(short(source.describe(index)) for index in positions)
        thumbnails.append(Thumbnail(path, f"cosine {scores[row]:.2f}", names))
    return Gallery(title, thumbnails)


def short(name: str) -> str:
    """The last two parts of a file's path; other names as they are."""
    return "/".join(name.split("/")[-2:])
