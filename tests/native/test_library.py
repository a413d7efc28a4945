"""Where oneDNN is looked for, and what happens where it is not."""

import logging

import pytest

from jresnet.errors import UsageError
from jresnet.models import cpu
from jresnet.models.layers import convolve
from jresnet.native import library
from tests.nets import normal

HOW = ((1, 1), ((1, 1), (1, 1)), (1, 1))


@pytest.fixture
def unknown(monkeypatch, tmp_path):
    """Nothing was looked for yet, and nothing lies in the cache."""
    monkeypatch.setenv("JRESNET_CACHE", str(tmp_path / "cache"))
    library.problem.cache_clear()
    yield
    library.problem.cache_clear()


def test_it_must_be_asked_for(monkeypatch):
    for value in ("", "0"):
        monkeypatch.setenv(library.ASKED, value)
        assert not library.ready()
        assert "onednn" not in cpu.taken()
    monkeypatch.setenv(library.ASKED, "yes")
    with pytest.raises(UsageError, match=r"^JRESNET_ONEDNN=yes: expected 0 or 1$"):
        library.ready()


def test_without_the_library_convolutions_are_xla_s_and_the_log_says_why_once(
    unknown, monkeypatch, tmp_path, caplog
):
    monkeypatch.setenv("DNNLROOT", str(tmp_path))
    x, kernel = normal(2, 6, 6, 4), normal(3, 3, 4, 8)
    plain = convolve(x, kernel, *HOW)
    monkeypatch.setenv(library.ASKED, "1")
    with caplog.at_level(logging.WARNING, logger="jresnet"):
        ours = [convolve(x, kernel, *HOW) for _ in range(2)]
    assert all((y == plain).all() for y in ours)
    assert [record.getMessage() for record in caplog.records] == [
        "JRESNET_ONEDNN=1: convolutions stay XLA's: "
        f"DNNLROOT={tmp_path}: expected a folder with include/oneapi/dnnl/dnnl.hpp"
    ]


def test_a_machine_without_a_compiler_and_one_that_fails(unknown, monkeypatch, tmp_path):
    header = tmp_path / "include" / library.HEADER
    header.parent.mkdir(parents=True)
    header.write_text('#error "too old"\n')
    (header.parent / "dnnl_version.h").touch()
    monkeypatch.setenv("DNNLROOT", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler -g")
    with pytest.raises(UsageError, match=r"^CXX=no-such-compiler -g: expected a C\+\+ compiler"):
        library.build()
    monkeypatch.setenv("CXX", "sh -c 'echo x.h: error: too old >&2; exit 1'")
    with pytest.raises(UsageError, match=r"^sh failed: x\.h: error: too old$"):
        library.build()
    assert list((tmp_path / "cache/native").iterdir()) == []


def test_a_folder_that_others_can_write_is_not_trusted(tmp_path):
    folder = library.safe(tmp_path / "mine")
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o770)
    with pytest.raises(UsageError, match="expected a folder that only its user can write"):
        library.safe(folder)


def test_a_build_is_known_by_its_sources_options_and_versions(tmp_path):
    prefix = library.Prefix(tmp_path / "include", tmp_path / "lib")
    version = prefix.include / "oneapi/dnnl/dnnl_version.h"
    version.parent.mkdir(parents=True)
    version.write_text("3.2")
    first = library.fingerprint(["c++"], prefix)
    assert library.fingerprint(["c++"], prefix) == first
    assert library.fingerprint(["c++", "-O3"], prefix) != first
    version.write_text("3.3")
    assert library.fingerprint(["c++"], prefix) != first


def test_a_library_in_the_cache_is_not_built_again(monkeypatch):
    monkeypatch.setenv(library.ASKED, "1")
    if reason := library.problem():
        pytest.skip(f"oneDNN's convolutions cannot be built here: {reason}")
    path = library.build()
    before = path.stat()
    assert library.build() == path
    assert path.stat().st_ino == before.st_ino
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(UsageError, match=r"^false failed"):  # another compiler is another build
        library.build()
