"""The images in one tar file: where each lies, and its class. Nothing is unpacked."""

import dataclasses
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from jresnet.data.info import MAX_CLASSES
from jresnet.data.sources.files import SPLIT_NAMES, SUFFIXES, is_hidden
from jresnet.errors import UsageError
from jresnet.text import shown

# Bytes of a .cls file, and of the headers that hold a long name.
_NUMBER_BYTES = 32
_HEADER_BYTES = 1 << 16
_NAME_BYTES = 4096  # as long as a path may be on Linux
_LONG_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip

# name, first byte, bytes, and the class: its number, or its name
Entry = tuple[str, int, int, int | str]


class UnlabelledError(UsageError):
    """An image without a class: the tars may be a split without labels."""


class _Header(tarfile.TarInfo):
    """A header of a tar, refused where it would make the reader go in circles or fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0:
            raise tarfile.ReadError(f"a size of {header.size} bytes")
        if header.type in _LONG_HEADERS and header.size > _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


@dataclasses.dataclass
class _Content:
    """The yield of a pass over a tar: places and numbers by name, links, and whether there are other files."""

    images: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    numbers: dict[str, int] = dataclasses.field(default_factory=dict)
    links: dict[str, str] = dataclasses.field(default_factory=dict)
    others: bool = False


def entries(path: Path) -> Iterator[Entry]:
    """The images of one tar, in its order. Raises UsageError that names the tar, or the file in it."""
    if not path.is_file():
        raise UsageError(f"dataset: {shown(path)} is not a file; expected an uncompressed tar file")
    content = _Content()
    try:
        # "r:": plain, since compressed ones are not random access
        with tarfile.open(path, "r:", tarinfo=_Header) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it keeps all, a kilobyte each
                _collect(archive, member, path, content)
            _check_end(archive, path)
    except UsageError:
        raise
    except Exception as error:
        # By the damage: TarError, OSError, ValueError, OverflowError, RecursionError, ...
        reason = shown(" ".join(str(error).split()) or type(error).__name__, 200)
        raise UsageError(
            f"dataset: {shown(path)} is not a readable tar file ({reason}); expected an uncompressed one"
        ) from error
    for name, target in content.links.items():
        if target not in content.images:
            raise UsageError(
                f"dataset: {_shown(path, name)} is a link to {target!r}, which is not in the tar"
            )
        content.images[name] = content.images[target]
    for name, (offset, size) in content.images.items():
        yield name, offset, size, _class(path, name, content)


def _collect(
    archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, content: _Content
) -> None:
    name = member.name
    if member.size < 0 or len(name) > _NAME_BYTES:
        raise tarfile.ReadError(f"a size of {member.size} bytes, a name of {len(name)} letters")
    is_link = member.islnk() or member.issym()
    if not (member.isreg() or is_link) or any(map(is_hidden, _parts(name))):
        return
    stem, suffix = _split(name)
    if suffix == ".cls":
        content.numbers[stem] = _number(archive, member, path)
    elif suffix not in SUFFIXES:
        content.others = True
    elif is_link:
        folder = "" if member.islnk() else posixpath.dirname(name)
        content.links[name] = posixpath.normpath(posixpath.join(folder, member.linkname))
    elif member.issparse():
        raise UsageError(
            f"dataset: {_shown(path, name)} is stored with holes; expected a tar made without --sparse"
        )
    else:
        content.images[name] = member.offset_data, member.size


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _check_end(archive: tarfile.TarFile, path: Path) -> None:
    # tarfile takes a damaged header for the end, and would leave out all that follows.
    with path.open("rb") as file:
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"no file header at byte {archive.offset}")


def _number(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> int:
    text = b""
    if member.isreg() and not member.issparse() and member.size <= _NUMBER_BYTES:
        file = archive.extractfile(member)
        assert file is not None  # it is a regular file
        text = file.read().strip()
    if not text.isdigit() or int(text) >= MAX_CLASSES:
        raise UsageError(
            f"dataset: {_shown(path, member.name)} holds {text or f'{member.size} bytes'!r}; "
            f"expected the number of a class, 0 to {MAX_CLASSES - 1}"
        )
    return int(text)


def _class(path: Path, name: str, content: _Content) -> int | str:
    stem = _split(name)[0]
    if content.numbers:
        if stem not in content.numbers:
            raise UnlabelledError(
                f"dataset: {_shown(path, name)} has no class; expected {shown(stem)}.cls in the same tar"
            )
        return content.numbers[stem]
    folders = _parts(name)[:-1]
    if len(folders) > 1 and folders[-1] == "images":  # as in Tiny ImageNet
        folders.pop()
    if folders:
        return folders[-1]
    # A tar that lies in a folder of tars and holds nothing but images is one class, as in ILSVRC. Where other files go
    # with the images they are samples of a shard, whose name says nothing.
    splits = {name for names in SPLIT_NAMES.values() for name in names}
    if path.parent.name in splits and not content.others:
        return path.stem
    raise UnlabelledError(
        f"dataset: {_shown(path, name)} has no class; expected {shown(stem)}.cls beside it, a folder of its class, or "
        "one tar for each class in a folder of the split"
    )


def _split(name: str) -> tuple[str, str]:
    stem, _, suffix = name.rpartition(".")
    return stem, f".{suffix.lower()}"


def _shown(path: Path, name: str) -> str:
    return shown(f"{path}/{name}")
