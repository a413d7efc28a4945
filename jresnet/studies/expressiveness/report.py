"""Tables, figure and sentences of the expressiveness study."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.expressiveness.figures import branch_sizes
from jresnet.studies.expressiveness.measure import (
    Compared,
    compare,
    constructed,
    len_layers,
    sizes_of_branches,
)
from jresnet.studies.subjects import trained

HEADERS = (
    "net",
    "parameters",
    "test error (%)",
    "largest difference of logits, float32",
    "float64",
)
CAPTION = (
    "In evaluation, over the test images. Differences are relative to the plain net with BatchNorm folded "
    "into its convolutions. Folding is in float32, which rounds the trained net's weights."
)
BRANCHES = (
    "Size of each block's branch relative to its shortcut, before the closing ReLU, over 64 test "
    "images: Euclidean norms over all examples, positions and channels."
)
PAPER = (
    "The branch of the constructed net has wider inner convolutions. Some of their kernels copy the "
    "block's input; it is not negative, so the ReLUs do not change it, and the last convolution "
    "subtracts it. In the deeper twin the last convolutions of the added blocks are zero.",
    "He et al. 2015: a deeper net has a solution by construction, the shallower net and identity "
    "blocks, so it should train no worse; that plain nets do is a failure of the solvers. Residual "
    "branches need only be driven to zero for an identity. The paper's figure 7 takes the small "
    "responses of residual nets as a sign that branches are closer to zero than plain layers are.",
)


def conclude(
    depths: tuple[int, ...],
    examples: int | None,
    seed: int,
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Construct, compare, draw, write nets.csv, branches.csv and the report.

    Args:
        depths: blocks of each stage of the deeper twin.
        examples: images of the test split; None for all.
        seed: seed of their draw.
        runs: the plain net, then the residual one.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    plain, residual = trained(runs, results).values()
    nets = constructed(plain, depths)
    batch = plain.examples("test", examples, seed)
    compared = compare(nets, plain, batch)
    rows = [row(net) for net in compared]
    twin = list(nets.values())[2]
    images = plain.normalize(jnp.asarray(batch["image"][:64]))
    sizes = sizes_of_branches(twin, residual, images)
    write_csv(folder / "nets.csv", HEADERS, rows)
    write_csv(folder / "branches.csv", tuple(sizes), zip(*sizes.values(), strict=True))
    summary = statement(compared, depths, *sizes.values())
    figure = picture(branch_sizes(sizes), folder / "branches.png", BRANCHES, summary)
    sections = [
        Section("The same function", [Table(HEADERS, rows, CAPTION)]),
        Section("How far from the identity", [figure]),
    ]
    return conclude_study(folder, "Expressiveness", summary, sections, provenance, PAPER)


def row(net: Compared) -> tuple[object, ...]:
    """One line of the table."""
    differences = (f"{value:.1e}" for value in (net.single, net.double))
    return (net.label, net.parameters, f"{net.error:.2f}", *differences)


def statement(
    compared: Sequence[Compared],
    depths: tuple[int, ...],
    needed: Sequence[float],
    learned: Sequence[float],
) -> str:
    """Whether the nets compute the same, and how large their branches are.

    Args:
        compared: the plain net, then those without norms.
        depths: blocks of each stage of the deeper twin.
        needed: sizes of the constructed net's branches.
        learned: those of the trained residual net.
    """
    scale, others = compared[1].scale, compared[1:]
    worst = max(net.double for net in others)
    same = "compute the same" if worst < 1e-9 * max(scale, 1) else "do NOT compute the same"
    built, trained = float(np.median(needed)), float(np.median(learned))
    expected = "smaller, as the paper expects" if trained < built else "not smaller"
    return (
        f"The plain net without norms, its residual twin and the one of {len_layers(depths)} "
        f"layers {same}: logits of up to {scale:.1f} differ by at most {worst:.1e} in float64, "
        f"test error {' / '.join(f'{net.error:.2f}' for net in others)} %. A branch has "
        f"{built:.2f} times its shortcut's size (median over blocks) in the constructed net; in "
        f"the trained residual net {trained:.2f}: {expected}."
    )
