"""The input pipeline measured by itself."""

import re
import time

import pytest

from jresnet.__main__ import main
from jresnet.commands.input import input_rate
from jresnet.data.pipeline import ImageData
from tests.data.conftest import jpegs


def test_a_row_for_each_number_of_workers(tmp_path, capsys):
    jpegs(tmp_path, {"ant": 20, "bee": 20})
    arguments = ["--workers", "0", "--batch-size", "4", "--image-size", "16", "--seconds", "0.2"]
    assert main(["input", str(tmp_path), *arguments]) == 0
    title, alone, *table = capsys.readouterr().out.splitlines()
    assert re.search(
        r"40 examples to train on, random crops of 16, JPEGs by (simplejpeg|Pillow)", title
    )
    bare, cores = re.search(
        r"alone, from memory: (\d+) images/s on one of (\d+) cores", alone
    ).groups()
    (row,) = [line.split() for line in table if line.strip().startswith("0 ")]
    assert float(row[1]) > 10
    share = float(row[1]) / (float(bare) * int(cores))
    assert float(row[2].rstrip("%")) / 100 == pytest.approx(share, abs=0.02)


def test_the_rate_is_that_of_the_batches_after_the_first(monkeypatch):
    def train(self, start=0, host=(0, 1)):
        time.sleep(0.5)  # workers start
        while True:
            yield {}
            time.sleep(0.01)

    monkeypatch.setattr(ImageData, "train", train)
    first, rate = input_rate(ImageData("digits", batch_size=10, threads=1), 0.5)
    assert first >= 0.5
    assert 300 < rate <= 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["./nowhere"], "no such folder"),
        (["synthetic", "--seconds", "0"], "seconds=0.0"),
        (["synthetic", "--workers", "-1"], "workers=-1"),
        (["synthetic", "--batch-size", "9999"], "batch_size=9999: 'synthetic' has only 512"),
    ],
)
def test_what_it_refuses(arguments, message, capsys):
    assert main(["input", *arguments]) == 2
    assert message in capsys.readouterr().err
