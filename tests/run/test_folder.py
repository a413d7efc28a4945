"""A run's folder: whose it is, its name, and the JSON in it."""

import json

import pytest

from jresnet import storage
from jresnet.errors import UsageError
from jresnet.run import folder as run_folder


def test_a_folder_of_another_run_is_refused_with_the_difference(tmp_path):
    folder, provenance = tmp_path / "run", {"commit": "abc"}
    run_folder.claim(folder, "experiments.one", {"depth": 20, "depths": (1, 2)}, provenance)
    before = (folder / "config.json").read_bytes()
    run_folder.claim(folder, "experiments.one", {"depth": 20, "depths": (1, 2)}, provenance)
    with pytest.raises(UsageError, match=r"other arguments \(depth 20 there, 56 asked for\)"):
        run_folder.claim(folder, "experiments.one", {"depth": 56, "depths": (1, 2)}, provenance)
    with pytest.raises(UsageError, match=r"holds experiments\.one, not experiments\.two"):
        run_folder.claim(folder, "experiments.two", {"depth": 20}, provenance)
    assert (folder / "config.json").read_bytes() == before

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"is not empty and holds no config\.json"):
        run_folder.claim(tmp_path / "mine", "experiments.one", {}, provenance)


def test_the_default_folder_is_named_by_what_was_asked_for():
    defaults = {"depth": 20, "dataset": "cifar10", "depths": (20, 56)}
    name = run_folder.default_name("experiments.cifar10", defaults, defaults)
    assert name == "cifar10"
    asked = {"depth": 110, "dataset": "../data/x y", "depths": (20, 56)}
    name = run_folder.default_name("experiments.cifar10", asked, defaults)
    assert name == "cifar10-depth=110-dataset=data_x_y"
    asked = {**defaults, "depths": (8, 14)}
    assert run_folder.default_name("experiments.cifar10", asked, defaults) == "cifar10-depths=8+14"


def test_default_folders_of_other_values_have_other_names():
    values = [
        0.1,
        1e-5,
        -1e-5,
        1.0,
        -1.0,
        None,
        "None",
        True,
        "True",
        "",
        "_",
        (),
        ("",),
        (1, -2),
        (-1, 2),
        12,
        (1, 2),
    ]
    values += ["x" * 300, "x" * 301, "\u732b" * 150, "\u732b" * 151]
    names = [
        run_folder.default_name("experiments.cifar10", {"rate": value}, {"rate": 7})
        for value in values
    ]
    assert names[:5] == [
        f"cifar10-rate={text}" for text in ("0.1", "1e_05", "-1e_05", "1.0", "-1.0")
    ]
    assert len(set(names)) == len(names)
    assert max(len(name.encode()) for name in names) <= 200


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json' is not JSON"):
        run_folder.claim(tmp_path, "experiments.one", {}, {})


def test_written_json_is_whole_or_absent(tmp_path):
    storage.write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(TypeError):
        storage.write_json(tmp_path / "a.json", {"x": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_an_older_default_is_the_same_as_none(tmp_path):
    folder, name = tmp_path / "run", "experiments.finetune"
    run_folder.claim(folder, name, {"statistics": "imagenet", "depth": 8}, {})
    run_folder.claim(folder, name, {"statistics": None, "depth": 8}, {})
    with pytest.raises(UsageError, match='statistics "imagenet" there, "dataset" asked for'):
        run_folder.claim(folder, name, {"statistics": "dataset", "depth": 8}, {})
    usual = {"statistics": None}
    for value, expected in ((None, "finetune"), ("imagenet", "finetune")):
        assert run_folder.default_name(name, {"statistics": value}, usual) == expected
    other = run_folder.default_name(name, {"statistics": "dataset"}, usual)
    assert other == "finetune-statistics=dataset"
