import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jresnet.data import digits
from jresnet.data.source import info, open_split
from jresnet.errors import UsageError


def test_every_digit_is_in_one_split_with_its_pixels(data_dir: Path) -> None:
    bundled: Any = load_digits()
    found = []
    for split, size in (("train", 1500), ("test", 297)):
        source = open_split("digits", split, data_dir)
        assert len(source) == size == info("digits", data_dir).sizes[split]
        examples = [source[index] for index in range(size)]
        found += [
            (np.asarray(example["image"]).tobytes(), example["label"]) for example in examples
        ]
    expected = np.clip(bundled.images * 16, 0, 255).astype(np.uint8)
    # load_digits has no two equal images, so equal multisets also mean that the splits do not overlap.
    assert sorted(found) == sorted(
        (image.tobytes(), label) for image, label in zip(expected, bundled.target, strict=True)
    )
    assert len(set(found)) == 1797


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
