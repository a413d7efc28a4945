"""The image files of a split by class: in a folder of class folders, or in a zip of them."""

import dataclasses
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

from jresnet.data.sources import zips
from jresnet.data.sources.files import (
    SPLIT_NAMES,
    SUFFIXES,
    is_folder,
    is_hidden,
    is_image,
    list_folder,
    shorten,
    walk,
)
from jresnet.errors import UsageError
from jresnet.text import shown

# Tiny ImageNet's validation split: pictures in one folder, and their classes in this file.
_ANNOTATIONS = "val_annotations.txt"
_ANNOTATION_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a split lies: a folder, a zip, or the part of a zip whose names begin with `prefix`."""

    path: Path
    prefix: str = ""

    def __str__(self) -> str:
        return shown(f"{self.path}/{self.prefix}".rstrip("/"))


@dataclasses.dataclass
class Listing:
    """Names of image files relative to the place's path, sorted; those without a class are `loose`."""

    place: Place
    classes: dict[str, list[str]]
    loose: list[str]

    def has_labels(self, known: Collection[str] | None) -> bool:
        """Whether a class of it is known; None: whether there are two classes at least."""
        filled = [name for name, files in self.classes.items() if files]
        return len(filled) > 1 if known is None else any(name in known for name in filled)

    def check(self, known: Sequence[str] | None) -> None:
        """Raises UsageError where there are no images in class folders, and for a class that is not known."""
        if not self.classes:
            raise UsageError(
                f"dataset: {self.place} holds no class folders; expected <class>/<file>"
            )
        if known is not None and (strange := sorted(set(self.classes) - set(known))):
            raise UsageError(
                f"dataset: class {strange[0]!r} of {self.place} is not in train, "
                f"whose {len(known)} classes are {shorten(known)}"
            )
        if not any(self.classes.values()):
            raise UsageError(
                f"dataset: every class of {self.place} is empty; expected files ending in "
                f"{', '.join(sorted(SUFFIXES))}"
            )


def find_places(root: Path, split: str) -> list[Place]:
    """The folders and zips of a split in root, in the order of its names; root may be a zip of the whole set."""
    names = SPLIT_NAMES.get(split, (split,))
    if root.suffix == ".zip":
        files = _zip_names(root)
        tops = ["", *sorted({f"{file.partition('/')[0]}/" for file in files})]
        prefixes = [f"{top}{name}/" for name in names for top in tops]
        return [Place(root, p) for p in prefixes if any(file.startswith(p) for file in files)]
    places = []
    for name in names:
        try:
            if (root / name).is_dir():
                places.append(Place(root / name))
            elif (root / f"{name}.zip").is_file():
                places.append(Place(root / f"{name}.zip"))
        except OSError as error:
            raise UsageError(f"{shown(root)}: cannot be read ({error.strerror})") from error
    return places


def list_images(place: Place, known: Collection[str] | None) -> Listing:
    """The images of a place by class.

    Every image below a class folder is of that class, however deep. A single folder around all class
    folders, as a zip often has it, is passed through.

    Args:
      place: the split.
      known: the classes of train, where they are known.

    Raises:
      UsageError: for a zip or folder that cannot be read.
    """
    tree = _Zip(place) if place.path.suffix == ".zip" else _Folder(place)
    listing = _list(tree, place.prefix)
    if len(listing.classes) == 1 and not listing.loose:
        (top,) = listing.classes
        if known is None or top not in known:
            if labels := tree.annotations(place.prefix):
                return _annotated(listing, labels)
            inner = _list(tree, f"{place.prefix}{top}/")
            names = {name for names in SPLIT_NAMES.values() for name in names}
            around = top in names or top == place.path.stem or len(inner.classes) > 1
            if around and inner.classes and not inner.loose:
                return inner
    return listing


def _list(tree: "_Folder | _Zip", prefix: str) -> Listing:
    classes, loose = tree.group(prefix)
    return Listing(tree.place, {name: sorted(classes[name]) for name in sorted(classes)}, loose)


def _annotated(listing: Listing, labels: dict[str, str]) -> Listing:
    classes: dict[str, list[str]] = {}
    for files in listing.classes.values():
        for file in files:
            label = labels.get(file.rpartition("/")[2])
            if label is None:
                raise UsageError(
                    f"dataset: {file!r} of {listing.place} is not in {_ANNOTATIONS}, which names the classes"
                )
            classes.setdefault(label, []).append(file)
    return Listing(listing.place, {name: classes[name] for name in sorted(classes)}, [])


class _Folder:
    """A folder on disk."""

    def __init__(self, place: Place):
        self.place = place

    def group(self, prefix: str) -> tuple[dict[str, list[str]], list[str]]:
        """Names of images by the first folder after the prefix, and those in none."""
        folder = self.place.path / prefix
        entries = list_folder(folder)
        classes = {
            entry.name: [f"{prefix}{entry.name}/{file}" for file in walk(entry.path, [folder])]
            for entry in entries
            if is_folder(entry)
        }
        loose = [prefix + e.name for e in entries if e.name not in classes and is_image(e.name)]
        return classes, loose

    def annotations(self, prefix: str) -> dict[str, str]:
        """Classes by the name of the file, where a file says so."""
        file = self.place.path / prefix / _ANNOTATIONS
        if not file.is_file() or file.stat().st_size > _ANNOTATION_BYTES:
            return {}
        return _parse(file.read_bytes())


class _Zip:
    """A zip; names are those of its directory, in one form."""

    def __init__(self, place: Place):
        self.place = place
        self.names = _zip_names(place.path)

    def group(self, prefix: str) -> tuple[dict[str, list[str]], list[str]]:
        """Names of images by the first folder after the prefix, and those in none."""
        classes: dict[str, list[str]] = {}
        loose = []
        for name, stored in self.names.items():
            if not name.startswith(prefix):
                continue
            top, slash, rest = name[len(prefix) :].partition("/")
            if slash:
                files = classes.setdefault(top, [])
                if rest and is_image(rest):
                    files.append(stored)
            elif is_image(top):
                loose.append(stored)
        return classes, loose

    def annotations(self, prefix: str) -> dict[str, str]:
        """Classes by the name of the file, where a file says so."""
        if (name := self.names.get(prefix + _ANNOTATIONS)) is None:
            return {}
        try:
            with zips.open_zip(self.place.path) as archive:
                return _parse(zips.read_member(archive, name, _ANNOTATION_BYTES))
        except (zips.ZipError, OSError) as error:
            raise UsageError(f"dataset: {self.place}/{_ANNOTATIONS}: {error}") from error


def _parse(text: bytes) -> dict[str, str]:
    lines = (line.split("\t") for line in text.decode("utf-8", "surrogateescape").splitlines())
    return {line[0]: line[1].strip() for line in lines if len(line) > 1}


def _zip_names(path: Path) -> dict[str, str]:
    """Names of a zip's files and folders that are not hidden, and the same as the zip has them stored.

    Those of Windows have backslashes, some begin with a slash or "./". One that leads upwards is hidden.
    """
    try:
        with zips.open_zip(path) as archive:
            members = archive.infolist()
    except (zips.ZipError, OSError) as error:
        raise UsageError(f"dataset: {shown(path)} is not a readable zip file ({error})") from error
    names = {}
    for member in members:
        name = member.filename
        if "/" not in name:
            name = name.replace("\\", "/")
        while name.startswith(("/", "./")):
            name = name.removeprefix("/").removeprefix("./")
        if not any(map(is_hidden, name.rstrip("/").split("/"))):
            names[name] = member.filename
            _check_encryption(path, member)
    return names


def _check_encryption(path: Path, member: zipfile.ZipInfo) -> None:
    if is_image(member.filename) and zips.is_encrypted(member):
        raise UsageError(
            f"dataset: {shown(path)} is encrypted ({member.filename!r}); expected one without a password"
        )
