"""Data sets in an object store: the same examples as on this machine's disk."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.sources.resolve import open_split, resolve
from jresnet.errors import UsageError
from jresnet.run.workdir import local_arguments
from jresnet.store.bucket import Bucket
from jresnet.store.copy import states
from tests.commands.conftest import write_image


def folder(path):
    for number, name in enumerate(("train/a/0", "train/b/1", "test/a/2", "test/b/3")):
        write_image(path / f"{name}.png", seed=number)
    return path


def shards(path, tmp_path):
    folder(tmp_path / "images")
    path.mkdir()
    for split in ("train", "test"):
        with tarfile.open(path / f"{split}-000.tar", "w") as tar:
            tar.add(tmp_path / "images" / split, arcname=".")
    return path


def test_folders_and_shards_are_read_from_a_store(store, tmp_path):
    place, proxy = store
    for local in (folder(tmp_path / "folder"), shards(tmp_path / "shards", tmp_path)):
        address = f"{place}/sets/{local.name}"
        Bucket(address).put(sorted(states(local)), local)
        arguments = local_arguments({"dataset": address, "styles": (local, Path(address))})
        assert arguments["styles"][0] == local
        assert arguments["styles"][1].name == local.name
        assert type(arguments["dataset"]) is str
        there, here = (resolve(one).info() for one in (address, str(local)))
        assert (there.sizes, there.class_names) == (here.sizes, here.class_names)
        assert there.sizes == {"train": 2, "test": 2}
        for one, two in zip(
            open_split(address, "test"), open_split(str(local), "test"), strict=True
        ):
            np.testing.assert_array_equal(one["image"], two["image"])
            assert one["label"] == two["label"]
    # What is here already is not fetched again.
    before = len(proxy.requests)
    resolve(f"{place}/sets/folder")
    assert not any(".png" in request for request in proxy.requests[before:])
    with pytest.raises(UsageError, match=f"{place}/sets/none: nothing is there"):
        resolve(f"{place}/sets/none")
