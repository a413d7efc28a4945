import itertools
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from jresnet.data.sources import digits
from jresnet.data.sources.resolve import info, open_split
from jresnet.errors import UsageError

ROOT = Path(__file__).parents[3]


def test_every_digit_is_in_one_split_with_its_pixels(data_dir: Path) -> None:
    bundled: Any = load_digits()
    placed = []
    for split, size in (("train", 1500), ("test", 297)):
        source = open_split("digits", split, data_dir)
        assert len(source) == size == info("digits", data_dir).sizes[split]
        examples = [source[index] for index in range(size)]
        placed += [
            (np.asarray(example["image"]).tobytes(), example["label"]) for example in examples
        ]
    expected = np.clip(bundled.images * 16, 0, 255).astype(np.uint8)
    # load_digits has no two equal images, so equal multisets also mean that the splits do not overlap.
    assert sorted(placed) == sorted(
        (image.tobytes(), label) for image, label in zip(expected, bundled.target, strict=True)
    )
    assert len(set(placed)) == 1797


def test_split_is_stratified_and_fixed() -> None:
    labels = load_digits(return_X_y=True)[1]
    split = digits.split_indices(labels)
    shares = np.bincount(labels) * 297 / 1797
    assert np.abs(np.bincount(labels[split["test"]]) - shares).max() < 1
    assert np.bincount(labels[split["train"]]).tolist() == [
        148,
        152,
        148,
        153,
        151,
        152,
        151,
        149,
        145,
        151,
    ]
    assert split["test"][:5].tolist() == [3, 9, 11, 12, 17]


def test_a_second_process_that_was_slower_keeps_the_first_ones_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = digits._write

    def slow_write(scratch: Path) -> None:
        monkeypatch.setattr(digits, "_write", write)
        digits.prepare(tmp_path)  # what another process does meanwhile
        write(scratch)

    monkeypatch.setattr(digits, "_write", slow_write)
    digits.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
    assert len(open_split("digits", "test", tmp_path)) == 297


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def folder_instead(file: Path) -> None:
    file.unlink()
    file.mkdir()


def other_digits(file: Path) -> None:
    """Whole records, with the right checksums, of another set."""
    other = file.with_name(file.name.replace("train", "test"))
    shutil.copy(other, file)


DAMAGES = [
    *itertools.product(["dataset_info.json", "digits-train*"], [cut, flip, empty, Path.unlink, folder_instead]),
    ("digits-train*", other_digits),
]  # fmt: skip


@pytest.mark.parametrize(("name", "spoil"), DAMAGES)
def test_damaged_digits_are_made_anew(
    name: str, spoil: Callable, tmp_path: Path, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(data_dir / "digits", tmp_path / "digits")
    (file,) = (tmp_path / "digits/1.0.0").glob(name)
    spoil(file)
    with caplog.at_level(logging.WARNING, "jresnet"):
        assert info("digits", tmp_path).sizes == digits.SIZES
        for split, size in digits.SIZES.items():
            source, intact = (open_split("digits", split, d) for d in (tmp_path, data_dir))
            assert len(source) == size
            for index in (0, size - 1):
                assert source[index]["label"] == intact[index]["label"]
                np.testing.assert_array_equal(source[index]["image"], intact[index]["image"])
    (record,) = caplog.records
    assert "digits/1.0.0 is damaged (" in record.message
    assert "\n" not in record.message
    assert {path.name for path in tmp_path.iterdir()} == {"digits", ".digits.lock"}


def test_other_digits_with_right_checksums_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundled: Any = load_digits()
    with monkeypatch.context() as patch:
        changed = Bunch(images=16 - bundled.images, target=bundled.target)
        patch.setattr(sklearn.datasets, "load_digits", lambda: changed)
        digits.prepare(tmp_path)
    assert digits.damage(tmp_path) == "train holds other digits"
    with caplog.at_level(logging.WARNING, "jresnet"):
        open_split("digits", "train", tmp_path)
    assert "is damaged (train holds other digits): it is made anew" in caplog.text
    assert digits.damage(tmp_path) is None


@pytest.mark.slow
def test_several_processes_mend_them_at_once(tmp_path: Path, data_dir: Path) -> None:
    shutil.copytree(data_dir / "digits", tmp_path / "digits")
    for file in (tmp_path / "digits/1.0.0").iterdir():
        cut(file)
    program = (
        "import sys; from pathlib import Path; from jresnet.data.sources.resolve import open_split\n"
        "source = open_split('digits', 'test', Path(sys.argv[1]))\n"
        "print(sum(source[i]['label'] for i in range(len(source))))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in range(4)
    ]  # fmt: skip
    counts = [process.communicate()[0].strip() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    source = open_split("digits", "test", data_dir)
    assert counts == [str(sum(source[i]["label"] for i in range(len(source))))] * 4


def test_damaged_digits_that_cannot_be_replaced_are_one_line(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data_dir / "digits", tmp_path / "digits")
    cut(tmp_path / "digits/1.0.0/dataset_info.json")

    def refuse(*args: object, **named: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(digits.filelock, "FileLock", refuse)
    with pytest.raises(UsageError, match=r"data_dir='.*': cannot be written \(Read-only.*TFDS_DATA_DIR") as caught:  # fmt: skip
        info("digits", tmp_path)
    assert "\n" not in str(caught.value)


def test_no_home_folder_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def expand(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(Path, "expanduser", expand)
    with pytest.raises(UsageError, match=r"HOME is not set.*TFDS_DATA_DIR"):
        open_split("./x/y", "train")


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match=r"data_dir='.*file'.*TFDS_DATA_DIR"):
        open_split("digits", "train", file)


def test_preparing_is_silent_and_needs_no_tensorflow(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(open_split("digits", "train[:10]", tmp_path)) == 10
    assert "tensorflow" not in sys.modules
    assert capfd.readouterr().out == ""
