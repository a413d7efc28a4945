"""Image folders as users have them on disk: `train/<class>/<file>`, or the same inside `train.zip`."""

import dataclasses
import functools
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jresnet.data.files import SPLIT_NAMES, SUFFIXES, FileSource, image_shape, shorten
from jresnet.data.info import Info
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder with `train` and one of `test`, `val`, `validation`, each a folder or a zip of class folders.

    Classes are the folders of train in sorted order. Files whose suffix is no image's are passed over.
    """

    root: Path

    def info(self) -> Info:
        """Raises UsageError for every fault of the layout, in train and (if there is one) in test.

        The image shape is that of up to 64 files spread over train; where they differ it is None.
        """
        sizes = {
            split: len(self._listing(split)) for split in SPLIT_NAMES if find(self.root, split)
        }
        return Info(str(self.root), len(self._classes), self._classes, self._image_shape, sizes)

    def open(self, split: str, encoded: bool = False) -> "FolderSource":
        """The examples of split, ordered by class, then by file name. Raises UsageError for faults of the layout."""
        channels = self._image_shape[-1]
        assert channels is not None
        files = self._listing(split)
        return _source(self._location(split), files, self._classes, channels, encoded)

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_class_of(file) for file in self._listing("train")))

    @functools.cached_property
    def _listings(self) -> dict[str, list[str]]:
        return {}

    def _listing(self, split: str) -> list[str]:
        if split not in self._listings:
            known = None if split == "train" else self._classes
            self._listings[split] = _list_files(self._location(split), known)
        return self._listings[split]

    def _location(self, split: str) -> Path:
        location = find(self.root, split)
        if location is None:
            names = SPLIT_NAMES.get(split, (split,))
            raise UsageError(
                f"dataset={str(self.root)!r}: no {split} split there; expected a folder or zip named "
                f"{' or '.join(names)} that holds one folder per class"
            )
        return location

    @functools.cached_property
    def _image_shape(self) -> tuple[int | None, ...]:
        files = self._listing("train")
        return image_shape(FolderSource(self._location("train"), files, [0] * len(files), 3, True))


@dataclasses.dataclass(frozen=True)
class FolderSource(FileSource):
    """One split."""

    location: Path
    files: list[str]
    labels: Sequence[int] | np.ndarray
    channels: int
    encoded: bool

    def describe(self, index: int) -> str:
        """The path of the file, behind that of the zip if it is in one."""
        return str(self.location / self.files[index])

    def read(self, index: int) -> bytes:
        """Raises BrokenImageError for what is damaged within a zip, and UsageError for a file that cannot be read."""
        try:
            if self._archive is not None:
                return self._archive.read(self.files[index])
            return (self.location / self.files[index]).read_bytes()
        except (zipfile.BadZipFile, zlib.error) as error:
            raise self.broken(index, error) from error
        except OSError as error:
            raise UsageError(f"{self.describe(index)}: cannot be read ({error})") from error

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile | None:
        return zipfile.ZipFile(self.location) if self.location.suffix == ".zip" else None

    def __getstate__(self) -> dict[str, object]:
        # A worker process opens the archive itself.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def find(root: Path, split: str) -> Path | None:
    """The folder or zip of a split in root, if there is one."""
    for name in SPLIT_NAMES.get(split, (split,)):
        if (root / name).is_dir():
            return root / name
        if (root / f"{name}.zip").is_file():
            return root / f"{name}.zip"
    return None


def open_classes(
    location: Path, classes: tuple[str, ...], channels: int, encoded: bool
) -> FolderSource:
    """The class folders in location, a folder or zip, labelled by their place in classes. Raises UsageError as Folder."""
    return _source(location, _list_files(location, classes), classes, channels, encoded)


def _source(
    location: Path, files: list[str], classes: tuple[str, ...], channels: int, encoded: bool
) -> FolderSource:
    labels = {name: label for label, name in enumerate(classes)}
    return FolderSource(
        location, files, [labels[_class_of(file)] for file in files], channels, encoded
    )


def _list_files(location: Path, known: tuple[str, ...] | None) -> list[str]:
    """By class, then by name. Raises UsageError for faults of the layout, and for classes that are not known."""
    by_class = _list_classes(location)
    if not by_class:
        raise UsageError(f"dataset: {location} holds no class folders; expected <class>/<file>")
    for name, files in by_class.items():
        if not files:
            raise UsageError(
                f"dataset: class {name!r} of {location} is empty; expected files ending in "
                f"{', '.join(sorted(SUFFIXES))}"
            )
    if known is not None and (strange := sorted(set(by_class) - set(known))):
        raise UsageError(
            f"dataset: class {strange[0]!r} of {location} is not in train, "
            f"whose {len(known)} classes are {shorten(known)}"
        )
    return [file for name in sorted(by_class) for file in sorted(by_class[name])]


def _list_classes(location: Path) -> dict[str, list[str]]:
    entries = _zip_entries(location) if location.suffix == ".zip" else _folder_entries(location)
    by_class: dict[str, list[str]] = {}
    for entry in entries:
        # Not pathlib: ImageNet has 1.3 million of these.
        class_name, _, file = entry.partition("/")
        if class_name.startswith((".", "__MACOSX")):
            continue
        files = by_class.setdefault(class_name, [])
        suffix = "." + file.rpartition(".")[2].lower()
        if suffix in SUFFIXES and "/" not in file and not file.startswith("."):
            files.append(entry)
    return by_class


def _folder_entries(location: Path) -> Iterator[str]:
    for class_folder in location.iterdir():
        if class_folder.is_dir():
            yield class_folder.name
            yield from (f"{class_folder.name}/{file.name}" for file in class_folder.iterdir())


def _zip_entries(location: Path) -> list[str]:
    try:
        with zipfile.ZipFile(location) as archive:
            # A name without a slash is a file outside all class folders.
            return [name for name in archive.namelist() if "/" in name]
    except zipfile.BadZipFile as error:
        raise UsageError(f"dataset: {location} is not a readable zip file ({error})") from error


def _class_of(file: str) -> str:
    return file.split("/", 1)[0]
