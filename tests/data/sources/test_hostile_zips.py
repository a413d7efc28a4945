"""Zips that are damaged or made to harm: one line or one counted file, in little memory."""

import contextlib
import shutil
import zipfile
from pathlib import Path

import pytest

from jresnet.data.sources.resolve import info, open_split
from jresnet.errors import UsageError

from .test_layouts import folder, levels, picture, train_zip

__all__ = ["folder"]  # the fixture


def edit(path: Path, place: int, value: bytes, local: int | None = None) -> None:
    """Overwrites bytes of every entry of the directory, and of the entries themselves."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\1\2", place), (b"PK\3\4", local)):
        entry = -1
        while offset is not None and (entry := data.find(mark, entry + 1)) >= 0:
            data[entry + offset : entry + offset + len(value)] = value
    path.write_bytes(data)


def test_an_encrypted_zip_is_one_line(folder: Path) -> None:
    train_zip(folder)
    edit(folder / "train.zip", 8, b"\1")
    with pytest.raises(UsageError, match=r"train\.zip is encrypted .'bee/1\.png'.; expected one without"):  # fmt: skip
        info(str(folder))


@pytest.mark.parametrize(
    ("place", "value", "local", "words"),
    [
        (10, b"\x63", None, "compression 99; expected stored or deflated"),
        (10, b"\x0c", None, "compression 12"),
        (24, b"\xff\xff\xff\x7f", None, r"2,147,483,647 bytes packed to \d+; expected at most 100"),
        (24, b"\x01\0\0\0", None, "Bad CRC-32"),
        (16, b"\0\0\0\0", None, "Bad CRC-32"),
        (42, b"\xff\xff\xff\x7f", None, "not a readable image"),
        (20, b"\x01\0\0\0", None, "not a readable image"),
    ],
)  # fmt: skip
def test_a_faulty_member_is_a_broken_file(
    place: int, value: bytes, local: int | None, words: str, folder: Path
) -> None:
    train_zip(folder)
    shutil.copy(folder / "train.zip", folder / "test.zip")
    edit(folder / "test.zip", place, value, local)
    source = open_split(str(folder), "test")
    for index in range(3):
        with pytest.raises(UsageError, match=words) as caught:
            source[index]
        assert f"test.zip/{'bee' if index == 2 else 'ant'}/" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_bomb_in_a_zip_is_a_broken_file(folder: Path) -> None:
    with zipfile.ZipFile(folder / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ant/1.png", picture(1))
        with archive.open("bee/1.bmp", "w") as file:
            for _ in range(100):
                file.write(bytes(1 << 20))
    shutil.rmtree(folder / "train")
    with pytest.raises(UsageError, match=r"bee/1\.bmp: not a readable image .104,857,600 bytes packed"):  # fmt: skip
        open_split(str(folder), "train")[1]


@pytest.mark.parametrize("place", range(0, 60, 3))
def test_a_zip_with_a_damaged_directory_is_one_line(place: int, folder: Path) -> None:
    train_zip(folder)
    data = bytearray((folder / "train.zip").read_bytes())
    start = data.find(b"PK\1\2")
    for value in (0, 0x7F, 0xFF):
        data[start + place] = value
        (folder / "train.zip").write_bytes(data)
        with contextlib.suppress(UsageError):  # other exceptions are not
            levels(folder, "train")
