"""Images with a label map each out of the TFDS catalogue, read without TensorFlow."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.decoders import DecodeError
from jresnet.data.info import Dataset, Example, Info
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.map_files import decode_map
from jresnet.data.sources.map_values import (
    FOREGROUND,
    check_names,
    ignored_values,
    known_values,
    to_classes,
)
from jresnet.data.sources.resolve import default_data_dir
from jresnet.data.sources.tfds import TfdsDataset, base_name, names, read_record
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class TfdsMaps(TfdsDataset):
    """A TFDS dataset of one image and one label map per example, such as "oxford_iiit_pet".

    The map is the feature of images that has one channel. Other fields are those of
    `label_maps.LabelMaps`; TFDS names no classes, so that without `classes` they are the numbers
    that occur in the maps of "train".
    """

    classes: tuple[str, ...] = ()
    ignored: tuple[int, ...] | None = None
    first: int = 0
    foreground: bool = False

    def info(self) -> Info:
        """Raises UsageError for a set without image and map, and as `TfdsDataset.info`."""
        shape = self._features[self._keys[0]].shape
        return Info(self.name, len(self.names), self.names, shape, self._sizes, "pixel")

    def open(self, split: str, encoded: bool = False) -> "TfdsMapSource":  # type: ignore[override]
        """The examples of a split; raises UsageError as `TfdsDataset.open`."""
        ignored = ignored_values(self.ignored, self.foreground)
        count = 1 if self.foreground else len(self.names)
        values = known_values(count, self.first, ignored)
        data, title = self._open(split, self._keys)
        return TfdsMapSource(
            data, *self._keys, title, encoded, values, 1 if self.foreground else None
        )

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the classes. Raises UsageError for too many, or not two with `foreground`."""
        names = self.classes or (FOREGROUND if self.foreground else ())
        if not names:
            names = tuple(str(number) for number in range(self._largest() + 1))
        return check_names(names, self.foreground, self.name)

    def _largest(self) -> int:
        """The largest class in the maps of "train"."""
        image_key, map_key = self._keys
        data, title = self._open("train", self._keys)
        source = TfdsMapSource(data, image_key, map_key, title, True, {}, None)
        ignored, largest = ignored_values(self.ignored, False), 0
        for index in range(len(source)):
            try:
                numbers = source.numbers(index)
            except BrokenExampleError:
                continue  # whoever trains on it is told
            known = numbers[~np.isin(numbers, ignored)] - self.first
            largest = max(largest, int(known.max(initial=0)))
        return largest

    @functools.cached_property
    def _keys(self) -> tuple[str, str]:
        pictures: dict[str, Any] = {
            key: feature
            for key, feature in self._features.items()
            if isinstance(feature, tfds.features.Image)
        }
        maps = [key for key, feature in pictures.items() if feature.shape[-1] == 1]
        others = [key for key in pictures if key not in maps]
        supervised = self._builder.info.supervised_keys or ()
        if len(supervised) == 2 and supervised[0] in others and supervised[1] in maps:
            return supervised
        if len(maps) == 1 and len(others) == 1:
            return others[0], maps[0]
        raise UsageError(
            f"dataset={self.name!r}: expected one image and one label map per example, an image of "
            f"one channel; it has {', '.join(sorted(self._features)) or 'nothing'}"
        )


@dataclasses.dataclass(frozen=True)
class TfdsMapSource:
    """One split. An example is `image`, its file if `encoded`, and `map` int32 [H, W].

    `values` and `rest` are those of `map_values.to_classes`.
    """

    data: Any
    image_key: str
    map_key: str
    title: str
    encoded: bool
    values: Mapping[int, int]
    rest: int | None

    def __len__(self) -> int:
        return len(self.data)

    def describe(self, index: int) -> str:
        """Such as "oxford_iiit_pet train example 17"."""
        return f"{self.title} example {index}"

    def __getitem__(self, index: int) -> Example:
        """Raises BrokenExampleError for a damaged record, image or map."""
        record = read_record(self.data, index, self.describe(index))
        image = record[self.image_key]
        try:
            image = image if self.encoded else images.decode(image)
        except DecodeError as error:
            raise BrokenExampleError(
                f"{self.describe(index)}: not a readable image ({error})"
            ) from error
        return {"image": image, "map": self._labels(record, index)}

    def labels(self, index: int) -> np.ndarray:
        """The map of an example alone, int32 [H, W]. Raises BrokenExampleError."""
        return self._labels(read_record(self.data, index, self.describe(index)), index)

    def numbers(self, index: int) -> np.ndarray:
        """The values in the map of an example, int64 [H, W]. Raises BrokenExampleError."""
        return self._numbers(read_record(self.data, index, self.describe(index)), index)

    def _labels(self, record: Example, index: int) -> np.ndarray:
        numbers = self._numbers(record, index)
        return to_classes(numbers, self.values, self.rest, self.describe(index))

    def _numbers(self, record: Example, index: int) -> np.ndarray:
        try:
            return decode_map(record[self.map_key])
        except DecodeError as error:
            raise BrokenExampleError(
                f"{self.describe(index)}: not a readable map ({error})"
            ) from error


def find_maps(dataset: str | Path, data_dir: Path | None = None, **fields: Any) -> Dataset:
    """The set of label maps behind a name: a folder, or what TFDS knows and no folder is called.

    `fields` are those that `LabelMaps` and `TfdsMaps` share; `data_dir` is TFDS's folder.
    """
    name, folder = str(dataset), data_dir or default_data_dir()
    is_path = os.sep in name or Path(name).expanduser().is_dir()
    base = base_name(name)
    if not is_path and (base in names() or (folder / base).is_dir()):
        return TfdsMaps(name, folder, **fields)
    return LabelMaps(Path(name).expanduser(), **fields)
