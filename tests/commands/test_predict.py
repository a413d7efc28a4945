"""`predict`: the right classes for the right files, and one line for whatever is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jresnet.commands import files as of_files
from jresnet.commands import predict_pictures
from jresnet.commands.predict_flags import read_labels
from jresnet.commands.treatment import evaluation
from jresnet.data.decoders import DecodeError
from jresnet.data.normalisation import IMAGENET, Normalize
from jresnet.errors import UsageError
from jresnet.weights import files
from jresnet.weights.nets import find_net
from tests.commands.conftest import FLAGS, write_image
from tests.nets import apply, read_arrays


def likeliest(checkpoint, pixels, normalize=IMAGENET):
    """[(class, probability)] of each image, the likeliest first."""
    logits = apply(checkpoint.net, checkpoint.variables, normalize(np.stack(pixels)), train=False)
    probabilities = np.asarray(jax.nn.softmax(logits))
    order = np.argsort(-probabilities, 1)[:, :5]
    return [[(k, row[k]) for k in ks] for row, ks in zip(probabilities, order, strict=True)]


def parse_table(stdout):
    """[(file, [(class, probability)])] of a table whose classes hold no spaces."""
    header, *lines = stdout.splitlines()
    assert header.split() == ["image", "class", "probability"]
    assert len({len(line) for line in lines}) == 1, "columns are not aligned"
    told = []
    for line in lines:
        *name, label, probability = line.split()
        if name:
            told.append((name[0], []))
        told[-1][1].append((label, float(probability)))
    return told


def test_files_and_folders_in_order_and_in_batches(checkpoint, command, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_pictures, "BATCH", 3)  # five images: the second batch is padded
    names = ["b.png", "in/z.png", "in/a.png", "in/deeper/c.PNG", "in/d.png"]
    pixels = {name: write_image(tmp_path / name, i) for i, name in enumerate(names)}
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "in" / "._a.png").write_text("x")  # what macOS leaves beside files
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"name{i}" for i in range(7)) + "\n")
    status, out, err = command(
        "predict", *FLAGS, "--weights", checkpoint.path, "--labels", labels,
        tmp_path / "b.png", tmp_path / "in",
    )  # fmt: skip
    assert (status, err) == (0, "")
    order = ["b.png", "in/a.png", "in/d.png", "in/deeper/c.PNG", "in/z.png"]
    told = parse_table(out)
    assert [name for name, _ in told] == [str(tmp_path / name) for name in order]
    wanted = likeliest(checkpoint, [pixels[name] for name in order])
    for (_, rows), classes in zip(told, wanted, strict=True):
        assert [label for label, _ in rows] == [f"name{k}" for k, _ in classes]
        np.testing.assert_allclose([p for _, p in rows], [p for _, p in classes], atol=1e-4)


def test_foreign_names_are_shown_and_not_obeyed(checkpoint, command, tmp_path):
    write_image(tmp_path / "\x1b[2J\n.png")
    (tmp_path / os.fsdecode(b"\xff\x07.jpg")).write_bytes(b"no picture")
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"\x1b[31m\u202e{i}\n" for i in range(7)))
    status, out, err = command(
        "predict", *FLAGS, "--weights", checkpoint.path, "--labels", labels, tmp_path
    )
    assert status == 1
    assert not set("\x1b\x07\u202e\udcff") & set(out + err)
    ((name, rows),) = parse_table(out)
    assert name.endswith(r"\x1b[2J\n.png")
    assert rows[0][0].startswith(r"\x1b[31m\u202e")
    assert r"\xff\x07.jpg" in err


def test_size_and_normalisation_are_flags(checkpoint, command, tmp_path):
    pixels = write_image(tmp_path / "a.png", size=(48, 40))
    status, out, _ = command(
        "predict", *FLAGS, "--weights", checkpoint.path, "--resize", "40", "--crop", "24",
        "--mean", "0.1", "0.2", "0.3", "--std", "1", "2", "3", tmp_path / "a.png",
    )  # fmt: skip
    assert status == 0
    normalize = Normalize((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    (wanted,) = likeliest(checkpoint, [pixels[12:36, 8:32]], normalize)
    ((_, told),) = parse_table(out)
    assert [int(label) for label, _ in told] == [k for k, _ in wanted]
    np.testing.assert_allclose([p for _, p in told], [p for _, p in wanted], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "resize", "crop"), [("cifar_resnet", 32, 32), ("resnet50", 256, 224), ("wrn", 32, 32)]
)
def test_published_sizes(name, resize, crop):
    size = evaluation(find_net(name))
    assert (size.resize, size.crop) == (resize, crop)


def test_what_cannot_be_read_is_named_and_the_rest_predicted(checkpoint, command, tmp_path):
    write_image(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "a.png").write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    asked = ["predict", *FLAGS, "--weights", checkpoint.path]
    status, out, err = command(
        *asked, tmp_path / "in", tmp_path / "empty", tmp_path / "nowhere.png"
    )
    assert status == 1
    assert [name for name, _ in parse_table(out)] == [str(tmp_path / "in" / "b.png")]
    lines = err.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, ("in/a.png", "empty", "nowhere.png"), strict=True):
        assert line.startswith(f"skipped {tmp_path / name}: ")
    assert "a folder without images" in lines[1]
    status, _, err = command(*asked, tmp_path / "in" / "a.png")
    assert status == 1
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["r3d_18", "a.png"],
            "and net r3d_18: ",
        ),
        ([*FLAGS], "images missing: give image files or folders"),
        ([*FLAGS, "--num-classes", "9", "a.png"], "num_classes 9: the head of"),
        ([*FLAGS, "--labels", "two.txt", "a.png"], "'two.txt' has 2 lines: the net has 7 classes"),
        ([*FLAGS, "--labels", "none.txt", "a.png"], "labels 'none.txt': not a readable text file"),
        ([*FLAGS, "--crop", "64", "a.png"], "crop=64: expected at most resize=32"),
        (["cifar_resnet", "--depth", "14", "a.png"], "missing: layer1.1.bn1.running_mean"),
        (["cifar_resnet", "--depth", "9", "a.png"], "depth 9 is not 6n+2"),
        (["cifar_resnet9", "a.png"], "net 'cifar_resnet9': take one of cifar_resnet"),
    ],
)
def test_bad_arguments_get_one_line(arguments, message, checkpoint, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    write_image(tmp_path / "a.png")
    status, out, err = command("predict", *arguments, "--weights", checkpoint.path)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_bad_weights_get_one_line(checkpoint, command, tmp_path):
    grey = {**checkpoint.state, "conv1.weight": checkpoint.state["conv1.weight"][:, :1]}
    files.save(grey, tmp_path / "grey.npz")
    files.save({"a": np.zeros(3, np.float32)}, tmp_path / "other.npz")
    for name, message in (
        ("grey", "std=(0.0, 0.0, 0.0): expected numbers above 0, for a net of 1 channels"),
        ("other", "names such as a are in none of the "),
        ("absent", "no such file"),
    ):
        weights = tmp_path / f"{name}.npz"
        status, _, err = command("predict", *FLAGS, "--weights", weights, tmp_path / "a.png")
        assert status == 2
        assert message in err
        assert name == "grey" or str(weights) in err
        assert len(err.splitlines()) == 1


def test_help_and_an_unknown_flag(command):
    status, out, _ = command("predict", "--help")
    assert status == 0
    assert "--weights resnet50.safetensors" in out
    status, out, _ = command("predict", *FLAGS, "--help")
    assert status == 0
    for flag in ("--weights", "--labels", "--mean", "--crop", "--depth", "--num-classes"):
        assert flag in out
    status, _, err = command("predict", *FLAGS, "--weigths", "x", "--weights", "x")
    assert status == 2
    assert "--weigths" in err


def test_a_trained_net_on_real_images(golden, command, tmp_path):
    gold = read_arrays(golden / "cifar_resnet20.npz")
    for i, pixels in enumerate(gold["images_spread64"]):
        write_image(tmp_path / f"{i:02}.png", pixels=pixels)
    weights = golden / "cifar_resnet20_state.npz"
    status, out, err = command(
        "predict", "cifar_resnet", "--depth", "20", "--weights", weights, tmp_path
    )
    assert (status, err) == (0, "")
    told = [int(rows[0][0]) for _, rows in parse_table(out)]
    assert told == gold["logits_spread64"].argmax(1).tolist()


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        (b"\xef\xbb\xbfzero\r\none\r\n", ["zero", "one"]),
        ("zero\r\nöne\r\n".encode("utf-16"), ["zero", "öne"]),
        (b"\xfe\xff" + "zero\none".encode("utf-16-be"), ["zero", "one"]),
        (b"zero\rone\r", ["zero", "one"]),
        (b"zero\none\n\n\n", ["zero", "one"]),
        ("a\x0bb\nc\u2028d\x85\n".encode(), ["a\x0bb", "c\u2028d\x85"]),
    ],
)
def test_labels_of_any_editor(data, labels, tmp_path):
    (tmp_path / "labels.txt").write_bytes(data)
    assert read_labels(tmp_path / "labels.txt", 2) == labels


@pytest.mark.parametrize("data", [b"", b"\xff\xfea", b"\xff\xff", b"\x80\n", b"\xff\xfe\x00\xd8"])
def test_labels_that_are_no_text_are_one_line(data, tmp_path):
    (tmp_path / "labels.txt").write_bytes(data)
    for path in (tmp_path / "labels.txt", tmp_path):
        with pytest.raises(
            UsageError, match=r"labels '.*': not a readable text|has 0 lines"
        ) as caught:
            read_labels(path, 2)
        assert "\n" not in str(caught.value)


def test_hidden_folders_and_circles_are_left_out(tmp_path):
    for name in (
        "a.png",
        ".ipynb_checkpoints/a.png",
        "x/__MACOSX/b.png",
        "x/@eaDir/b.png",
        "x/b.png",
    ):
        write_image(tmp_path / name)
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    told = [path.relative_to(tmp_path).as_posix() for path in of_files.find_images([tmp_path])]
    assert told == ["a.png", "x/b.png"]
    assert len(list(of_files.find_images([tmp_path / ".ipynb_checkpoints"]))) == 1


def test_what_is_no_file_is_skipped_and_hangs_nothing(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    for path in of_files.find_images([tmp_path]):
        with pytest.raises(DecodeError, match="a folder, pipe or device; expected a file"):
            of_files.read(path)


def test_drawings_and_a_record_of_each_file(checkpoint, command, tmp_path):
    names = ["in/a.png", "in/deeper/a.png", os.fsdecode(b"in/\xff.png")]
    for seed, name in enumerate(names):
        write_image(tmp_path / name, seed)
    (tmp_path / "in" / "z.png").write_bytes(b"no picture")
    asked = ("predict", *FLAGS, "--weights", checkpoint.path, tmp_path / "in")
    _, table, _ = command(*asked)
    folder = tmp_path / "out"
    status, out, _ = command(*asked, "--out", folder)
    assert (status, out) == (1, table)
    results = json.loads((folder / "predictions.json").read_text())
    assert (results["net"], results["run"]) == ("cifar_resnet", None)
    assert list(results["skipped"]) == [str(tmp_path / "in" / "z.png")]
    drawings = []
    assert len(results["files"]) == 3
    for (_, rows), record in zip(parse_table(table), results["files"].values(), strict=True):
        told = [(entry["class"], entry["probability"]) for entry in record["classes"]]
        assert [k for k, _ in told] == [k for k, _ in rows]
        np.testing.assert_allclose([p for _, p in told], [p for _, p in rows], atol=1e-4)
        drawings.append(np.asarray(Image.open(folder / record["drawing"])))
    assert len({drawing.tobytes() for drawing in drawings}) == 3
    assert {path.name for path in folder.iterdir()} == {
        "1-a.png",
        "2-a.png",
        "4-_.png",
        "predictions.json",
    }
    assert os.fsencode(list(results["files"])[2]).endswith(b"/\xff.png")
    # The picture itself, every pixel 8 by 8, and a dark bar beside it.
    pixels = np.asarray(Image.open(tmp_path / "in" / "a.png"))
    assert (drawings[0][:256:8, :256:8] == pixels).all()
    assert (drawings[0][:, 256:] == (0x00, 0x72, 0xB2)).all(-1).any()


def test_a_folder_that_holds_something_is_refused(checkpoint, command, tmp_path):
    write_image(tmp_path / "in" / "a.png")
    (tmp_path / "file").write_text("x")
    asked = ("predict", *FLAGS, "--weights", checkpoint.path, tmp_path / "in" / "a.png", "--out")
    for out, message in (
        (tmp_path / "in", "expected a new or empty folder, it holds a.png"),
        (tmp_path / "file", "expected a folder, this is a file"),
        (tmp_path / "no" / "out", "expected a folder that exists, "),
    ):
        status, table, err = command(*asked, out)
        assert (status, table, err.count("\n")) == (2, "", 1)
        assert err.removeprefix("error: ").startswith(f"out={out}: {message}")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"]
    (tmp_path / "empty").mkdir()
    assert command(*asked, tmp_path / "empty")[0] == 0


def test_a_file_given_twice_is_drawn_once(checkpoint, command, tmp_path):
    write_image(tmp_path / "a.png")
    asked = ("predict", *FLAGS, "--weights", checkpoint.path, *[tmp_path / "a.png"] * 2)
    status, out, _ = command(*asked, "--out", tmp_path / "out")
    assert (status, len(parse_table(out))) == (0, 2)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"1-a.png", "predictions.json"}


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_flags_of_xla_are_set_before_jax_meets_a_device(name, checkpoint, tmp_path):
    """In a fresh process, in which the first look at a backend tells the environment."""
    for label in range(7):
        write_image(tmp_path / "train" / f"{label}" / "a.png")
        write_image(tmp_path / "val" / f"{label}" / "a.png")
    rest = {"predict": [tmp_path / "val"], "evaluate": ["--dataset", tmp_path, "--views", "one"]}
    argv = [name, *FLAGS, "--weights", checkpoint.path, *rest[name]]
    code = f"""
import os, sys
from jax._src import xla_bridge
from jresnet.runtime import environment
seen, backends = [], xla_bridge.backends
def watched():
    seen.append(os.environ.get("XLA_FLAGS", ""))
    return backends()
xla_bridge.backends = watched
from jresnet.__main__ import main
assert main({[str(argument) for argument in argv]!r}) == 0
assert seen
assert environment.set_cpu_flag() is False or all(environment.CPU_FLAG in s for s in seen), seen[0]
"""
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
