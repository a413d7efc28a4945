"""A run's folder is all that its predictions need: net, statistics, size, channels and classes."""

import dataclasses
import functools
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.cifar10 import cifar10
from jresnet.data.sources.resolve import default_data_dir, open_split
from jresnet.errors import UsageError
from jresnet.report.run_figure import run_curves
from jresnet.run.fingerprint import TRAINING, fingerprint, settle
from jresnet.run.launch import launch
from jresnet.weights.nets import find_net
from jresnet.weights.recorded import read_recorded
from tests.commands.conftest import command, write_image  # noqa: F401 - a fixture

STEPS = ("--steps", "24", "--batch-size", "32", "--depth", "8", "--devices", "1")


def train(folder, *flags):
    launch(cifar10, [*map(str, flags), *STEPS, "--workdir", str(folder)])
    return json.loads((folder / "result.json").read_text())["metrics"]["test"]["error"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on the grey digits, and its test error."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    return folder, train(folder, "--dataset", "digits")


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """A run on dark pictures in folders 0 to 10, its test error, and the pictures.

    Statistics far from ImageNet's, a hue for each class, and an order of names that is not that of
    the numbers.
    """
    root = tmp_path_factory.mktemp("dark")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3)):
        for label in range(11):
            for number in range(count):
                hue = [30 * np.cos(2 * np.pi * (label / 11 + c / 3)) + 32 for c in range(3)]
                pixels = rng.normal(hue, 2, (16, 16, 3)).clip(0, 255).astype(np.uint8)
                write_image(root / "set" / split / str(label) / f"{number}.png", pixels=pixels)
    return (
        root / "run",
        train(root / "run", "--dataset", root / "set", "--learning-rate", 0.05),
        root / "set",
    )


def test_the_learning_rate_is_recorded_and_drawn(digits):
    records = [json.loads(line) for line in (digits[0] / "metrics.jsonl").read_text().splitlines()]
    rates = [record["learning_rate"] for record in records if record["split"] == "train"]
    # 3 steps of warm-up, then tenths at 1/2 and 3/4 of 24 steps.
    expected = [0.01] * 3 + [0.1] * 9 + [0.01] * 6 + [0.001] * 6
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    labels = [ax.get_ylabel() for ax in run_curves(records).axes]
    assert labels == ["loss (log scale)", "error (%)", "learning\nrate"]


def top1(out):
    return float(out.splitlines()[-1].split()[1])


def classes(out):
    return [line.split()[1] for line in out.splitlines()[1:] if not line.startswith(" ")]


def test_evaluate_gives_the_run_its_own_error(digits, dark, command):  # noqa: F811
    status, out, err = command("evaluate", digits[0], "--dataset", "digits")
    assert (status, err) == (0, "")
    assert top1(out) == pytest.approx(100 * digits[1], abs=0.006)
    named = ("cifar_resnet", "--depth", "8", "--weights", dark[0])
    for net in ((dark[0],), named):
        status, out, err = command("evaluate", *net, "--dataset", dark[2])
        assert (status, err) == (0, "")
        assert top1(out) == pytest.approx(100 * dark[1], abs=0.006)
        assert dark[1] < 0.3


def test_predict_takes_grey_nets_and_names_the_run_s_classes(digits, dark, command, tmp_path):  # noqa: F811
    source = open_split("digits", "test", default_data_dir())
    for index in range(40):
        pixels = source[index]["image"][..., 0]
        Image.fromarray(pixels).save(tmp_path / f"{index:02}-{source[index]['label']}.png")
    status, out, _ = command("predict", digits[0], tmp_path)
    assert status == 0
    rows = [line.split() for line in out.splitlines()[1:] if not line.startswith(" ")]
    wrong = [name for name, label, _ in rows if not name.endswith(f"-{label}.png")]
    assert len(wrong) <= 40 * (digits[1] + 0.2)

    pictures = [dark[2] / "val" / name / "0.png" for name in ("2", "10", "9")]
    status, out, _ = command("predict", dark[0], *pictures)
    assert status == 0
    labels = read_recorded(dark[0]).classes
    assert labels == tuple(sorted(map(str, range(11))))
    assert sum(c == p.parent.name for c, p in zip(classes(out), pictures, strict=True)) >= 2


def test_a_set_s_classes_are_matched_by_name_or_refused(digits, command, tmp_path):  # noqa: F811
    source = open_split("digits", "test", default_data_dir())
    examples = [source[i] for i in range(len(source))]
    images = np.stack([example["image"] for example in examples])
    labels = np.array([example["label"] for example in examples])

    def write(name, **more):
        arrays = {f"{s}_images": images for s in ("train", "test")} | more
        np.savez(tmp_path / name, **arrays)
        return command("evaluate", digits[0], "--dataset", tmp_path / name, *flags)

    turned = {f"{split}_labels": 9 - labels for split in ("train", "test")}
    flags = ()
    status, out, _ = write("turned.npz", **turned, class_names=np.array([*"9876543210"]))
    assert (status, top1(out)) == (0, pytest.approx(100 * digits[1], abs=0.006))
    words = np.array([f"digit {n}" for n in range(10)])
    same = {f"{split}_labels": labels for split in ("train", "test")}
    status, _, err = write("words.npz", **same, class_names=words)
    assert (status, err.count("\n")) == (2, 1)
    assert "class 'digit 0' is none of the run's, which are 0, 1, 2" in err
    flags = ("--classes", "numbers")
    status, out, _ = write("words.npz", **same, class_names=words)
    assert (status, top1(out)) == (0, pytest.approx(100 * digits[1], abs=0.006))


def test_export_summary_and_convert_take_a_run(digits, command, tmp_path):  # noqa: F811
    status, out, err = command("export", digits[0], "--out", tmp_path / "net.jax")
    assert (status, err) == (0, "")
    assert "float32[batch, 8, 8, 1] to float32[batch, 10]" in out
    assert "/ 255 - (0.306" in out
    status, out, _ = command("summary", digits[0])
    assert status == 0
    assert "image of 8x8x1" in out
    status, out, _ = command("convert", digits[0], tmp_path / "net.npz")
    assert (status, "cifar names" in out) == (0, True)


def test_a_run_of_a_version_without_a_record_needs_its_net_s_name(dark, command, tmp_path):  # noqa: F811
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "checkpoints").symlink_to(dark[0] / "checkpoints")
    picture = dark[2] / "val" / "2" / "0.png"
    status, _, err = command("predict", folder, picture)
    assert (status, err.count("\n")) == (2, 1)
    assert "keeps no training.json, an older version made it: name its net" in err
    named = ["cifar_resnet", "--depth", "8", "--weights", folder]
    for asked in (("predict", *named, picture), ("evaluate", *named, "--dataset", dark[2])):
        status, _, err = command(*asked)
        assert (status, err.count("\n")) == (2, 1)
        assert "give --resize, --crop, --std as it was trained" in err
    statistics: Any = read_recorded(dark[0]).normalize()
    named += ["--resize", 16, "--crop", 16, "--mean", *statistics.mean, "--std", *statistics.std]
    assert command("predict", *named, picture)[0] == 0
    status, out, _ = command("evaluate", *named, "--dataset", dark[2])
    assert (status, top1(out)) == (0, pytest.approx(100 * dark[1], abs=0.006))


def test_a_grey_net_sees_grey_whatever_the_size(digits, command, tmp_path):  # noqa: F811
    write_image(tmp_path / "colour.png", size=(40, 30))
    for flags in ((), ("--resize", 10, "--crop", 8)):
        status, _, err = command("predict", digits[0], *flags, tmp_path / "colour.png")
        assert (status, err) == (0, "")
    scales = ("--scales", 8, 9)
    assert command("evaluate", digits[0], "--dataset", "digits", *scales)[0] == 0


@pytest.mark.parametrize("text", ["{", "[]", "null", "{}", '{"task": 3, "classes": ["a"]}', "\0"])
def test_a_damaged_record_is_one_line(dark, command, tmp_path, text):  # noqa: F811
    (tmp_path / "checkpoints").symlink_to(dark[0] / "checkpoints")
    (tmp_path / TRAINING).write_text(text)
    status, _, err = command("predict", tmp_path, dark[2] / "val" / "2" / "0.png")
    assert (status, err.count("\n")) == (2, 1)
    assert "training.json" in err


def test_a_study_names_its_trainings(command, tmp_path):  # noqa: F811
    for name in ("plain-8-seed0", "ResNet-8-seed0"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    status, _, err = command("predict", tmp_path, "a.png")
    assert status == 2
    assert "is a study: take one of ResNet-8-seed0, plain-8-seed0 in it" in err


def test_another_training_in_the_same_folder_is_refused(digits, tmp_path):
    def build(**changes):
        arguments = {"dataset": "digits", "depth": 8, "steps": 4, "batch_size": 32} | changes
        return fingerprint(cifar10, cifar10(**arguments))

    settle(tmp_path, "run", build())
    settle(tmp_path, "run", build())
    for changes, words in (
        ({"depth": 14}, r"depths\[0\] 1 there, 2 now"),
        ({"learning_rate": 0.2}, "0.1 there, 0.2 now"),
        ({"batch_size": 16}, "data.batch_size 32 there, 16 now"),
        ({"residual": False}, "shortcut.*ZeroPad there, .*NoShortcut now"),
    ):
        with pytest.raises(UsageError, match=f"another training called run .*{words}"):
            settle(tmp_path, "run", build(**changes))


def test_what_decides_nothing_may_change(tmp_path):
    experiment = cifar10(dataset="digits", depth=8, steps=4)
    settle(tmp_path, "run", fingerprint(cifar10, experiment))
    changed = dataclasses.replace(
        experiment, data=dataclasses.replace(experiment.data, workers=2, threads=1)
    )
    settle(tmp_path, "run", fingerprint(cifar10, changed))


def test_changed_code_is_told_where_it_builds_the_same(tmp_path, caplog):
    experiment = cifar10(dataset="digits", depth=8, steps=4)
    settle(tmp_path, "run", fingerprint(cifar10, experiment))
    settle(tmp_path, "run", fingerprint(launch, experiment))
    assert "run: the experiment's code has changed, what it builds has not" in caplog.text


def test_an_edited_experiment_does_not_print_the_old_result(digits, capsys):
    @functools.wraps(cifar10)
    def edited(**arguments):  # the same name and arguments, another net
        return cifar10(**{**arguments, "depth": 14})

    with pytest.raises(SystemExit) as stop:
        launch(edited, ["--dataset", "digits", *STEPS, "--workdir", str(digits[0])])
    assert stop.value.code == 2
    assert "holds another training called digits" in capsys.readouterr().err


def test_a_run_s_folder_is_a_net(digits):
    net = find_net(str(digits[0]))
    assert (net.image, net.build().num_classes) == ((8, 8, 1), 10)
