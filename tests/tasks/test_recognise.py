"""Recognition: classes drawn, one device and eight, resumed on fewer, and that something is learnt."""

import dataclasses
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.margins import cosface, cosines
from jresnet.tasks.recognise import CLASSES, SHARDING, Recognise
from jresnet.tasks.verification import Pairs
from jresnet.train.loop import Plan, fit
from tests.tasks import toys
from tests.train.test_loop import assert_bit_equal

PEOPLE = 16


class Net(nn.Module):
    """Two linear layers."""

    @nn.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        del train
        x = nn.relu(nn.Dense(32)(x.reshape(len(x), -1)))
        return nn.Dense(8)(x)


def scaled(images):
    return images.astype(jnp.float32) / 128 - 1


def faces(count, seed):
    """Noisy views of `PEOPLE` symmetric patterns."""
    half = np.random.default_rng(0).integers(0, 256, (PEOPLE, 4, 2, 1))
    patterns = np.concatenate([half, half[:, :, ::-1]], 2)
    rng = np.random.default_rng(seed)
    label = np.arange(count) % PEOPLE
    noisy = patterns[label] + rng.normal(0, 20, (count, 4, 4, 1))
    return {"image": np.clip(noisy, 0, 255).astype(np.uint8), "label": label.astype(np.int32)}


def all_pairs(count):
    left, right = np.triu_indices(count, 1)
    same = left % PEOPLE == right % PEOPLE
    return Pairs(left, right, same, np.arange(len(left)) % 10)


TASK = Recognise(Net(), scaled, PEOPLE, 8, cosface(8, 0.2), pairs=all_pairs(48))
PARTIAL = dataclasses.replace(TASK, sampled=0.25, groups=8)


def train(folder, devices=1, model=1, steps=4, task=PARTIAL):
    data = toys.in_memory({"train": faces(64, 1), "test": faces(48, 2)})
    plan = Plan(steps, 1, eval_every=2, save_every=2, log_every=1)
    mesh = make_mesh(devices, model)
    return fit(task, optax.adam(3e-3), data, plan, folder, "faces", mesh, sharding=SHARDING)


@pytest.mark.parametrize("groups", [1, 4])
def test_classes_of_the_batch_are_always_taken_and_the_others_at_random(groups):
    task = dataclasses.replace(TASK, classes=32, sampled=0.5, groups=groups)
    label = jnp.asarray([3, 3, 9, 30])
    draws = [np.asarray(task.drawn(label, jax.random.key(n))) for n in range(20)]
    size, taken = 32 // groups, task.taken(4)
    assert taken == max(16 // groups, 4)
    numbers = [(rows + size * np.arange(groups)[:, None]).ravel() for rows in draws]
    for rows in numbers:
        assert rows.shape == (taken * groups,)
        assert len({*rows.tolist()}) == len(rows)
        assert {3, 9, 30} <= {*rows.tolist()}
    assert {*np.concatenate(numbers).tolist()} == set(range(32))
    again = np.asarray(task.drawn(label, jax.random.key(0)))
    np.testing.assert_array_equal(again, draws[0])  # by the key alone


def test_all_classes_drawn_are_all_classes():
    kernel = jax.random.normal(jax.random.key(0), (PEOPLE, 8))
    vectors, label = jax.random.normal(jax.random.key(1), (5, 8)), jnp.arange(5)
    whole = dataclasses.replace(TASK, sampled=0.999, groups=4)  # rounds to all
    near, target = whole.compared(kernel, vectors, label, jax.random.key(2))
    np.testing.assert_allclose(near, cosines(vectors, kernel), atol=1e-6)
    np.testing.assert_array_equal(target, jax.nn.one_hot(label, PEOPLE))
    half = dataclasses.replace(TASK, sampled=0.5)
    near, target = half.compared(kernel, vectors, label, jax.random.key(2))
    assert near.shape == target.shape == (5, 8)
    true = jnp.sum(near * target, 1)
    np.testing.assert_allclose(true, cosines(vectors, kernel)[jnp.arange(5), label], atol=1e-6)


@pytest.mark.parametrize("fields", [{"sampled": 0.0}, {"sampled": 1.1}, {"groups": 3}])
def test_what_cannot_be_drawn_is_refused(fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}=.*expected"):
        dataclasses.replace(TASK, **fields)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    return {
        mesh: (folder / f"{mesh[0]}x{mesh[1]}", train(folder / f"{mesh[0]}x{mesh[1]}", *mesh))
        for mesh in ((8, 8), (1, 1))
    }


def test_eight_devices_hold_an_eighth_each_and_compute_the_same(runs):
    eight, one = runs[8, 8][1], runs[1, 1][1]
    shards = eight.state.params[CLASSES]["kernel"].addressable_shards
    assert {shard.data.shape for shard in shards} == {(PEOPLE // 8, 8)}
    for a, b in zip(jax.tree.leaves(eight.state.params), jax.tree.leaves(one.state.params), strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("restored", [(1, 1), (2, 2)])
def test_saved_on_eight_it_is_restored_on_fewer_to_the_bit(runs, restored, tmp_path):
    folder, fitted = runs[8, 8]
    shutil.copytree(folder, tmp_path / "run")
    assert_bit_equal(train(tmp_path / "run", *restored).state, fitted.state)


def test_people_are_learnt_and_the_flip_makes_mirror_images_equal(tmp_path):
    fitted = train(tmp_path, steps=60, task=TASK)
    test = fitted.metrics["test"]
    assert test["accuracy"] > 0.9
    assert test["pairs/same"] == PEOPLE * 3
    assert test["embedding_spread"] > 0.2
    variables = {"params": fitted.state.params}
    images = jnp.asarray(faces(4, 3)["image"])
    mirrored = images[:, :, ::-1]
    one, other = (TASK.embedded(variables, x) for x in (images, mirrored))
    np.testing.assert_allclose(one, other, atol=1e-5)
    bare = dataclasses.replace(TASK, flip_test=False)
    assert not np.allclose(bare.embedded(variables, images), bare.embedded(variables, mirrored))
