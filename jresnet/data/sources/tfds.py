"""Datasets of the TFDS catalogue, read from disk without TensorFlow and without a network."""

import dataclasses
import difflib
import functools
import re
import shlex
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.info import Example, Info
from jresnet.data.sources import digits
from jresnet.errors import UsageError
from jresnet.text import shown

# Their split named "test" has no labels.
_UNLABELLED_TEST = frozenset(("imagenet2012", "i_naturalist2017", "i_naturalist2018"))


def names() -> list[str]:
    """Every name that is in the catalogue of the installed TFDS, the digits included."""
    # Community sets are listed over the network.
    return sorted({*tfds.list_builders(with_community_datasets=False), "digits"})


def base_name(dataset: str) -> str:
    """The name without configuration and version: "mnist" of "mnist:3.0.1"."""
    return re.split("[/:]", dataset, maxsplit=1)[0]


@dataclasses.dataclass(frozen=True)
class TfdsDataset:
    """A TFDS dataset, named as in `tfds.builder`, of one image and one class per example.

    Only the digits are prepared on first use; nothing is ever downloaded.
    """

    name: str
    data_dir: Path

    def info(self) -> Info:
        """Does not need the data. Raises UsageError for an unknown name or a set without image and class."""
        image_key, label_key = self._keys
        label = self._features[label_key]
        shape = self._features[image_key].shape
        return Info(self.name, label.num_classes, tuple(label.names), shape, self._sizes)

    def open(self, split: str, encoded: bool = False) -> "TfdsSource":
        """split is "train", "test" (validation where there is no labelled test) or any TFDS split such as "train[:90%]".

        Raises UsageError where the set is not prepared as array_record or has no such split.
        """
        image_key, label_key = self._keys
        data, title = self._open(split, (image_key,))
        channels = None
        if self._is_file(image_key) and not encoded:
            channels = 1 if self._features[image_key].shape[-1] == 1 else 3
        return TfdsSource(data, image_key, label_key, title, channels)

    def _open(self, split: str, files: tuple[str, ...]) -> tuple[Any, str]:
        """The records of a split and its title; of features that are `files` as their bytes."""
        if self.name == "digits" and not self._is_prepared:
            digits.prepare(self.data_dir)
            self.__dict__.pop("_builder")  # it has read that there is nothing
        self._check_prepared()
        # Files are decoded here and not by TFDS, which is slower and warns that OpenCV is missing.
        skipped = {key: tfds.decode.SkipDecoding() for key in files if self._is_file(key)}
        name = self._split_name(split)
        try:
            data = self._builder.as_data_source(split=name, decoders=skipped or None)
        except ValueError as error:
            known = ", ".join(self._builder.info.splits)
            raise UsageError(
                f"split={name!r}: dataset {self.name!r} has only {known}, and slices of them"
            ) from error
        except Exception as error:  # of array_record, for files that are damaged
            raise self._damaged(self._builder.data_dir, error) from error
        return data, f"{self.name} {name}"

    def _is_file(self, key: str) -> bool:
        return isinstance(self._features[key], tfds.features.Image)

    @functools.cached_property
    def _builder(self) -> Any:  # the type stubs of TFDS miss half of DatasetBuilder
        base = base_name(self.name)
        # A set that is on disk may come from code that is not installed here.
        if base not in (known := names()) and not (self.data_dir / base).is_dir():
            close = difflib.get_close_matches(base, known, n=3)
            hint = (
                f"did you mean {' or '.join(map(repr, close))}?"
                if close
                else "see tfds.list_builders()"
            )
            raise UsageError(
                f"dataset={self.name!r}: not known; {hint} Accepted: digits, synthetic, a TFDS name, "
                "or a folder with train and test"
            )
        if self.name == "digits":
            digits.mend(self.data_dir)
        try:
            return tfds.builder(self.name, data_dir=self.data_dir)
        except ImportError as error:
            raise UsageError(
                f"dataset={self.name!r}: its TFDS builder does not import ({_reason(error)}); "
                "pip install tensorflow-cpu"
            ) from error
        except (ValueError, AssertionError, tfds.core.DatasetNotFoundError) as error:
            raise UsageError(
                f"dataset={self.name!r}: no such configuration or version ({_reason(error)})"
            ) from error
        except Exception as error:  # of json, protobuf and TFDS, for files that are damaged
            raise self._damaged(self.data_dir / base, error) from error

    def _damaged(self, folder: Path | str, error: Exception) -> UsageError:
        return UsageError(
            f"dataset={self.name!r}: {shown(folder)} is damaged ({_reason(error)}); expected it as TFDS prepared it"
        )

    @functools.cached_property
    def _keys(self) -> tuple[str, str]:
        image_key, label_key, *others = self._builder.info.supervised_keys or (
            "image",
            "label",
        )
        image, label = self._feature(image_key), self._feature(label_key)
        is_image = isinstance(image, tfds.features.Tensor | tfds.features.Image)
        is_label = isinstance(label, tfds.features.ClassLabel)
        rank = len(tuple(getattr(image, "shape", None) or ()))
        if is_image and is_label and rank == 3 and not others:
            return image_key, label_key
        raise UsageError(
            f"dataset={self.name!r}: expected one image and one class label per example, "
            f"found {', '.join(self._features) or 'nothing'}"
        )

    @property
    def _sizes(self) -> dict[str, int]:
        """The number of examples of "train" and "test", where they are known."""
        sizes = dict(digits.SIZES) if self.name == "digits" else {}
        splits = self._builder.info.splits
        for split in ("train", "test"):
            if (name := self._split_name(split)) in splits:
                sizes[split] = splits[name].num_examples
        return sizes

    @property
    def _features(self) -> dict[str, Any]:
        features: Any = self._builder.info.features
        return dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}

    def _feature(self, key: Any) -> Any:
        # Of some sets the key is itself a nest of keys.
        return self._features.get(key) if isinstance(key, str) else None

    def _split_name(self, split: str) -> str:
        if split != "test":
            return split
        if base_name(self.name) in _UNLABELLED_TEST:
            return "validation"
        splits = self._builder.info.splits
        return "validation" if "test" not in splits and "validation" in splits else "test"

    @property
    def _is_prepared(self) -> bool:
        # TFDS alone would also log a warning where there is no folder.
        return Path(self._builder.data_dir).is_dir() and self._builder.is_prepared()

    def _check_prepared(self) -> None:
        folder = self._builder.data_dir
        tool = "run: pip install tensorflow-cpu &&"
        if not self._is_prepared:
            command = f"tfds build {self.name} --file_format=array_record --data_dir={shlex.quote(str(self.data_dir))}"
            raise UsageError(
                f"dataset={self.name!r}: not prepared, looked for it in {folder}; {tool} {command}"
            )
        formats = {kind.value for kind in self._builder.info.available_file_formats()}
        if "array_record" not in formats:
            command = f"tfds convert_format --dataset_version_dir={shlex.quote(str(folder))} --out_file_format=array_record"
            raise UsageError(
                f"dataset={self.name!r}: array_record is needed, {folder} holds {', '.join(sorted(formats))}; {tool} {command}"
            )


def _reason(error: Exception) -> str:
    # TFDS puts 'Failed to construct dataset "name", builder_kwargs "{...}": ' before it, and lists after it.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shown(lines[0].rpartition('}": ')[2], 200)


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """One split of a TFDS dataset. channels is what image files are decoded to, None leaves them as they are."""

    data: Any
    image_key: str
    label_key: str
    title: str
    channels: int | None

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Example:
        record = read_record(self.data, index, self.describe(index))
        image = record[self.image_key]
        if self.channels is not None:
            try:
                image = images.decode(image, self.channels)
            except images.DecodeError as error:
                raise BrokenExampleError(
                    f"{self.describe(index)}: not a readable image ({error})"
                ) from error
        return {"image": image, "label": int(record[self.label_key])}

    def describe(self, index: int) -> str:
        """Such as "cifar10 train example 17"."""
        return f"{self.title} example {index}"


def read_record(data: Any, index: int, name: str) -> Example:
    """A record of a split. Raises BrokenExampleError with the example's name if it is damaged."""
    try:
        return data[index]
    except Exception as error:  # of array_record
        raise BrokenExampleError(f"{name}: not a readable record ({_reason(error)})") from error
