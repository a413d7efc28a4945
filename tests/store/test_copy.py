"""A folder and its copy in a store: the same files, whole checkpoints, whatever fails between."""

import shutil

import fsspec.config
import pytest

from jresnet.errors import UsageError
from jresnet.store import bucket as buckets
from jresnet.store.bucket import Bucket, StoreError, address, is_remote
from jresnet.store.copy import MARKER, OWNER, Copy, copied, states
from jresnet.store.places import READ, addressed, copies, key


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def contents(folder):
    return {name: (folder / name).read_text() for name in states(folder)}


STEP = {"checkpoints__2__state__d__a": "arrays", "checkpoints__2__meta": "{}"}
WRITING = ("PUT", "POST")
SMALL = {"config.json": "{}", "whole__metrics.jsonl": "1\n"}


def saved(place):
    """A copy with a checkpoint, uploaded."""
    copy = Copy(place, "run-0")
    copy.download()
    write(copy.folder, **SMALL, **STEP)
    (copy.folder / "checkpoints" / "2" / MARKER).write_text("Orbax")
    copy.upload()
    return copy


def test_an_address_keeps_its_slashes_as_a_path_does_not():
    assert address("gs:/bucket/a//") == "gs://bucket/a"
    assert address("s3://bucket") == "s3://bucket"
    assert not any(map(is_remote, ("gs", "az://b/c", "/gs:/b", "runs/gs:/b", "gs://")))
    with pytest.raises(UsageError, match="expected gs://BUCKET/FOLDER"):
        address("runs/a")
    for place in ("gs://bucket/..", "gs://bucket/a/../b", "s3://bucket/./a", "gs://bucket/a//b"):
        with pytest.raises(UsageError, match=r"without \. and \.\. in it"):
            address(place)


def test_a_copy_s_path_tells_its_address(monkeypatch):
    monkeypatch.setenv("JRESNET_CACHE", "/cache")
    folder = copies() / READ / key("s3://bucket/a set") / "a set"
    data = {"dataset": str(folder), "each": [str(folder / "train" / "x"), 3, None, "/cache/copies"]}
    assert addressed(data) == {
        "dataset": "s3://bucket/a set",
        "each": ["s3://bucket/a set/train/x", 3, None, "/cache/copies"],
    }
    assert len(key("gs://bucket/" + 300 * "x")) == 64


def test_what_is_uploaded_comes_down_and_what_is_removed_goes(store, tmp_path):
    place, proxy = store
    copy = saved(f"{place}/runs/a")
    with pytest.raises(UsageError, match="nothing is there"):
        copied(f"{place}/runs/b")
    elsewhere = Copy(f"{place}/runs/a", "elsewhere")
    elsewhere.download()
    assert elsewhere.halves == []
    assert contents(elsewhere.folder) == contents(copy.folder) | {
        f"checkpoints/2/{MARKER}": "whole\n"
    }
    # The same again asks for the list alone, and a file that changed here is put right.
    (elsewhere.folder / "config.json").write_text("changed by a run that was killed")
    (elsewhere.folder / "left.txt").write_text("")
    before = len(proxy.requests)
    elsewhere.download()
    assert contents(elsewhere.folder)["config.json"] == "{}"
    assert "left.txt" not in contents(elsewhere.folder)
    assert len(proxy.requests) - before <= 6
    shutil.rmtree(copy.folder / "checkpoints" / "2")
    write(copy.folder, whole__metrics__more="2")
    copy.upload()
    elsewhere.download()
    assert contents(elsewhere.folder) == contents(copy.folder)
    assert not (elsewhere.folder / "checkpoints").exists()
    assert copied(f"{place}/runs/a/config.json").read_text() == "{}"
    light = copied(f"{place}/runs", light=True)
    assert "a/whole/metrics.jsonl" in states(light)


def test_half_a_checkpoint_is_none(store, monkeypatch):
    place, proxy = store
    copy = saved(f"{place}/run")
    write(copy.folder, **{name.replace("2", "4"): text for name, text in STEP.items()})
    (copy.folder / "checkpoints" / "4" / MARKER).write_text("Orbax")
    write(copy.folder, **{"whole__metrics.jsonl": "1\n2\n"})
    # The store fails for good in the middle of the arrays.
    monkeypatch.setattr("asyncio.sleep", instantly())
    proxy.fault = lambda request: (
        0 if request.startswith(WRITING) and "checkpoints/4/meta" in request else None
    )
    with pytest.raises(StoreError, match=place):
        copy.upload()
    proxy.fault = lambda request: None
    other = Copy(f"{place}/run", "other")
    other.download()
    assert other.halves
    assert all(name.startswith("checkpoints/4/") for name in other.halves)
    reader = copied(f"{place}/run")
    assert not (reader / "checkpoints" / "4").exists()
    assert (reader / "checkpoints" / "2" / MARKER).exists()
    # The same upload, done again, is whole.
    copy.upload()
    assert (copied(f"{place}/run") / "checkpoints" / "4" / "meta").exists()
    # The marker is the last that is written and the first that goes.
    writes = [request for request in proxy.requests if request.startswith(WRITING)]
    assert f"checkpoints/4/{MARKER}" in writes[-1]
    shutil.rmtree(copy.folder / "checkpoints" / "2")
    copy.upload()
    first = next(r for r in proxy.requests if r.startswith("DELETE"))
    assert f"checkpoints/2/{MARKER}" in first


def test_a_copy_is_kept_where_the_store_has_nothing(store, caplog):
    place, _ = store
    copy = saved(f"{place}/run")
    copy.bucket.remove(list(copy.bucket.list()))
    again = Copy(f"{place}/run", "run-0")
    kept = contents(again.folder)
    assert len(kept) == 5
    again.download()
    assert not contents(again.folder)
    (aside,) = again.place.glob("*.aside-1")
    assert contents(aside) == kept
    assert f"is kept as {aside}" in caplog.text


def test_requests_that_fail_and_hang_are_made_again(store, monkeypatch):
    place, proxy = store
    monkeypatch.setattr(buckets, "READ", 2)  # of gs; s3 has its setting
    monkeypatch.setitem(fsspec.config.conf.get("s3", {}), "config_kwargs", {"read_timeout": 2})
    monkeypatch.setattr("asyncio.sleep", instantly())
    numbers = iter(range(10**6))

    def fault(request):
        number = next(numbers)
        return 0 if number % 5 == 1 else 5 if number == 3 else None

    proxy.fault = fault
    copy = saved(f"{place}/run")
    elsewhere = Copy(f"{place}/run", "elsewhere")
    elsewhere.download()
    assert set(contents(elsewhere.folder)) == set(contents(copy.folder))
    assert proxy.faults >= 3


def test_the_later_of_two_machines_owns_the_run(store):
    place, _ = store
    first, second = Copy(f"{place}/run", "run-0"), Copy(f"{place}/run", "elsewhere")
    first.take_over()
    assert first.owned()
    second.take_over()
    assert second.owned()
    assert not first.owned()
    with pytest.raises(StoreError, match="another machine has taken this run over"):
        first.upload()
    first.disown()
    assert second.owned()
    assert OWNER in Bucket(f"{place}/run").list()
    second.disown()
    assert Bucket(f"{place}/run").list() == {}


def test_a_store_that_never_answers_is_one_line(monkeypatch, store):
    place, proxy = store
    bucket = Bucket(f"{place}/run")
    proxy.fault = lambda request: 0
    monkeypatch.setattr("asyncio.sleep", instantly())
    with pytest.raises(StoreError) as caught:
        bucket.list()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{place}/run: ")


def instantly():
    import asyncio

    sleep = asyncio.sleep
    return lambda seconds, *result: sleep(0, *result)
