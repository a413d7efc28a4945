"""Tars that are damaged or made to harm: one line or one counted file, no hang, little memory."""

import io
import os
import resource
import tarfile
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.sources import tar_files, tar_index
from jresnet.data.sources.resolve import info, open_split
from jresnet.errors import UsageError

from .test_shards import folders, jpeg, levels, write

TRAIN = [(10, 1), (20, 0), (30, 0)]  # of `folders`


def header(name: str | bytes, size: int, kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    """A tar header with a right checksum, whatever it says."""
    member = tarfile.TarInfo(os.fsdecode(name))
    member.type = kind
    for key, value in fields.items():
        setattr(member, key, value)
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")[-512:])
    octal = size >= 0 and size < 8**11
    block[124:136] = (
        b"%011o\0" % size
        if octal
        else (b"\x80" if size > 0 else b"\xff") + (size % 256**11).to_bytes(11, "big")
    )
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    return bytes(block)


def raw(path: Path, *parts: bytes) -> None:
    path.write_bytes(b"".join(part + bytes(-len(part) % 512) for part in parts) + bytes(1024))


def pax(bytes_: int, **fields: str) -> bytes:
    """An extended header, with what it applies to."""
    return tarfile.TarInfo._create_pax_generic_header(fields, tarfile.XHDTYPE, "utf-8") + header("ant/9.jpg", bytes_)  # type: ignore[attr-defined] # fmt: skip


def gnu_sparse(size: int) -> bytes:
    block = bytearray(header("ant/9.jpg", 512, tarfile.GNUTYPE_SPARSE))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    return bytes(block)


FAULTS: list[tuple[tuple[bytes, ...], str]] = [
    ((gnu_sparse(1 << 40), bytes(512)), "train-9.tar/ant/9.jpg is stored with holes; expected a tar made without"),
    ((pax(0, **{"GNU.sparse.map": "0,1", "GNU.sparse.size": "99999999999"}),), "is stored with holes"),
    ((pax(0, **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), b"9" * 5000 + b"\n"), "train-9.tar is not a readable tar"),
    ((header("ant/9.jpg", 512), bytes(512), header("a.cls", 5000), b"1" * 5000), "train-9.tar/a.cls holds '5000 bytes'; expected the number of a class, 0 to 1048575"),
    ((header("a.cls", 20), b"9" * 20), "a.cls holds b'99999999999999999999'; expected the number"),
    ((header("a.cls", 7), b"1048576"), "a.cls holds b'1048576'; expected the number"),
    ((header("a.cls", 1 << 40), b""), "train-9.tar"),
    ((header("a.cls", 1, tarfile.SYMTYPE, linkname="b.cls"), b""), "a.cls holds '1 bytes'"),
    ((header("ant/9.jpg", -512),), "train-9.tar is not a readable tar file .a size of -512 bytes"),
    ((header("ant", -512, tarfile.DIRTYPE),), "a size of -512 bytes"),
    ((header("x", -512, tarfile.GNUTYPE_LONGNAME),), "a size of -512 bytes"),
    ((header("x", 1 << 40, tarfile.XHDTYPE),), "a header of 1099511627776 bytes"),
    ((header("x", 1 << 20, tarfile.GNUTYPE_LONGNAME), b"n" * (1 << 20), header("x", 0)), "a header of 1048576 bytes"),
    ((pax(0, size="-1024"),), "a size of -1024 bytes"),
    ((pax(0, path="a/" * 9000 + "9.jpg"),), "a name of 18005 letters"),
    ((pax(0, size="9" * 5000),), ""),
    ((header("ant/9.jpg", 1 << 40),), "train-9.tar is not a readable tar file .unexpected end of data"),
    ((header("x", 512, tarfile.XHDTYPE), b"5" * 5000, header("ant/9.jpg", 0)), "not a readable tar"),
    ((header("ant/9.jpg", 0, tarfile.LNKTYPE, linkname="ant/8.jpg"),), "ant/9.jpg is a link to 'ant/8.jpg', which is not in"),
    ((header("ant/9.jpg", 0, tarfile.SYMTYPE, linkname="/etc/passwd"),), "is a link to '/etc/passwd', which is not in"),
    ((header("ant/9.jpg", 0, tarfile.SYMTYPE, linkname="9.jpg"),), "is a link to 'ant/9.jpg', which"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "message"), FAULTS)
def test_faults_are_one_line_in_little_memory(
    parts: tuple[bytes, ...], message: str, tmp_path: Path
) -> None:
    folders(tmp_path)
    raw(tmp_path / "train-9.tar", *parts)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if message:
        with pytest.raises(UsageError, match=message) as caught:
            info(str(tmp_path))
        assert str(caught.value).isprintable()
    else:
        info(str(tmp_path))  # a size that is no number is none
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_long_row_of_headers_is_one_line(tmp_path: Path) -> None:
    folders(tmp_path)
    raw(tmp_path / "train-9.tar", *[header("x", 0, tarfile.GNUTYPE_LONGNAME)] * 5000)
    with pytest.raises(UsageError, match=r"train-9\.tar is not a readable tar file"):
        info(str(tmp_path))


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", "é".encode(), b"a\x1b[31mred", b"line\nbreak", b"<b>"]
)
def test_foreign_names_are_data_and_shown_in_one_line(name: bytes, tmp_path: Path) -> None:
    raw(tmp_path / "train-0.tar", header(name + b"/1.jpg", len(jpeg(10))), jpeg(10), header("z/1.jpg", 2), b"no")  # fmt: skip
    write(tmp_path / "test-0.tar", {"z/1.jpg": jpeg(20)})
    for _ in range(2):  # read, and from the index
        classes = info(str(tmp_path)).class_names
        assert list(classes) == sorted([os.fsdecode(name), "z"])
        label = classes.index(os.fsdecode(name))
        source = open_split(str(tmp_path), "train")
        assert source[0]["label"] == label
        assert source.describe(0).isprintable()
        with pytest.raises(UsageError, match=r"z/1\.jpg: not a readable image"):
            source[1]
    assert (tmp_path / "train.index.npz").is_file()


def test_links_in_a_tar_are_the_image_they_lead_to(tmp_path: Path) -> None:
    folders(tmp_path)
    raw(
        tmp_path / "train-9.tar",
        header("ant/1.jpg", len(jpeg(50))), jpeg(50),
        header("bee/1.jpg", 0, tarfile.LNKTYPE, linkname="ant/1.jpg"),
        header("bee/2.jpg", 0, tarfile.SYMTYPE, linkname="../ant/1.jpg"),
    )  # fmt: skip
    assert levels(tmp_path, "train") == [*TRAIN, (50, 0), (50, 1), (50, 1)]


def test_hidden_files_and_images_folders(tmp_path: Path) -> None:
    write(
        tmp_path / "train.tar",
        {
            "train/ant/images/1.jpg": jpeg(10), "train/bee/images/1.jpg": jpeg(20), "__MACOSX/train/ant/1.jpg": b"x",
            "train/ant/.ipynb_checkpoints/1.jpg": b"x", "train/ant/@eaDir/1.jpg": b"x",
        },
    )  # fmt: skip
    write(tmp_path / "test.tar", {"ant/1.jpg": jpeg(30)})
    assert levels(tmp_path, "train") == [(10, 0), (20, 1)]


@pytest.mark.parametrize("second", ["tar", "folder"])
def test_a_test_split_without_classes_is_passed_over(second: str, tmp_path: Path) -> None:
    folders(tmp_path)
    write(tmp_path / "test.tar", {"1.jpg": jpeg(90), "2.jpg": jpeg(90)})
    if second == "folder":
        (tmp_path / "val.tar").unlink()
        (tmp_path / "val/bee").mkdir(parents=True)
        (tmp_path / "val/bee/1.jpg").write_bytes(jpeg(40))
    assert levels(tmp_path, "test") == [(40, 1)]


def test_what_is_no_file_hangs_nothing(tmp_path: Path) -> None:
    folders(tmp_path)
    os.mkfifo(tmp_path / "train.index.npz")
    assert levels(tmp_path, "train") == TRAIN
    for make in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")):
        make(tmp_path / "train-9.tar")
        with pytest.raises(UsageError, match=r"train-9\.tar (is not a file|cannot be read)"):
            info(str(tmp_path))
        (tmp_path / "train-9.tar").rmdir() if make is Path.mkdir else (tmp_path / "train-9.tar").unlink()  # fmt: skip


def test_a_pass_over_a_tar_keeps_no_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.tar", {f"ant/{n}.jpg": b"" for n in range(50)})
    kept = []
    collect = tar_files._collect

    def watch(archive: tarfile.TarFile, *rest: object) -> None:
        kept.append(len(archive.members))
        collect(archive, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tar_files, "_collect", watch)
    assert len(list(tar_files.entries(tmp_path / "a.tar"))) == 50
    assert set(kept) == {0}


def test_classes_are_numbered_as_numpy_sorts_them(tmp_path: Path) -> None:
    names = ["b", "a", "B", "é", "ab", "\U0001f600", "\ufb01", "10", "2"]
    files = {f"{name}/1.jpg": jpeg(9) for name in names}
    write(tmp_path / "train.tar", files)
    path = tmp_path / "train.tar"
    stamps = np.array([tar_index._stamp(path)])
    index = tar_index._scan([path], ("train.tar",), stamps)
    unique, labels = np.unique(np.array(names), return_inverse=True)
    assert index.classes == tuple(unique.tolist())
    np.testing.assert_array_equal(index.label, labels)
    assert io.BytesIO(index.names.tobytes()).read(len("b/1.jpg")) == b"b/1.jpg"
