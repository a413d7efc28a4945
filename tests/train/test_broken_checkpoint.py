"""Checkpoints that are broken, foreign or refused: which one a run goes on from."""

import logging
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.train.checkpoint import Checkpoints
from jresnet.train.state import TrainState
from jresnet.weights.run import CheckpointError, read_trajectory
from jresnet.weights.storage_errors import hush
from tests.breaking import OF_FILES, OF_FOLDERS, all_names, folder_deleted
from tests.train.test_checkpoint import OPTIMIZER, abstract, array_files, restore, save, state
from tests.train.test_loop import assert_bit_equal


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
    hush()
    hush()  # once is enough
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
    hush()
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
