"""Volumes with a label map each, in folders as people have them; `volume_layouts` has the layouts."""

import contextlib
import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import BrokenExampleError, ExampleError
from jresnet.data.info import Example, Info
from jresnet.data.sources.files import is_image, read_listing
from jresnet.data.sources.kept import Kept
from jresnet.data.sources.map_values import (
    FOREGROUND,
    check_names,
    ignored_values,
    known_values,
    to_classes,
)
from jresnet.data.sources.volume_files import header, read_nifti, read_volume
from jresnet.data.sources.volume_layouts import Described, VolumeCase, described, find_cases
from jresnet.data.volumes import (
    PREPARATION,
    Preparation,
    Size,
    Volume,
    check,
    check_same_grid,
    upright_grid,
)
from jresnet.errors import UsageError
from jresnet.text import shown

FOLDS = 5


@dataclasses.dataclass(frozen=True)
class Volumes:
    """A folder of volumes and label maps, in one of the layouts of `volume_layouts`.

    - `folder`: the folder of the set.
    - `preparation`: spacing and intensity of what the examples are.
    - `classes`: their names; by default those of `dataset.json` or `classes.txt`. Without any, the
      classes are the numbers that occur in the maps of "train".
    - `ignored`: values of a map's voxels that are no class, besides that of `dataset.json`. By
      default 255, and none with `foreground`.
    - `foreground`: two classes, 0 where a map is 0 and 1 for any other value: for maps that number
      lesions, and masks of 0 and 255.
    - `fold`: where the folder has neither "test" nor "val", the part of five that is left out of
      "train" and is "test"; the parts are nnU-Net's.

    Splits are "train" and "test".
    """

    folder: Path
    preparation: Preparation = PREPARATION
    classes: tuple[str, ...] = ()
    ignored: tuple[int, ...] | None = None
    fold: int = 0
    foreground: bool = False

    def info(self) -> Info:
        """Raises UsageError for a folder in none of the layouts, and for fewer classes than two.

        The image shape is that of all prepared volumes if they are of one size, by their headers.
        """
        sizes = set(self._grids)
        size = sizes.pop() if len(sizes) == 1 else (None, None, None)
        counts = {split: len(cases) for split, cases in self._splits.items()}
        shape = (*size, self.channels)
        return Info(str(self.folder), len(self.names), self.names, shape, counts, "pixel")

    def open(self, split: str, encoded: bool = False) -> Kept:
        """The prepared examples of a split by their names' order. Raises UsageError."""
        del encoded
        if split not in self._splits:
            raise UsageError(f"split={split!r}: expected one of {', '.join(self._splits)}")
        if split not in self._sources:
            cases = tuple(self._splits[split])
            rest = 1 if self.foreground else None
            source = VolumeSource(cases, self.preparation, self.values, self.channels, rest)
            self._sources[split] = Kept(source)
        return self._sources[split]

    def largest(self) -> Size:
        """The longest side of all prepared volumes, along each axis."""
        depth, height, width = np.max(self._grids, 0).tolist()
        return depth, height, width

    @functools.cached_property
    def channels(self) -> int:
        """Channels of an image: files, or values along a fourth axis."""
        if self._described is not None and self._described.channels:
            return len(self._described.channels)
        files = max((len(case.images) for case in self._splits["train"]), default=1) or 1
        return self._values_along_fourth_axis() if files == 1 else files

    def _values_along_fourth_axis(self) -> int:
        """Channels that most files of "train" have, by the headers that can be read; else 1."""
        counts: Counter[int] = Counter()
        for case in self._splits["train"]:
            with contextlib.suppress(IndexError, ExampleError, OSError):  # told when it is read
                counts[(*header(case.images[0])[0], 1)[3]] += 1
        return max(counts, key=lambda count: (counts[count], -count), default=1)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the classes. Raises UsageError, see `check_names`."""
        return check_names(self._names(), self.foreground, shown(self.folder))

    def _names(self) -> tuple[str, ...]:
        if self.classes:
            return self.classes
        if self.foreground:
            return FOREGROUND
        if self._described is not None:
            return self._described.classes
        if (self.folder / "classes.txt").is_file():
            return tuple(line.strip() for line in read_listing(self.folder / "classes.txt"))
        return tuple(map(str, range(self._highest() + 1)))

    @property
    def values(self) -> Mapping[int, int]:
        """The class of each value of a map's voxels; with `foreground` all others are class 1."""
        count = 1 if self.foreground else len(self.names)
        described = self._described.ignored if self._described else ()
        return known_values(count, 0, self._ignored + described)

    @property
    def _ignored(self) -> tuple[int, ...]:
        return ignored_values(self.ignored, self.foreground)

    @functools.cached_property
    def _described(self) -> Described | None:
        return described(self.folder)

    @functools.cached_property
    def _sources(self) -> dict[str, Kept]:
        return {}

    @functools.cached_property
    def _splits(self) -> dict[str, list[VolumeCase]]:
        splits = find_cases(self.folder)
        train = splits["train"]
        if test := splits.get("test") or splits.get("val"):
            return {"train": train, "test": test}
        if not 0 <= self.fold < FOLDS:
            raise UsageError(f"fold={self.fold}: expected 0 to {FOLDS - 1}")
        if len(train) < FOLDS:
            raise UsageError(
                f"dataset={shown(self.folder)!r}: {len(train)} volumes; expected at least {FOLDS}, "
                "of which a fifth is left out as the test split, or a test split of its own"
            )
        parts = list(KFold(FOLDS, shuffle=True, random_state=12345).split(train))
        kept, left_out = parts[self.fold]
        return {"train": [train[i] for i in kept], "test": [train[i] for i in left_out]}

    @functools.cached_property
    def _grids(self) -> list[Size]:
        """The size of each volume once it is prepared, by the headers that can be read."""
        sizes = []
        for case in (case for cases in self._splits.values() for case in cases):
            try:
                shape, affine = header(case.images[0])
                check(shape[:3], affine)
            except (IndexError, ExampleError, OSError):
                continue  # whoever reads it is told
            sizes.append(self.preparation.size(*upright_grid(shape[:3], affine)))
        if not sizes:
            raise UsageError(f"dataset={shown(self.folder)!r}: not one volume is readable")
        return sizes

    def _highest(self) -> int:
        """The largest class in the maps of "train"."""
        highest = 0
        for case in self._splits["train"]:
            try:
                values = read_nifti(case.labels).values if case.labels else np.zeros(1)
            except (ExampleError, OSError):
                continue  # whoever reads it is told
            known = values[np.isfinite(values) & ~np.isin(values, self._ignored)]
            highest = max(highest, int(known.max(initial=0)))
        return highest


@dataclasses.dataclass(frozen=True)
class VolumeSource:
    """One split. An example is `image` float32 `[depth, height, width, channels]`, `map` int32 of
    that size, and `spacing` float32 `[3]` in millimetres.

    `values` are the classes of a map's values, `rest` that of all others; without it there are none.
    """

    cases: tuple[VolumeCase, ...]
    preparation: Preparation
    values: Mapping[int, int]
    channels: int
    rest: int | None = None

    def __len__(self) -> int:
        return len(self.cases)

    def describe(self, index: int) -> str:
        """The path of the first channel, or that of the map where there is no image."""
        case = self.cases[index]
        return shown(next(iter(case.images), case.labels))

    def __getitem__(self, index: int) -> Example:
        """Raises BrokenExampleError, which names the file at fault."""
        case = self.cases[index]
        if is_image(self.describe(index)):
            raise BrokenExampleError(
                f"{self.describe(index)}: is a picture: expected a volume, .nii, .nii.gz or a folder "
                "of DICOM slices"
            )
        if not case.images or case.labels is None:
            lacks = "a map" if case.images else "an image"
            raise BrokenExampleError(f"{self.describe(index)}: has no partner: expected {lacks}")
        volume = read_channels(case.images, self.channels)
        title = f"its image {shown(case.images[0].name)}"
        with blaming(case.images[0]):
            image = self.preparation.image(volume)
        with blaming(case.labels):
            labels = self._labels(case.labels, volume, title)
        spacing = self.preparation.target(*upright_grid(volume.size, volume.affine))
        return {"image": image, "map": labels, "spacing": np.asarray(spacing, np.float32)}

    def _labels(self, path: Path, volume: Volume, title: str) -> np.ndarray:
        stored = read_nifti(path)
        check_same_grid(stored.size, stored.affine, volume, title)
        if stored.values.shape[-1] != 1:
            raise ExampleError(f"has {stored.values.shape[-1]} channels: expected one map")
        labels = to_classes(stored.values, self.values, self.rest, shown(path))
        if (labels == IGNORED).all():
            raise ExampleError("all of its voxels are ignored: expected some of a class")
        return self.preparation.labels(Volume(labels, volume.affine))


@contextlib.contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Raises BrokenExampleError, with a file's name, in place of what is wrong with the file."""
    try:
        yield
    except (ExampleError, OSError) as error:
        raise BrokenExampleError(f"{shown(path)}: {error}") from error


def read_channels(paths: tuple[Path, ...], channels: int) -> Volume:
    """The image of a case, a file a channel or all in one. Raises BrokenExampleError."""
    volumes: list[Volume] = []
    for path in paths:
        with blaming(path):
            volume = read_volume(path)
            check(volume.size, volume.affine)
            if volumes:
                check_same_grid(volume.size, volume.affine, volumes[0], shown(paths[0].name))
            volumes.append(volume)
    values = np.concatenate([volume.values for volume in volumes], -1)
    if values.shape[-1] != channels:
        raise BrokenExampleError(
            f"{shown(paths[0])}: has {values.shape[-1]} channels: expected {channels}"
        )
    return Volume(values, volumes[0].affine)
