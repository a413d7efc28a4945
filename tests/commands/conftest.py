"""A tiny net's checkpoint, made-up images, and the command line in this process."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from jresnet.__main__ import main
from jresnet.models import zoo
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.nets import random_variables

FLAGS = ("cifar_resnet", "--depth", "8")


class Checkpoint(NamedTuple):
    path: Any
    net: Any
    variables: Any
    state: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """ResNet-8 with 7 classes and random weights."""
    net = zoo.cifar_resnet(8, 7)
    variables = random_variables(net, (32, 32, 3))
    path = tmp_path_factory.mktemp("checkpoint") / "net.npz"
    files.save(to_torch(variables, net), path)
    return Checkpoint(path, net, variables, files.load(path))


@pytest.fixture
def command(capsys):
    """A function from arguments to (exit status, stdout, stderr)."""

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # tyro's, for a flag it does not know
            status = stop.code
        return status, *capsys.readouterr()

    return run


def write_image(path, seed=0, size=(32, 32), pixels=None):
    """A PNG of random pixels, returned as an array."""
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels
