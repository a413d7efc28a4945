"""The embedded default: scikit-learn's real handwritten digits as an ordinary TFDS builder."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jresnet.errors import UsageError

SIZES = {"train": 1500, "test": 297}


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 digits of 8x8 pixels, 10 classes (UCI optical digits, test part; in scikit-learn as load_digits).

    Pixels are scikit-learn's 0..16 times 16, clipped to 255. Train 1,500, test 297: a fixed stratified
    permutation, see `split_indices`. Needs neither TensorFlow nor a network.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="8x8 handwritten digits bundled with scikit-learn.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        from sklearn.datasets import (
            load_digits,
        )  # a second to import, and needed only once per machine

        digits: Any = load_digits()
        images = (digits.images * 16).clip(0, 255).astype(np.uint8)[..., None]
        for index in split_indices(digits.target)[split].tolist():
            yield index, {"image": images[index], "label": int(digits.target[index])}


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Which of the 1,797 examples are train and test, sorted; labels is int [1797].

    Permuted with seed 0, sorted by class, and every 1797/297-th is test: each class has its share to
    within one example. Contiguous parts would instead put other writers in the test part.
    """
    # RandomState and not Generator: numpy promises never to change its stream.
    order = np.random.RandomState(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    is_test = np.zeros(len(labels), bool)
    is_test[order[np.arange(SIZES["test"]) * len(labels) // SIZES["test"]]] = True
    return {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}


def prepare(data_dir: Path) -> None:
    """Writes the digits below data_dir as array_record, if they are not there yet.

    Any number of processes may do so at once: each writes its own copy and the first rename wins.
    Raises UsageError if data_dir cannot be written.
    """
    final = data_dir / "digits" / str(Digits.VERSION)
    if final.exists():
        return
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix="incomplete.digits.") as scratch:
            _write(Path(scratch))
            _rename(Path(scratch) / "digits" / str(Digits.VERSION), final)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UsageError(
            f"data_dir={str(data_dir)!r}: cannot be written ({error.strerror}); give a folder that can, "
            "or set TFDS_DATA_DIR"
        ) from error


def _write(scratch: Path) -> None:
    builder = Digits(data_dir=scratch, file_format="array_record")
    tfds.disable_progress_bar()
    try:
        # TFDS announces a download of unknown size on stdout; nothing is downloaded.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    finally:
        tfds.enable_progress_bar()


def _rename(written: Path, final: Path) -> None:
    try:
        written.rename(final)
    except OSError:
        if not final.exists():  # otherwise another process was faster, with the same bytes
            raise
