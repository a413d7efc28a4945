"""The embedded default: scikit-learn's real handwritten digits as an ordinary TFDS builder."""

import contextlib
import functools
import hashlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import tensorflow_datasets as tfds

from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)

SIZES = {"train": 1500, "test": 297}
# SHA-256 of the images, each with its label, in sorted order.
_DIGESTS = {
    "train": "99aef506ba893ee13482a067010085af9d46be5d4103b9b7f4f354758c343b5a",
    "test": "c111d7c5cd0453c85d5a7d17cbba251421a7a7099aab0125ebd805ca5283f066",
}


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
    """The places of the examples of train and test among the 1,797, sorted; labels is int [1797].

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
    """Write the digits below data_dir as array_record, if they are not there yet.

    Any number of processes may do so at once: each writes its own copy and the first rename wins.
    Raises UsageError if data_dir cannot be written.
    """
    final = _folder(data_dir)
    with _writing(data_dir):
        if not final.exists():
            with _copy(data_dir) as copy:
                _rename(copy, final)


def mend(data_dir: Path) -> None:
    """Make the digits below data_dir anew if they are there and damaged; they are this project's own.

    Raises UsageError if data_dir cannot be written.
    """
    final = _folder(data_dir)
    with _writing(data_dir):
        if not final.exists() or damage(data_dir) is None:
            return
        # Of several processes that find them damaged one at a time looks again and replaces them.
        with filelock.FileLock(data_dir / ".digits.lock"):
            if reason := damage(data_dir):
                _replace(data_dir, reason)


def _replace(data_dir: Path, reason: str) -> None:
    final = _folder(data_dir)
    logger.warning("%s is damaged (%s): it is made anew", shown(final), reason)
    with _copy(data_dir) as copy:
        if final.exists():
            final.rename(copy.with_name("damaged"))
        _rename(copy, final)
    if again := damage(data_dir):
        raise UsageError(f"{shown(final)}: damaged again after it was made anew ({again})")


def damage(data_dir: Path) -> str | None:
    """One line that says how the digits below data_dir are damaged; None where they are as prepared."""
    folder = _folder(data_dir)
    files = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if "dataset_info.json" not in files:
        return "no dataset_info.json"
    statuses = [(folder / name).stat() for name in files]
    stamps = tuple((s.st_size, s.st_mtime_ns, s.st_ino) for s in statuses)
    return _damage(data_dir, (*files, *stamps))


@functools.lru_cache(maxsize=8)
def _damage(data_dir: Path, stamps: tuple) -> str | None:
    """The result of `damage`, read once for files that stay as they are; reading takes 0.2 s."""
    del stamps
    try:
        builder: Any = tfds.builder("digits", data_dir=data_dir)
        for split, digest in _DIGESTS.items():
            source = builder.as_data_source(split=split)
            examples = [source[index] for index in range(len(source))]
            records = sorted(e["image"].tobytes() + bytes([e["label"]]) for e in examples)
            if hashlib.sha256(b"".join(records)).hexdigest() != digest:
                return f"{split} holds other digits"
    except (
        Exception
    ) as error:  # of TFDS, protobuf, json and array_record, by the file and the damage
        # TFDS puts 'Failed to construct dataset "digits", builder_kwargs "{...}": ' before it.
        text = " ".join(str(error).split()).rpartition('}": ')[2]
        return shown(text or type(error).__name__, 200)
    return None


def _folder(data_dir: Path) -> Path:
    return data_dir / "digits" / str(Digits.VERSION)


@contextlib.contextmanager
def _writing(data_dir: Path) -> Iterator[None]:
    """Turn what goes wrong while the digits are written into a UsageError."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter of array_record, where the disk is full
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"data_dir={str(data_dir)!r}: cannot be written ({shown(reason, 200)}); give a folder that can, "
            "or set TFDS_DATA_DIR"
        ) from error


@contextlib.contextmanager
def _copy(data_dir: Path) -> Iterator[Path]:
    """Digits written into a temporary folder, which goes away with all that is left in it."""
    (data_dir / "digits").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir, prefix="incomplete.digits.") as scratch:
        _write(Path(scratch))
        yield _folder(Path(scratch))


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
