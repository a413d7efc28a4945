"""A residual net that computes what a plain net computes, and a deeper one that does so too.

    python -m experiments.expressiveness
    python -m experiments.expressiveness --dataset cifar10 --depth 20 --deeper 56 --steps 64000

He et al. 2015 (arXiv:1512.03385, sections 1 and 3.1): the constructed solution that shows that
degradation is a failure of optimisation and not of expressiveness. The second line takes the
depths at which the paper saw it.
"""

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.analysis.chain import chain
from jresnet.analysis.expressiveness import (
    as_residual,
    biases_into_convolutions,
    branch_sizes,
    deepen,
)
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, NoNorm
from jresnet.models.part import part
from jresnet.recipes import he2015
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.expressiveness import branch_sizes as branch_figure
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.subjects import Subject, trained
from jresnet.weights.fold import fold


def expressiveness(
    dataset: str = "digits",
    depth: int = 20,
    deeper: int = 56,
    steps: int = 120,
    examples: int | None = None,
    learning_rate: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Study:
    """From a trained plain net to the residual net, and the deeper one, of the same function.

    Trains a plain net and a residual one. The plain net's BatchNorm is folded into its
    convolutions, which makes it a net without norms. Its residual twin has the branches
    F(x) = H(x) - x, out of the same weights and kernels that carry x along; the deeper twin has
    further blocks with F = 0. All three give the same logits to rounding (compared in float32 and
    float64) over the test split. How large F has to be is shown beside the branches of the
    residual net that was trained: He et al. 2015 (section 3.1) expect these to be small, functions
    closer to the identity than to zero.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        depth: layers of the nets, 6n+2.
        deeper: layers of the deeper twin, 6n+2.
        steps: training steps of each net, by the recipe of He et al. 2015.
        examples: images of the test split; by default all.
        learning_rate: peak rate of training.
        batch_size: examples a training step.
        seed: of training and of the draw of images.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    classes = data.info().num_classes
    depths = zoo.cifar_resnet(deeper, classes, bottleneck=False).backbone.depths
    residual = zoo.cifar_resnet(depth, classes, bottleneck=False)
    if deeper < depth or depth < 14:
        raise ValueError(f"depth {depth}, deeper {deeper}: take 14 or more, and no less for deeper")
    runs = {
        f"plain-{depth}": he2015(zoo.plain(residual), data, steps, seed, learning_rate),
        f"ResNet-{depth}": he2015(residual, data, steps, seed, learning_rate),
    }
    return Study(runs, functools.partial(conclude, depths, examples, seed, runs))


def conclude(
    depths: tuple[int, ...],
    examples: int | None,
    seed: int,
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Constructs, compares, draws, writes nets.csv, branches.csv and the report."""
    plain, residual = trained(runs, results).values()
    nets = constructed(plain, depths)
    batch = plain.examples("test", examples, seed)
    outputs = {}
    for label, (model, variables) in nets.items():
        outputs[label] = logits(model, variables, plain, batch["image"])
        with jax.enable_x64(True):
            exact = logits(model, variables, plain, batch["image"], jnp.float64)
        outputs[f"{label}, float64"] = exact
    rows, reference = [], list(nets)[1]
    for label, (_, variables) in nets.items():
        wrong = float((outputs[label].argmax(-1) != batch["label"]).mean())
        differences = [
            float(np.abs(outputs[f"{label}{kind}"] - outputs[f"{reference}{kind}"]).max())
            for kind in ("", ", float64")
        ]
        count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        rows.append(
            (label, count, f"{100 * wrong:.2f}", *(f"{value:.1e}" for value in differences))
        )
    print(format_table(HEADERS, rows))

    images = plain.normalize(jnp.asarray(batch["image"][:64]))
    twin = list(nets.values())[2]
    sizes = {
        "constructed from the trained plain net": branch_sizes(chain(twin[0]), twin[1], images),
        "trained as a residual net": branch_sizes(
            chain(residual.model), residual.variables, images
        ),
    }
    for name, lines in (
        ("nets.csv", [HEADERS, *rows]),
        ("branches.csv", [tuple(sizes), *zip(*sizes.values(), strict=True)]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    figure = save(branch_figure(sizes), folder / "branches.png")

    scale = float(np.abs(outputs[reference]).max())
    worst = max(float(row[4]) for row in rows[1:])
    same = "compute the same" if worst < 1e-9 * max(scale, 1) else "do NOT compute the same"
    needed, learned = (float(np.median(values)) for values in sizes.values())
    expected = "smaller, as the paper expects" if learned < needed else "not smaller"
    summary = (
        f"The plain net without norms, its residual twin and the one of {len_layers(depths)} layers {same}: "
        f"logits of up to {scale:.1f} differ by at most {worst:.1e} in float64, test error "
        f"{' / '.join(row[2] for row in rows[1:])} %. A branch has {needed:.2f} times its "
        f"shortcut's size (median over blocks) in the constructed net; in the trained residual "
        f"net {learned:.2f}: {expected}."
    )
    sections = [
        Section("The same function", [Table(HEADERS, rows, CAPTION)]),
        Section("How far from the identity", [Figure(figure, BRANCHES, summary)]),
        Section("What is seen, and what the paper found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Expressiveness", summary, sections, provenance)


HEADERS = (
    "net",
    "parameters",
    "test error (%)",
    "largest difference of logits, float32",
    "float64",
)
CAPTION = (
    "In evaluation, over the test images; differences are to the plain net whose BatchNorm is folded "
    "into the convolutions, which is done in float32 and rounds the trained net's weights."
)
BRANCHES = (
    "Size of each block's branch against its shortcut, before the closing ReLU, over 64 test "
    "images: Euclidean norms over all examples, positions and channels."
)
PAPER = (
    "The branch of the constructed net has wider inner convolutions: kernels that copy carry the "
    "block's input through its ReLUs, which let it pass as it is not negative, and the last "
    "convolution subtracts it. The twin with more blocks has zeros in their last convolutions.",
    "He et al. 2015: a deeper net has a solution by construction, the shallower net and identity "
    "blocks, so it should train no worse; that plain nets do is a failure of the solvers. Residual "
    "branches need only be driven to zero for an identity. The paper's figure 7 takes the small "
    "responses of residual nets as a sign that branches are closer to zero than plain layers are.",
)


def len_layers(depths: tuple[int, ...]) -> int:
    """Layers of a CIFAR net of two-layer blocks."""
    return 2 * sum(depths) + 2


def constructed(
    plain: Subject, depths: tuple[int, ...]
) -> dict[str, tuple[Classifier, Mapping[str, Any]]]:
    """The plain net, without its norms, as a residual net, and as a deeper one."""
    folded, variables = fold(plain.model, plain.variables)
    backbone: Any = folded.backbone
    bare = folded.clone(backbone=backbone.clone(norm=NoNorm, conv=part(Conv, use_bias=True)))
    moved = {"params": biases_into_convolutions(variables["params"])}
    twin = as_residual(bare, moved)
    return {
        plain.label: (plain.model, plain.variables),
        "BatchNorm folded": (bare, moved),
        "residual twin": twin,
        f"residual twin, {len_layers(depths)} layers": deepen(*twin, depths),
    }


def logits(
    model: Classifier, variables: Any, subject: Subject, images: np.ndarray, dtype: Any = None
) -> np.ndarray:
    """Of uint8 images, in evaluation, in batches of 256."""

    @jax.jit
    def compute(variables: Any, images: jax.Array) -> Any:
        images = subject.normalize(images)
        return model.apply(
            variables, images if dtype is None else images.astype(dtype), train=False
        )

    variables = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), variables)
    return np.concatenate(
        [np.asarray(compute(variables, images[i : i + 256])) for i in range(0, len(images), 256)]
    )


if __name__ == "__main__":
    launch(expressiveness)
