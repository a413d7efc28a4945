"""Checkpoints: what is read back, and what happens to broken ones."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.scan import stack, unstack
from jresnet.runtime import mesh as meshes
from jresnet.train.checkpoint import Checkpoints
from jresnet.train.optim import sgd
from jresnet.train.state import TrainState
from jresnet.weights import run as stored
from jresnet.weights.run import CheckpointError, read_trajectory
from tests.nets import random_variables
from tests.train.test_loop import assert_bit_equal

OPTIMIZER = sgd(lambda _: 0.1)


def state(step, net=None, seed=0, mesh=None):
    variables = random_variables(net or zoo.cifar_resnet(8), (8, 8, 3), seed=seed + step)
    params = variables.pop("params")
    opt_state = jax.tree.map(lambda x: x + step, OPTIMIZER.init(params))
    average = jax.tree.map(lambda x: x + 1, {"params": params, **variables})
    whole = TrainState(jnp.asarray(step), params, variables, opt_state, average)
    return jax.device_put(whole, meshes.replicated(mesh or meshes.make_mesh(1)))


def abstract(like, devices=1):
    sharding = meshes.replicated(meshes.make_mesh(devices))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)


def save(folder, *steps, net=None):
    with Checkpoints(folder, keep=3) as checkpoints:
        for step in steps:
            checkpoints.save(state(step, net), {"step": step, "window": {"loss": [0.1 + 0.2, 3]}})


def restore(folder, devices=1, net=None):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(abstract(state(0, net), devices))


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    save(tmp_path, 3, 7)
    restored = restore(tmp_path)
    assert_bit_equal(restored.state, state(7))
    assert restored.extra == {"step": 7, "window": {"loss": [0.1 + 0.2, 3]}}


def test_what_orbax_did_not_write_is_no_checkpoint(tmp_path):
    save(tmp_path, 7)
    for name in ("007", "²", "9" * 30, "8.aside-1", "8.orbax-checkpoint-tmp", "eight"):
        (tmp_path / name).mkdir()
    (tmp_path / "9.orbax-checkpoint-tmp-1").write_text("")
    assert stored.steps_in(tmp_path) == [7]
    assert_bit_equal(restore(tmp_path).state, state(7))


def test_an_empty_folder_restores_nothing(tmp_path):
    assert restore(tmp_path) is None


def test_it_restores_onto_other_devices(tmp_path):
    save(tmp_path, 1)
    restored = restore(tmp_path, devices=8)
    assert_bit_equal(restored.state, state(1))
    assert all(leaf.sharding.num_devices == 8 for leaf in jax.tree.leaves(restored.state))


def array_files(folder, step):
    """The data files of one checkpoint, largest first."""
    files = [
        f for f in (folder / str(step) / "state").rglob("*") if f.is_file() and "/d/" in str(f)
    ]
    return sorted(files, key=lambda f: -f.stat().st_size)


def test_saving_a_step_twice_is_an_error_and_not_silence(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(1), {})
        checkpoints.wait()
        with pytest.raises(CheckpointError, match=r"declined|exists|already"):
            checkpoints.save(state(1), {})


def test_scanned_blocks_are_saved_unrolled(tmp_path):
    scanned, unrolled = zoo.cifar_resnet(26, scan=True), zoo.cifar_resnet(26)
    save(tmp_path, 1, net=scanned)
    again = restore(tmp_path, net=scanned)
    assert_bit_equal(again.state, state(1, scanned))
    flat = restore(tmp_path, net=unrolled).state
    assert_bit_equal(flat.params, unstack(again.state.params))
    assert_bit_equal(stack(flat.params), again.state.params)


def test_a_folder_that_cannot_be_written_gives_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write checkpoints in") as caught:
        Checkpoints(tmp_path / "file" / "checkpoints")
    assert "\n" not in str(caught.value)


def test_a_state_may_be_donated_as_soon_as_save_returns(tmp_path):
    """Arrays may be donated right after save returns: the checkpoint has its own copy."""
    with Checkpoints(tmp_path) as checkpoints:
        live = state(1)
        expected = jax.tree.map(np.array, live)
        checkpoints.save(live, {})
        jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)(live)
    assert_bit_equal(restore(tmp_path).state, expected)


def test_a_full_disk_is_met_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path, 1)
    usage = shutil.disk_usage(tmp_path)._replace(free=16 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(
            CheckpointError, match=r"No space left on device \(16 MiB free, 17 wanted"
        ):
            checkpoints.save(state(2), {})
        assert checkpoints.steps() == [1]


def test_a_trajectory_is_every_whole_checkpoint_in_order(tmp_path):
    with Checkpoints(tmp_path, keep=None) as checkpoints:
        for step in (1, 2, 5, 11):
            checkpoints.save(state(step), {})
    for file in array_files(tmp_path, 2):
        file.write_bytes(b"")
    trajectory = read_trajectory(tmp_path)
    assert [step for step, _ in trajectory] == [1, 5, 11]
    for step, variables in trajectory:
        assert_bit_equal(variables, dict(state(step).average))
    with pytest.raises(CheckpointError, match="there is no folder"):
        read_trajectory(tmp_path / "none")


def test_what_is_saved_beside_the_state_may_change_once_save_returns():
    # The log's window goes on while the checkpoint is written in the background.
    extra = {"window": {"loss": [1.0, 2.0]}, "step": 4}
    record = stored.meta({}, extra)
    extra["window"]["loss"] = [9.0, 9.0]
    extra["window"]["error"] = [0.0, 1.0]
    assert stored.check_meta(record)["extra"] == {"window": {"loss": [1.0, 2.0]}, "step": 4}
