"""Random damage to the annotations of every layout is one line, or an example the less."""

import re

import numpy as np
import pytest

from jresnet.data.broken import BrokenExampleError, ExampleError
from jresnet.data.sources.boxes import Boxes
from jresnet.data.with_boxes import FitWithBoxes, RandomCropWithBoxes
from jresnet.errors import UsageError
from tests.data.box_folders import LAYOUTS

WORDS = (
    "NaN null -1 1e400 [] {} true 999999999999999999999 0 [[1,2]] -Infinity nan inf \xff"
    r' "x" "\ud800"'
).encode("latin-1").split()  # fmt: skip
TOKEN = re.compile(rb'-?[\d.]+|"[^"]*"|[\[{][^\[\]{}]*[\]}]|\w+')
SUFFIXES = (".json", ".xml", ".txt", ".csv", ".yaml")


def mutated(data, rng):
    """Some bytes are others, a word is another, or a stretch is gone."""
    kind, tokens = rng.integers(3), list(TOKEN.finditer(data))
    if kind == 0 and data:
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        return bytes(damaged)
    if kind == 1 and tokens:
        token = tokens[rng.integers(len(tokens))]
        return data[: token.start()] + rng.choice(WORDS) + data[token.end() :]
    first, last = np.sort(rng.integers(0, len(data) + 1, 2))
    return data[:first] + data[last:]


def read_all(folder, rng):
    """Every example of a folder through two transforms; the number of those that are usable."""
    boxes, usable, lines = Boxes(folder), 0, []
    info = boxes.info()
    for split in ("train", "test"):
        source = boxes.open(split, encoded=True)
        for transform in (FitWithBoxes((20, 30)), RandomCropWithBoxes((16, 16))):
            for index in range(len(source)):
                try:
                    arrays = transform(source[index], rng)
                    transform.validate(arrays, info)
                except (BrokenExampleError, ExampleError) as error:
                    lines.append(str(error))
                    continue
                usable += 1
                assert all(np.isfinite(values).all() for values in arrays.values())
        lines += source.faults()
        assert min(boxes.largest(split)) >= 0
        assert source.sizes().shape == (len(source), 2)
    assert not any("\n" in line for line in lines)
    return usable


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_damaged_annotations_are_told_in_one_line(tmp_path, make):
    folder = make(tmp_path)
    rng = np.random.default_rng(0)
    files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    refused, usable = [], 0
    for _ in range(25):
        path = files[rng.integers(len(files))]
        data = path.read_bytes()
        path.write_bytes(mutated(data, rng))
        try:
            usable += read_all(folder, rng)
        except UsageError as error:
            refused.append(str(error))
        path.write_bytes(data)
    assert usable > 20
    assert len(refused) < 25
    assert not any("\n" in line for line in refused)
    assert read_all(folder, rng) == 8
