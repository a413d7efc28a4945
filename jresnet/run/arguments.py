"""Arguments that many experiments share: their types, each with the help of its flag.

An experiment stays a function of plain keyword arguments, and its docstring explains the arguments
that are not of these types:

    def shortcuts(dataset: DatasetName = "digits", depth: int = 20, data_dir: DataDir = None): ...
"""

from pathlib import Path
from typing import Annotated

import tyro

from jresnet.data.normalisation import Statistics

DatasetName = Annotated[
    str,
    tyro.conf.arg(
        help="digits (embedded), a TFDS name such as cifar10, a folder of class folders, or an "
        ".npz such as MedMNIST's."
    ),
]
DataDir = Annotated[
    Path | None,
    tyro.conf.arg(
        help="folder of TFDS data sets; by default TFDS_DATA_DIR or ~/tensorflow_datasets."
    ),
]
BatchSize = Annotated[int, tyro.conf.arg(help="examples a training step.")]
LearningRate = Annotated[float, tyro.conf.arg(help="peak learning rate.")]
Seed = Annotated[int, tyro.conf.arg(help="seed of initialisation, training and every draw.")]

# A net that is trained already.
Weights = Annotated[
    Path | None,
    tyro.conf.arg(
        help="weights of a trained net, to be examined instead of training one: a run's folder or "
        "a checkpoint in torch's layout."
    ),
]
NetName = Annotated[
    str, tyro.conf.arg(help="zoo function that the weights in a file are for; a run knows its net.")
]
WeightsStatistics = Annotated[
    Statistics,
    tyro.conf.arg(
        help="mean and deviation that images were normalised by for the weights in a file; a run "
        "knows its own."
    ),
]
