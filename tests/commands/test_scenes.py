"""`predict` and `evaluate` of a run whose task is no classifier."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jresnet.description import rebuilding
from jresnet.run.launch import launch
from tests.commands.conftest import write_image
from tests.commands.scenes import scene, scene_files
from tests.tasks import toys


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few seconds."""
    folder = tmp_path_factory.mktemp("runs") / "scene"
    launch(scene, ["--steps", "120", "--devices", "1", "--workdir", str(folder)])
    return folder


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The library's tasks can be made again from a run's record; here these too."""
    monkeypatch.setattr(rebuilding, "_KNOWN", (*rebuilding._KNOWN, "tests"))


def write_scenes(folder, count=3):
    """Test scenes in twice their size, with a stripe of 4 pixels beside them that is cut away."""
    scenes = toys.scenes(19, 1)
    for number, image in enumerate(scenes["image"][:count]):
        large = np.pad(image.repeat(2, 0).repeat(2, 1), ((0, 0), (4, 4), (0, 0)))
        write_image(folder / f"{number}.png", pixels=large)
    return scenes


def test_boxes_and_maps_are_told_in_pixels_of_the_original(trained, command, tmp_path):
    scenes = write_scenes(tmp_path / "in")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    out_folder = tmp_path / "out"
    status, out, err = command("predict", trained, tmp_path / "in", "--out", out_folder)
    assert (status, err.count("\n")) == (1, 1)
    header, *lines = out.splitlines()
    assert header.split() == ["image", "box", "bright"]
    assert len(lines) == 3 * 2
    results = json.loads((out_folder / "predictions.json").read_text())
    assert results["run"] == str(trained)
    assert set(results["versions"]) > {"jax", "python"}
    assert list(results["skipped"]) == [str(tmp_path / "in" / "bad.png")]
    assert len(results["files"]) == 3
    for number, (path, record) in enumerate(results["files"].items()):
        assert path == str(tmp_path / "in" / f"{number}.png")
        labels = np.asarray(Image.open(out_folder / record["images"]["map"]))
        assert labels.shape == (24, 32)
        assert (labels[:, :4] == toys.IGNORED).all()
        assert (labels[:, -4:] == toys.IGNORED).all()
        truth = scenes["map"][number].repeat(2, 0).repeat(2, 1)
        inside = labels[:, 4:-4]
        assert (inside == truth)[truth != toys.IGNORED].mean() > 0.9
        real = scenes["class"][number] != -1
        wanted = scenes["boxes"][number][real] * 2 + [4, 0, 4, 0]
        assert np.abs(np.array(record["boxes"])[real] - wanted).mean() < 8
        drawing = np.asarray(Image.open(out_folder / record["drawing"]))
        assert drawing.shape == (24, 32, 3)


def test_pictures_of_any_sizes_are_told_of_in_order(trained, command, tmp_path):
    for number, size in enumerate([(12, 12), (40, 30), (12, 12)]):
        write_image(tmp_path / f"{number}.png", number, size)
    status, out, err = command("predict", trained, tmp_path)
    assert (status, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines()[1:] if not line.startswith(" ")]
    assert [Path(name).name for name in names] == ["0.png", "1.png", "2.png"]


def test_evaluate_gives_the_run_its_own_metrics(trained, command):
    result = json.loads((trained / "result.json").read_text())["metrics"]["test"]
    assert set(result) == {"loss", "off", "miou", "median_off"}
    status, out, err = command("evaluate", trained, "--batch-size", "5")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["scene", "test"]] * 4
    printed = {name: float(value) for _, _, name, value in rows}
    assert printed == pytest.approx(result, rel=1e-3)
    status, out, _ = command("evaluate", trained, "--split", "train")
    assert status == 0
    assert out.splitlines()[2].split()[:2] == ["scene", "train"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "--crop", "8", "a.png"), "crop=8: expected none, run"),
        (("predict", "--labels", "b.txt", "a.png"), "labels=b.txt: expected none, run"),
        (("evaluate", "--views", "ten"), "views=ten: expected none; it takes a classifier"),
        (("evaluate", "--scales", "8"), "scales=(8.0,): expected none; it takes a classifier"),
        (("evaluate", "--dataset", "digits"), "dataset='digits': expected none, the run's Scenes"),
    ],
)
def test_flags_of_classifiers_are_refused_in_one_line(arguments, message, trained, command):
    name, *rest = arguments
    status, out, err = command(name, trained, *rest)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_checkpoint_of_another_task_is_one_line(trained, command, tmp_path):
    write_image(tmp_path / "a.png")
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").symlink_to(trained / "checkpoints")
    record = json.loads((trained / "training.json").read_text())
    record["task"]["fields"]["model"]["fields"]["limit"] = 3
    (run / "training.json").write_text(json.dumps(record))
    status, _, err = command("predict", run, tmp_path / "a.png")
    assert (status, err.count("\n")) == (2, 1)
    assert "its checkpoint is of another task" in err


def test_a_task_of_a_run_s_own_code_is_one_line(trained, command, monkeypatch):
    monkeypatch.undo()
    status, _, err = command("predict", trained, "a.png")
    assert (status, err.count("\n")) == (2, 1)
    assert "no trained task (tests.commands.scenes:PredictedScene is not part of" in err


def test_files_go_through_the_run_s_transform_of_whole_examples(command, tmp_path):
    run = tmp_path / "run"
    launch(scene_files, ["--devices", "1", "--pictures", "3", "--workdir", str(run)])
    drawn = json.loads((run / "pictures" / "pictures.json").read_text())["pictures"]
    assert all(p["name"] == f"scenes test {p['index']}.png" for p in drawn)
    for number, size in enumerate([(12, 12), (20, 9)]):
        write_image(tmp_path / "in" / f"{number}.png", number, size)
    (tmp_path / "in" / "2.png").write_bytes(b"no picture")
    status, out, err = command("predict", run, tmp_path / "in", "--out", tmp_path / "out")
    assert (status, err.count("\n")) == (1, 1)
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())["files"]
    maps = [tmp_path / "out" / record["images"]["map"] for record in results.values()]
    first, second = (np.asarray(Image.open(path)) for path in maps)
    assert (first.shape, second.shape) == ((12, 12), (20, 9))
    assert (second[12:] == toys.IGNORED).all()  # below the part that the net was given
    assert (second[:12] != toys.IGNORED).all()
    status, out, err = command("evaluate", run)
    result = json.loads((run / "result.json").read_text())["metrics"]["test"]
    printed = {line.split()[2]: float(line.split()[3]) for line in out.splitlines()[2:]}
    assert printed == pytest.approx(result, rel=1e-3)
