"""Zip files of others, read with limits: for image folders, `.npz` files and indices of tars."""

import errno
import zipfile
from pathlib import Path

import numpy as np

from jresnet.text import shown

# Both unpack in steps, so that no more comes out than is asked for.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# What a member may hold without a look at its compressed size, and what it may be packed to above that.
_FREE_BYTES = 64 << 20
_RATIO = 100


class ZipError(ValueError):
    """A zip file or a member of it that cannot be read. Callers re-raise this with the name of the file."""


def open_zip(path: Path) -> zipfile.ZipFile:
    """The zip file at path. Raises ZipError, and OSError where there is no file to open."""
    try:
        return zipfile.ZipFile(path)
    except OSError:
        raise
    except Exception as error:
        # By the damage: BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error, ...
        raise ZipError(_reason(error)) from error


def is_encrypted(member: zipfile.ZipInfo) -> bool:
    """Whether a password is needed."""
    return bool(member.flag_bits & _ENCRYPTED)


def check_member(member: zipfile.ZipInfo) -> None:
    """Raises ZipError for encryption, a compression that is not meant, and a bomb, by the directory alone."""
    if is_encrypted(member):
        raise ZipError("encrypted")
    if member.compress_type not in _COMPRESSIONS:
        raise ZipError(f"compression {member.compress_type}; expected stored or deflated")
    size, packed = member.file_size, member.compress_size
    if size > max(_FREE_BYTES, _RATIO * packed):
        raise ZipError(
            f"{size:,} bytes packed to {packed:,}; expected at most {_RATIO} times the packed size"
        )


def read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """The bytes of one member, at most `limit`. Raises ZipError, and OSError where the disk fails."""
    try:
        member = archive.getinfo(name)
        check_member(member)
        if member.file_size > limit:
            raise ZipError(f"{member.file_size:,} bytes; expected at most {limit:,}")
        with archive.open(member) as file:
            # No more than the directory says, whatever comes out of the compressed bytes.
            data = file.read(member.file_size)
            if len(data) != member.file_size:
                raise ZipError(f"{len(data):,} of {member.file_size:,} bytes")
            return data
    except ZipError:
        raise
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place before the file's beginning
            raise ZipError(_reason(error)) from error
        raise
    except Exception as error:
        # By the damage: BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ...
        raise ZipError(_reason(error)) from error


def array_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays of an .npz. Raises ZipError."""
    try:
        with open_zip(path) as archive:
            return tuple(dict.fromkeys(n.removesuffix(".npy") for n in archive.namelist()))
    except OSError as error:
        raise ZipError(_reason(error)) from error


def read_array(path: Path, name: str) -> np.ndarray:
    """One array of an .npz, checked before memory is taken for it; no pickles. Raises ZipError."""
    try:
        with open_zip(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            check_member(member)
            with archive.open(member) as file:
                shape, _, dtype = _read_header(file)
            count = int(np.prod(shape, dtype=object))
            if dtype.hasobject or dtype.names is not None:
                raise ZipError(f"an array of type {shown(dtype, 80)}; expected numbers or text")
            if not 0 <= count * dtype.itemsize <= member.file_size:
                raise ZipError(
                    f"claims the shape {shape}, more than its {member.file_size:,} bytes"
                )
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
    except ZipError:
        raise
    except Exception as error:
        # Of zipfile, zlib and numpy, by the damage.
        raise ZipError(_reason(error)) from error


def _read_header(file) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ZipError(f"a .npy of version {version}; expected (1, 0) or (2, 0)")


def _reason(error: Exception) -> str:
    return shown(" ".join(str(error).split()) or type(error).__name__, 200)
