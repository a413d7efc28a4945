"""From the name of a dataset to its examples: TFDS, an image folder, tar files, or made-up images."""

import os
from pathlib import Path

from jresnet.data.info import Dataset, Info, Source
from jresnet.data.sources import stand_in
from jresnet.data.sources import tfds as catalogue
from jresnet.data.sources.array_file import ArrayFile
from jresnet.data.sources.folder import Folder
from jresnet.data.sources.shards import Shards
from jresnet.data.sources.synthetic import Synthetic
from jresnet.data.sources.tfds import TfdsDataset
from jresnet.errors import UsageError
from jresnet.store.bucket import is_remote
from jresnet.store.copy import copied
from jresnet.text import shown


def default_data_dir() -> Path:
    """Where TFDS keeps its datasets: $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return _expand(Path(os.environ.get("TFDS_DATA_DIR") or Path("~", "tensorflow_datasets")))


def _expand(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{shown(path)}: there is no home folder (HOME is not set); expected a whole path, "
            "of TFDS data in TFDS_DATA_DIR"
        ) from error


@stand_in.instead
def resolve(dataset: str | Dataset, data_dir: Path | None = None) -> Dataset:
    """The dataset behind a name; one that is a dataset already is returned.

    "digits" and "synthetic" are built in; a folder is an existing folder, or anything with a separator whose
    first part TFDS does not know, of class folders (`folder.Folder`) or tars (`shards.Shards`), or one zip of
    it; a name that ends in .npz is a file of arrays (`array_file.ArrayFile`); all else is a TFDS name such as
    "cifar10" or "imagenet_resized/32x32", looked for in data_dir. A folder or file may be in an object store,
    "gs://BUCKET/FOLDER"; it is downloaded first. A bare name that TFDS knows is never a folder: write "./mnist" to mean one.
    Raises UsageError for a folder or file that does not exist.
    """
    if not isinstance(dataset, str):
        return dataset
    if dataset == "synthetic":
        return Synthetic()
    try:
        return _resolve(dataset, data_dir)
    except (
        OSError
    ) as error:  # of a name that is too long, a folder that may not be entered, a failing disk
        raise UsageError(
            f"dataset={shown(dataset, 200)!r}: cannot be read ({error.strerror})"
        ) from error


def _resolve(dataset: str, data_dir: Path | None) -> Dataset:
    if is_remote(dataset):
        dataset = str(copied(dataset))
    path = _expand(Path(dataset))
    if path.suffix == ".npz":
        if not path.is_file():
            raise UsageError(f"dataset={dataset!r}: no such file")
        return ArrayFile(path)
    if path.suffix == ".zip" and path.is_file():
        return Folder(path)
    is_path = any(mark in dataset for mark in (os.sep, "~")) or dataset in (".", "..")
    is_known = catalogue.base_name(dataset) in catalogue.names()
    if path.is_dir() and (is_path or not is_known):
        return Shards(path) if Shards.lies_in(path) else Folder(path)
    if is_path and not is_known:
        raise UsageError(
            f"dataset={dataset!r}: no such folder; expected one with train/<class>/<file>, train.zip or train-*.tar"
        )
    return TfdsDataset(dataset, _expand(Path(data_dir or default_data_dir())))


def info(dataset: str | Dataset, data_dir: Path | None = None) -> Info:
    """Facts about a dataset; a TFDS set need not be prepared. Raises UsageError."""
    return resolve(dataset, data_dir).info()


def open_split(
    dataset: str | Dataset,
    split: str,
    data_dir: Path | None = None,
    encoded: bool = False,
) -> Source:
    """Random access to the examples of a split, "train" or "test" (which is "validation" or "val" in some sets).

    Images are uint8 [H, W, C]; encoded leaves those that are files as bytes. Raises UsageError, at once and
    without a download, where the dataset is unknown, not prepared or faulty.
    """
    return resolve(dataset, data_dir).open(split, encoded)
