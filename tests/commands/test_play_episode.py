"""`predict` of a run that trained an agent: a film, a strip, JSON; flags that are wrong."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from experiments.games import games
from jresnet.__main__ import main
from jresnet.run.launch import launch

pytestmark = pytest.mark.slow
GAME = ("--game", "rooms", "--net", "pooled", "--width", "4", "--episodes", "2")
SIZE = ("--worlds", "8", "--turns", "4", "--frames", "64")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a training in the four rooms."""
    folder = tmp_path_factory.mktemp("games") / "rooms"
    launch(games, [*GAME, *SIZE, "--workdir", str(folder), "--devices", "1"])
    assert (folder / "episode-pooled.png").exists()
    return folder / "pooled-seed0"


def predict(run, *flags):
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(main(["predict", str(run), *map(str, flags)]))
    return stop.value.code


def test_an_episode_is_played_and_filmed(run, tmp_path, capsys):
    assert predict(run, "--out", tmp_path / "out", "--longest", 12, "--sampled") == 0
    heading, _, line = capsys.readouterr().out.splitlines()[:3]
    assert heading.split() == ["episode", "actions", "return", "turns", "end"]
    record = json.loads((tmp_path / "out" / "episode.json").read_text())
    turns = record["turns"]
    assert line.split()[:2] == ["0", "sampled"]
    assert record["end"] == "cut off" or record["return"] == 1
    assert set(record["action"]) <= {"left", "right", "ahead"}
    assert np.shape(record["probability"]) == (turns, 3)
    assert len(record["reward"]) == len(record["value"]) == turns <= 12
    with Image.open(tmp_path / "out" / "episode.gif") as film:
        assert film.n_frames == turns
    with Image.open(tmp_path / "out" / "episode.png") as strip:
        assert strip.width > 800


def test_without_a_folder_it_writes_into_a_new_one_that_it_names(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("pooled-seed0-episode0", "pooled-seed0-episode0-2"):
        assert predict(run.absolute()) == 0
        assert f"written: {name}/episode.gif, episode.png and " in capsys.readouterr().out
        record = json.loads((tmp_path / name / "episode.json").read_text())
        assert record["turns"] <= 100  # after which rooms ends
    assert (tmp_path / "pooled-seed0-episode0" / "episode.gif").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--longest", 0), "longest=0: expected "),
        (("--episode", -1), "episode=-1: expected "),
        (("--out", "."), "out=.: expected a new or empty folder"),
    ],
)
def test_what_cannot_be_played_is_told_in_one_line(run, flags, says, tmp_path, monkeypatch, capsys):
    (tmp_path / "something").write_text("")
    monkeypatch.chdir(tmp_path)
    assert predict(run, *flags) == 2
    assert re.search(re.escape(says), capsys.readouterr().err)
