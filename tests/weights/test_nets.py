"""Weights out of a run's folder."""

import dataclasses

import jax
import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.scan import unstack
from jresnet.train.checkpoint import Checkpoints
from jresnet.weights.nets import find_net, load_net
from tests.train.test_checkpoint import array_files, save, state

NET = find_net("cifar_resnet")


def run(folder, *steps, net=None):
    save(folder / "checkpoints", *steps, net=net)
    return folder


def test_the_newest_average_comes_to_the_bit(tmp_path):
    loaded = load_net(NET, {"depth": 8}, run(tmp_path, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, dict(state(2).average))
    assert (loaded.model.num_classes, loaded.channels, loaded.layout.name) == (10, 3, "cifar")


def test_parameters_where_no_average_was_kept(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(dataclasses.replace(state(1), average=None), {})
    loaded = load_net(NET, {"depth": 8}, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, dict(state(1).variables))


def test_a_scanned_net_reads_an_unrolled_run_and_the_other_way(tmp_path):
    scanned = zoo.cifar_resnet(20, scan=True)
    folder = run(tmp_path, 1, net=scanned)
    unrolled = load_net(NET, {"depth": 20}, folder)
    expected = unstack(dict(state(1, scanned).average))
    jax.tree.map(np.testing.assert_array_equal, unrolled.variables, expected)
    again = load_net(
        NET._replace(build=lambda **k: zoo.cifar_resnet(**k, scan=True)), {"depth": 20}, folder
    )
    jax.tree.map(np.testing.assert_array_equal, again.variables, dict(state(1, scanned).average))


def test_a_flipped_bit_falls_back_to_the_checkpoint_before(tmp_path, caplog):
    folder = run(tmp_path, 1, 2)
    for file in array_files(folder / "checkpoints", 2):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    loaded = load_net(NET, {"depth": 8}, folder)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, dict(state(1).average))
    assert "checkpoint 2 is unusable" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"depth": 14}, "the run trained another net: batch_stats/backbone/stage1/block2"),
        ({"depth": 8, "num_classes": 7}, "num_classes 7: the head of"),
        ({"depth": 9}, "depth 9 is not 6n+2"),
    ],
)
def test_another_net_is_refused(tmp_path, arguments, words):
    with pytest.raises(UsageError, match=words.replace("+", r"\+")):
        load_net(NET, arguments, run(tmp_path, 1))


def test_a_folder_without_checkpoints(tmp_path):
    with pytest.raises(UsageError, match=r"expected a run's folder, with training\.json in it"):
        load_net(NET, {"depth": 8}, tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UsageError, match="no usable checkpoint in"):
        load_net(NET, {"depth": 8}, tmp_path)
