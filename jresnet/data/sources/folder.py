"""Image folders as users have them on disk: `train/<class>/<file>`, or the same inside `train.zip`."""

import dataclasses
import functools
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jresnet.data.decoders import DecodeError
from jresnet.data.info import Info
from jresnet.data.sources import zips
from jresnet.data.sources.files import (
    MAX_FILE_BYTES,
    SPLIT_NAMES,
    FileSource,
    image_shape,
    read_file,
)
from jresnet.data.sources.listing import Listing, find_places, list_images
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder with `train` and one of `test`, `val`, `valid`, `validation`, each a folder or a zip of class folders.

    The whole may also be one zip. Classes are the folders of train in sorted order, or those of the test
    split where there is no train; all images below a class folder are of that class. A class without
    images keeps its number. The test split is the first of its names that has classes of train, since some
    sets have a `test` without labels. Files whose suffix is no image's, and hidden ones, are passed over.
    """

    root: Path

    def info(self) -> Info:
        """Raises UsageError for every fault of the layout, in train and test, and where there is neither.

        The image shape is that of up to 64 files spread over the first split; where they differ it is None.
        """
        sizes = {
            split: sum(map(len, self._listing(split).classes.values()))
            for split in SPLIT_NAMES
            if find_places(self.root, split)
        }
        return Info(str(self.root), len(self._classes), self._classes, self._image_shape, sizes)

    def open(self, split: str, encoded: bool = False) -> "FolderSource":
        """The examples of split, ordered by class, then by file name. Raises UsageError for faults of the layout."""
        channels = self._image_shape[-1]
        assert channels is not None
        return make_source(self._listing(split), self._classes, channels, encoded)

    @functools.cached_property
    def _first(self) -> str:
        """The split that names the classes."""
        return "train" if find_places(self.root, "train") or not self._has_test else "test"

    @property
    def _has_test(self) -> bool:
        return bool(find_places(self.root, "test"))

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        listing = self._listing(self._first)
        for name, files in listing.classes.items():
            if not files:
                logger.warning("class %r of %s has no images", name, listing.place)
        return tuple(listing.classes)

    @functools.cached_property
    def _listings(self) -> dict[str, Listing]:
        return {}

    def _listing(self, split: str) -> Listing:
        if split not in self._listings:
            known = None if split == self._first else self._classes
            listing = find_labelled(self.root, split, known)
            if listing is None:
                names = SPLIT_NAMES.get(split, (split,))
                raise UsageError(
                    f"dataset={str(self.root)!r}: no {split} split there; expected a folder or zip named "
                    f"{' or '.join(names)} that holds one folder per class"
                )
            self._listings[split] = listing
        return self._listings[split]

    @functools.cached_property
    def _image_shape(self) -> tuple[int | None, ...]:
        return image_shape(make_source(self._listing(self._first), self._classes, 3, True))


@dataclasses.dataclass(frozen=True)
class FolderSource(FileSource):
    """One split."""

    location: Path
    files: list[str]
    labels: Sequence[int] | np.ndarray
    channels: int
    encoded: bool

    def describe(self, index: int) -> str:
        """The path of the file, after that of the zip if it is in one."""
        return shown(f"{self.location}/{self.files[index]}")

    def read(self, index: int) -> bytes:
        """Raises BrokenExampleError for what is damaged within a zip, and UsageError for a file that cannot be read."""
        try:
            if self._archive is not None:
                return zips.read_member(self._archive, self.files[index], MAX_FILE_BYTES)
            return read_file(self.location / self.files[index])
        except (zips.ZipError, DecodeError) as error:
            raise self.broken(index, error) from error
        except OSError as error:
            raise UsageError(
                f"{self.describe(index)}: cannot be read ({error.strerror})"
            ) from error

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile | None:
        return zips.open_zip(self.location) if self.location.suffix == ".zip" else None

    def __getstate__(self) -> dict[str, object]:
        # A worker process opens the archive itself.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def find_labelled(root: Path, split: str, known: Sequence[str] | None) -> Listing | None:
    """The images of the first place of a split that has known classes; None where there is no place.

    Args:
      root: the folder of the set.
      split: its name.
      known: the classes of train; None where they are to be learnt here.

    Raises:
      UsageError: for places none of which has known classes, and for other faults of the layout.
    """
    listings = []
    for place in find_places(root, split):
        listings.append(list_images(place, known))
        if listings[-1].has_labels(known):
            break
    if not listings:
        return None
    listing = listings[-1] if listings[-1].has_labels(known) else listings[0]
    listing.check(known)
    if listing is not listings[0]:
        logger.info("%s has no classes of train: %s is the %s split", listings[0].place, listing.place, split)  # fmt: skip
    return listing


def make_source(
    listing: Listing, classes: Sequence[str], channels: int, encoded: bool
) -> FolderSource:
    """The images of a listing, labelled by the place of their class in `classes`."""
    numbers = {name: number for number, name in enumerate(classes)}
    files, labels = [], []
    for name, of_class in listing.classes.items():
        files += of_class
        labels += [numbers[name]] * len(of_class)
    return FolderSource(listing.place.path, files, labels, channels, encoded)
