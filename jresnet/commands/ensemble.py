"""`ensemble`: errors of the mean of several nets' probabilities."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jresnet.commands.classifier_errors import HEADERS, Outputs, errors
from jresnet.data.sources import zips
from jresnet.errors import UsageError
from jresnet.report.text import format_table
from jresnet.run import ranges


def ensemble(argv: Sequence[str]) -> int:
    """Errors of several nets and of the mean of their probabilities.

    `ensemble r34.npz r50.npz r101.npz r152.npz`

    The files are those of `evaluate --out`, on the same examples; He et al. 2015, table 5.
    """
    if len(argv) < 2:
        raise UsageError(f"ensemble {' '.join(argv)}: give two files of evaluate --out or more")
    ranges.check({"file": tuple(map(Path, argv))}, {}, "ensemble")
    nets = [read(Path(path)) for path in argv]
    label = nets[0]["label"]
    for path, net in zip(argv, nets, strict=True):
        if not np.array_equal(net["label"], label):
            raise UsageError(f"{path!r} is of other examples than {argv[0]!r}")
        if net["probabilities"].shape != nets[0]["probabilities"].shape:
            raise UsageError(f"{path!r} has other classes than {argv[0]!r}")
    rows = [
        (path, *errors(net["probabilities"], label)) for path, net in zip(argv, nets, strict=True)
    ]
    mean = np.mean([net["probabilities"] for net in nets], 0)
    print(format_table(HEADERS, [*rows, ("ensemble", *errors(mean, label))]))
    return 0


def read(path: Path) -> Outputs:
    """Probabilities and labels that `evaluate --out` wrote. Raises UsageError for anything else."""
    try:
        outputs = {name: zips.read_array(path, name) for name in ("probabilities", "label")}
    except zips.ZipError as error:
        raise UsageError(f"{str(path)!r} is not of evaluate --out ({error})") from error
    shapes = [array.shape for array in outputs.values()]
    if len(shapes[0]) != 2 or shapes[0][:1] != shapes[1]:
        raise UsageError(f"{str(path)!r} is not of evaluate --out (its arrays are {shapes})")
    return outputs
