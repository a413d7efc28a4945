"""Checkpoints: what is read back, and what happens to broken ones."""

import logging
import shutil
import sys

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
from tests.breaking import OF_FILES, OF_FOLDERS, all_names, folder_deleted
from tests.nets import random_variables
from tests.train.test_loop import assert_bit_equal

OPTIMIZER = sgd(lambda _: 0.1)


def state(step, net=None, seed=0, mesh=None):
    given = random_variables(net or zoo.cifar_resnet(8), (8, 8, 3), seed=seed + step)
    params = given.pop("params")
    opt_state = jax.tree.map(lambda x: x + step, OPTIMIZER.init(params))
    average = jax.tree.map(lambda x: x + 1, {"params": params, **given})
    whole = TrainState(jnp.asarray(step), params, given, opt_state, average)
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


def truncate(folder, step):
    file = array_files(folder, step)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder, step):
    array_files(folder, step)[0].write_bytes(b"")


def flip(folder, step):
    file = array_files(folder, step)[0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


def garble(folder, step):
    (folder / str(step) / "meta" / "metadata").write_text("{")


def state_of_nothing():
    """A state so small that it is quickly saved and read."""
    net = {"layer": {"kernel": jnp.ones((3, 4))}}
    return TrainState(jnp.asarray(0), net, {}, OPTIMIZER.init(net), None)


def small(step):
    return jax.tree.map(lambda x: x + step, state_of_nothing())


@pytest.mark.parametrize("damage", [*OF_FILES, *OF_FOLDERS])
def test_whatever_of_the_newest_is_broken_the_run_goes_on_and_saves_it_again(
    tmp_path, damage, caplog
):
    whole = tmp_path / "whole"
    with Checkpoints(whole, keep=3) as checkpoints:
        for step in (1, 2):
            checkpoints.save(small(step), {"step": step})
    for number, name in enumerate(all_names(whole, 2)):
        if (whole / "2" / name).is_file() != (damage in OF_FILES):
            continue
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        damage(folder / "2" / name)
        caplog.clear()
        with Checkpoints(folder) as checkpoints:
            restored = checkpoints.restore(abstract(small(0)))
            step = int(restored.state.step)
            assert_bit_equal(restored.state, small(step))
            assert restored.extra == {"step": step}
            if step == 1:  # else the damage does not matter
                checkpoints.save(small(2), {"step": 2})
        assert_bit_equal(read_trajectory(folder)[-1][1], {"params": small(2).params})
        if step == 2 or (damage is folder_deleted and name == "."):
            assert not checkpoints.aside
            continue
        (line,) = checkpoints.aside
        assert "checkpoint 2 is " in line
        assert f"{folder / '2.aside-1'}" in line
        assert "\n" not in line
        assert line in caplog.text
        if damage in OF_FILES[:2]:
            kept = folder / "2.aside-1" / name
            assert kept.read_bytes() == (whole / "2" / name).read_bytes()[: kept.stat().st_size]


def test_what_orbax_abandons_is_not_printed_and_all_else_is(capsys):
    stored.hush()
    stored.hush()  # once is enough
    closed = RuntimeError("Event loop is closed")
    sys.excepthook(RuntimeError, closed, None)
    assert capsys.readouterr().err == ""
    for other in (RuntimeError("Event loop"), ValueError("Event loop is closed")):
        sys.excepthook(type(other), other, None)
        assert str(other) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ('OUT_OF_RANGE: Error opening "zarr" driver: Error reading "step/.zarray"', False),
        ("NOT_FOUND: Error reading in OCDBT database at local file", False),
        ("a task of one's own", True),
    ],
)
def test_a_read_that_orbax_abandons_to_asyncio_is_not_printed(message, printed, caplog):
    stored.hush()
    words = "Task exception was never retrieved\nfuture: <Task exception=ValueError(%r)>"
    logging.getLogger("asyncio").error(words, message)
    assert bool(caplog.records) == printed


def test_a_flipped_bit_is_found_wherever_it_matters(tmp_path):
    """State and extra are what was saved, or those of the checkpoint before."""
    with Checkpoints(tmp_path / "whole", keep=3) as checkpoints:
        for step in (1, 2):
            checkpoints.save(small(step), {"step": step, "window": [0.1, 7]})
    rng = np.random.default_rng(0)
    for name in all_names(tmp_path / "whole", 2):
        if not (tmp_path / "whole" / "2" / name).is_file():
            continue
        folder = tmp_path / "flipped"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", folder)
        data = bytearray((folder / "2" / name).read_bytes())
        if not data:
            continue
        data[rng.integers(len(data))] ^= 1 << rng.integers(7)
        (folder / "2" / name).write_bytes(data)
        restored = None
        with Checkpoints(folder) as checkpoints:
            restored = checkpoints.restore(abstract(small(0)))
        step = int(restored.state.step)
        assert_bit_equal(restored.state, small(step))
        assert restored.extra == {"step": step, "window": [0.1, 7]}


@pytest.mark.parametrize("damage", [truncate, empty, flip, garble])
def test_a_broken_newest_checkpoint_falls_back_to_the_one_before(tmp_path, damage, caplog):
    save(tmp_path, 1, 2, 3)
    damage(tmp_path, 3)
    restored = restore(tmp_path)
    assert_bit_equal(restored.state, state(2))
    assert "checkpoint 3 is broken" in caplog.text
    assert "going on from step 2" in caplog.text
    assert (tmp_path / "3.aside-1").is_dir()
    # A second one of the same step is kept too.
    save(tmp_path, 3)
    damage(tmp_path, 3)
    assert_bit_equal(restore(tmp_path).state, state(2))
    assert (tmp_path / "3.aside-2").is_dir()


def test_a_checkpoint_that_the_system_does_not_let_read_is_not_taken_for_broken(
    tmp_path, monkeypatch
):
    save(tmp_path, 1, 2)

    def refuse(self, target, step):
        raise ValueError(f"opening {step}: Too many open files [and a page of context]")

    monkeypatch.setattr(Checkpoints, "_read", refuse)
    with pytest.raises(CheckpointError, match=r"cannot read .*/2: Too many open files$"):
        restore(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


def test_a_checkpoint_of_another_net_is_not_taken_for_broken(tmp_path, monkeypatch):
    save(tmp_path, 1, 2)
    with pytest.raises(CheckpointError, match=r"/2 is of another net: it differs in average\."):
        restore(tmp_path, net=zoo.cifar_resnet(14))
    # Of several processes the first finds the same by itself.
    target = abstract(state(0, zoo.cifar_resnet(14)))
    monkeypatch.setattr(
        Checkpoints, "_read", lambda self, target, step: self._read_alone(target, step)
    )
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(CheckpointError, match="another net"):
        checkpoints.restore(target)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


def test_a_whole_checkpoint_that_is_not_to_be_used_is_kept_too(tmp_path):
    save(tmp_path, 1, 2)

    def unusable(extra):
        return "the log is short" if extra["step"] > 1 else None

    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(abstract(state(0)), unusable)
        assert restored.extra["step"] == 1
    assert "checkpoint 2 cannot be gone on from (the log is short)" in checkpoints.aside[0]
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match=r"^always wrong$"),
    ):
        checkpoints.restore(abstract(state(0)), lambda extra: "always wrong")
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2.aside-1"}


def test_orbax_alone_does_not_notice_a_flipped_bit(tmp_path, monkeypatch):
    """Why there are checksums: if this fails, they are no longer needed."""
    save(tmp_path, 3)
    flip(tmp_path, 3)
    monkeypatch.setattr("jresnet.train.checkpoint.Checkpoints._read", unchecked)
    wrong = restore(tmp_path).state
    same = jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), wrong, state(3))
    assert not jax.tree.all(same)


def unchecked(self, target, step):
    import orbax.checkpoint as ocp

    args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
    return self.manager.restore(step, args=args).state, {}


def test_if_all_are_broken_the_run_starts_anew_and_keeps_them(tmp_path, caplog):
    save(tmp_path, 1, 2)
    flip(tmp_path, 1)
    truncate(tmp_path, 2)
    assert restore(tmp_path) is None
    assert caplog.text.count("going on from scratch") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"1.aside-1", "2.aside-1"}


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
    found = read_trajectory(tmp_path)
    assert [step for step, _ in found] == [1, 5, 11]
    for step, variables in found:
        assert_bit_equal(variables, dict(state(step).average))
    with pytest.raises(CheckpointError, match="there is no folder"):
        read_trajectory(tmp_path / "none")
