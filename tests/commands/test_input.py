"""The command that measures the input pipeline, on a folder and on photographs it makes."""

import importlib.util

import pytest

from jresnet.__main__ import main
from jresnet.benchmark import input as benchmark
from jresnet.benchmark import input_sets
from jresnet.benchmark.photos import make_photos
from jresnet.commands import input as command
from jresnet.data.cores import cores
from tests.data.conftest import jpegs

QUICK = ["--workers", "0", "--threads", "2", "--seconds", "0.2", "--repeats", "1"]


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def rows(lines):
    """The cells of the table's rows by their name."""
    cells = [line.rsplit(maxsplit=4) for line in lines]
    return {name.strip(): values for name, *values in (row for row in cells if len(row) == 5)}


def test_the_table_of_a_folder(tmp_path, capsys, without_torch):
    jpegs(tmp_path, {"ant": 20, "bee": 20})
    assert main(["input", str(tmp_path), *QUICK, "--batch-size", "4", "--image-size", "16"]) == 0
    title, *table = capsys.readouterr().out.splitlines()
    assert "40 examples to train on, random crops of 16, batches of 4, JPEGs by " in title
    assert title.endswith(f", {cores()} CPU cores")
    rates = rows(table)
    alone, at_once = rates[benchmark.ALONE], rates[benchmark.ALL_CORES]
    piped = rates["pipeline, 0 workers of 2 threads"]
    assert alone[0] == alone[1]
    assert alone[2] == at_once[3] == "100%"
    assert float(piped[1]) == pytest.approx(float(piped[0]) / cores(), abs=1)
    share = float(piped[0]) / (cores() * float(alone[0]))
    assert float(piped[2].rstrip("%")) / 100 == pytest.approx(share, abs=0.02)
    assert rates[f"{benchmark.TORCH}: not installed"] == ["–"] * 4


def test_photographs_are_made_and_removed(capsys, monkeypatch):
    photos = []

    def noted(folder, count):
        photos.append(folder)
        return make_photos(folder, count)

    monkeypatch.setattr(input_sets, "make_photos", noted)
    monkeypatch.setattr(command, "measure", lambda *_: {})
    assert main(["input", *QUICK, "--photos", "8", "--batch-size", "4"]) == 0
    out = capsys.readouterr().out
    assert "JPEG, 500 x 375, quality 90, " in out
    assert "8 examples to train on, random crops of 224" in out
    assert [folder.exists() for folder in photos] == [False]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "unit", "words"),
    [
        ("boxes", "images/s", "photographs with boxes made, JPEG, 500 x 375"),
        ("clips", "clips/s", "films made, H.264, 320 x 240, 100 frames"),
    ],
)
def test_sets_of_other_kinds_are_made_and_measured(kind, unit, words, capsys, monkeypatch):
    if kind == "clips":
        pytest.importorskip("av", reason="films are written by PyAV")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "torchvision" else real(name, *rest),
    )
    assert main(["input", "--kind", kind, *QUICK, "--photos", "4", "--batch-size", "2"]) == 0
    title, *table = capsys.readouterr().out.splitlines()
    assert title.startswith(words)
    assert ": 4 examples to train on, " in title
    assert unit in table[0]
    rates = rows(table)
    assert float(rates["pipeline, 0 workers of 2 threads"][0]) > 0
    assert rates[benchmark.ALONE][2] == "100%"
    assert rates[f"{benchmark.PEERS[kind]}: not installed"] == ["–"] * 4
    few = ["--photos", "4", "--batch-size", "2", "--work"]
    assert main(["input", "--kind", kind, *QUICK, *few]) == 0
    rates = rows(capsys.readouterr().out.splitlines()[1:])
    assert {benchmark.ALONE, f"{benchmark.PEERS[kind]}, one thread: not installed"} <= set(rates)
    assert not [name for name in rates if name.startswith("pipeline")]


def test_images_as_they_are_have_nothing_to_decode(capsys):
    assert main(["input", "synthetic", *QUICK, "--image-size", "None"]) == 0
    rates = rows(capsys.readouterr().out.splitlines()[1:])
    assert rates["pipeline, 0 workers of 2 threads"][2:] == ["–", "–"]
    assert benchmark.ALONE not in rates


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["./nowhere"], "no such folder"),
        (["synthetic", "--seconds", "0"], "seconds=0.0: expected a finite number above 0"),
        (["synthetic", "--repeats", "0"], "repeats=0: expected a whole number from 1"),
        (["synthetic", "--workers", "-1"], "workers=-1"),
        (["synthetic", "--threads", "0"], "threads=0: expected a whole number from 1"),
        (["synthetic", "--workers"], "workers=(): expected at least one number"),
        (["synthetic", "--batch-size", "9999"], "batch_size=9999: 'synthetic' has only 512"),
        (["synthetic", "--photos", "64"], "photos=64: expected either a dataset or photos"),
        (["--photos", "31"], "photos=31: expected at least 32, a batch"),
        (["--kind", "clips", "--photos", "7"], "photos=7: expected at least 8, a batch"),
        (["--work"], "work=True: expected a kind of boxes, maps or clips"),
        (["synthetic", "--kind", "maps"], "kind=maps: expected no dataset, its set is made"),
    ],
)
def test_what_it_refuses(arguments, message, capsys):
    assert main(["input", *arguments]) == 2
    assert message in capsys.readouterr().err
