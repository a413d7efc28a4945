"""Cardinality: many narrow paths against few wide ones at equal cost; and three forms of one block.

    python -m experiments.cardinality
    python -m experiments.cardinality --dataset cifar10 --nets 1x64d 2x40d 4x24d 8x14d 32x4d \
        --blocks 3 --width 64 --steps 64000 --seeds 5

Xie et al. 2016 (arXiv:1611.05431, sections 3.3 and 5.1, table 3), on ImageNet: ResNet-50 in the
form 1 x 64d has 23.9 % top-1 error, 2 x 40d 23.0, 4 x 24d 22.6, 8 x 14d 22.3, 32 x 4d 22.2.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import jax
import numpy as np

from jresnet.analysis.cardinality import aggregated
from jresnet.analysis.chain import chain
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Result, Study
from jresnet.models import zoo
from jresnet.models.block import Block
from jresnet.models.heads import Classifier
from jresnet.models.published import count_net
from jresnet.report.bars import compared
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.variants import measured, slug, trainings, write_csv
from jresnet.tasks.base import Array, Variables
from jresnet.weights.run import read_variables

# C x d of equal cost in a bottleneck of 256 channels, and the top-1 error on ImageNet (table 3).
PUBLISHED = {"1x64d": 23.9, "2x40d": 23.0, "4x24d": 22.6, "8x14d": 22.3, "32x4d": 22.2}


def cardinality(
    dataset: str = "digits",
    nets: tuple[str, ...] = ("1x64d", "2x40d", "4x24d", "8x14d"),
    blocks: int = 1,
    width: int = 32,
    steps: int = 160,
    seeds: int = 1,
    learning_rate: float = 0.1,
    batch_size: int = 128,
    data_dir: Path | None = None,
) -> Study:
    """Nets of 1 x 64d, 2 x 40d, 4 x 24d, 8 x 14d and 32 x 4d, which cost about the same.

    Three stages of bottlenecks, as ResNeXt-29, by the recipe of He et al. 2015. C x d is that of a
    block of 256 channels: in a stage of `width` (times 4) channels d shrinks in proportion. Of each
    trained net every block is computed in the paper's three forms (figure 3): C paths summed, C
    paths behind each other, one grouped convolution; the largest difference is in the table.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        nets: C x d each, of those; 32x4d is left out by default, because XLA:CPU is slow at many
            groups.
        blocks: in each of the three stages; ResNeXt-29 has 3.
        width: of the first stage, a multiple of 32; ResNeXt-29 has 64.
        steps: training steps of each net.
        seeds: repetitions.
        learning_rate: peak rate.
        batch_size: examples a training step.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    if width % 32:
        raise ValueError(f"width={width}: expected a multiple of 32")
    if strange := [name for name in nets if name not in PUBLISHED]:
        raise ValueError(f"nets={' '.join(strange)}: expected some of {', '.join(PUBLISHED)}")
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    sizes = {name: map(int, name.removesuffix("d").split("x")) for name in nets}
    models = {
        name: zoo.cifar_resnext29(
            paths,
            path_width,
            data.info().num_classes,
            depths=(blocks,) * 3,
            widths=(width, 2 * width, 4 * width),
        )
        for name, (paths, path_width) in sizes.items()
    }
    runs = trainings(models, data, steps, seeds, learning_rate)
    return Study(runs, functools.partial(conclude, models, data))


def conclude(
    nets: Mapping[str, Classifier],
    data: ImageData,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Table, figure, cardinality.csv and the report; the closing line."""
    rows = measured(nets, results, data.batch_size)
    write_csv(folder / "cardinality.csv", rows)
    image = tuple(data.example_batch["image"].shape[1:])
    apart = {
        name: forms_apart(net, results[f"{slug(name)}-seed0"].folder, image)
        for name, net in nets.items()
    }
    cells = [
        (
            row.name,
            f"{row.parameters:,}",
            f"{count_net(nets[row.name], image).macs / 1e6:.1f}",
            f"{row.step_ms:.0f}",
            f"{row.train:.2f}",
            row.test_cell(),
            f"{apart[row.name]:.1e}",
            f"{PUBLISHED[row.name]:.1f}",
        )
        for row in rows
    ]
    print(format_table(HEADERS, cells))
    drawn = compared(
        [row.name for row in rows],
        [row.test for row in rows],
        [(row.lowest, row.highest) for row in rows],
        "test error (%)",
    )
    figure = save(drawn, folder / "cardinality.png")
    first, best = rows[0], min(rows, key=lambda row: row.test)
    agree = "as" if best.name == "32x4d" else "not as"
    summary = (
        f"At equal cost {best.name} has the lowest test error, {best.test:.2f} % ({first.name}: "
        f"{first.test:.2f} %; {agree} in the paper, where 32x4d has). The three forms of a block "
        f"differ by at most {max(apart.values()):.1e} of its largest value."
    )
    sections = [
        Section("Error at equal cost", [Figure(figure, CAPTION, summary), Table(HEADERS, cells)]),
        Section("What is seen, and what the paper found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Cardinality", summary, sections, provenance)


def forms_apart(net: Classifier, run: Path, image: tuple[int, ...]) -> float:
    """The largest difference between forms (a) or (b) and (c) in any block of a trained net.

    On normal noise through the net, relative to the largest value of the block's output.
    """
    variables = read_variables(run / "checkpoints")
    parts = chain(net, len(image) - 1)
    noise = jax.random.normal(jax.random.key(0), (8, *image))
    x, apart = parts.stem(variables, noise), 0.0
    for piece in parts.blocks:
        a, b, c = map(np.asarray, forms(cast(Block, piece.module), piece.own(variables), x))
        worst = max(np.abs(a - c).max(), np.abs(b - c).max())
        apart, x = max(apart, float(worst / np.abs(c).max())), c
    return apart


@functools.partial(jax.jit, static_argnums=0)
def forms(block: Block, variables: Variables, x: Array) -> list[Array]:
    """A block's output in forms (a), (b) and (c), which is the block itself."""
    return [aggregated(block, variables, x, form) for form in "abc"]


HEADERS = (
    "C x d",
    "parameters",
    "MMAC",
    "ms a step",
    "train error (%)",
    "test error (%)",
    "forms apart",
    "paper, ImageNet top-1 (%)",
)
CAPTION = "Medians over the seeds, with the lowest and the highest where there are several."
PAPER = (
    "Xie et al. 2016: at equal parameters and multiplications more and narrower paths are better, "
    "from 23.9 % with one to 22.2 % with 32, and more of them gain more than wider or deeper nets "
    "of twice the cost. The training error falls too, so it is no regularisation but a stronger "
    "representation. On a CPU grouped convolutions are slower than their cost says.",
)


if __name__ == "__main__":
    launch(cardinality)
