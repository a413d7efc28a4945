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

from jresnet.data.augment.flip_and_crop import RandomCrop
from jresnet.data.augment.places import Rotate, Scale
from jresnet.data.augment.windows import RandomErasing
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.array_set import ArraySet
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.margins import cosface, cosines
from jresnet.tasks.recognise import CLASSES, SHARDING, Recognise
from jresnet.tasks.verification import Pairs
from jresnet.train.loop import Plan, fit
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.test_second_floor import Dying

PEOPLE = 16


class Net(nn.Module):
    """Two linear layers."""

    @nn.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        del train
        x = nn.relu(nn.Dense(32)(x.reshape(len(x), -1)))
        return nn.Dense(8)(x)


class Lagging(nn.Module):
    """Statistics of BatchNorm that hardly follow: in evaluation no activation is above 0."""

    @nn.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        x = nn.Dense(32)(x.reshape(len(x), -1)) - 1000
        x = nn.BatchNorm(use_running_average=not train, momentum=0.99999)(x)
        return nn.Dense(8)(nn.relu(x))


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


def as_many_of_both(count):
    """Pairs of one person, and as many of two."""
    pairs = all_pairs(count)
    same, other = np.flatnonzero(pairs.same), np.flatnonzero(~pairs.same)
    drawn = np.random.default_rng(0).choice(other, len(same), replace=False)
    rows = np.stack([same, drawn], 1).ravel()
    return Pairs(pairs.left[rows], pairs.right[rows], pairs.same[rows], np.arange(len(rows)) // 2 % 10)  # fmt: skip


TASK = Recognise(Net(), scaled, PEOPLE, 8, cosface(8, 0.2), pairs=all_pairs(48))
PARTIAL = dataclasses.replace(TASK, sampled=0.25, groups=8)


def train(folder, devices=1, model=1, steps=4, task=PARTIAL, kind=ImageData):
    data = kind(ArraySet({"train": faces(64, 1), "test": faces(48, 2)}), 16, 16)
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
    near, target, known = whole.compared(kernel, vectors, label, jax.random.key(2))
    np.testing.assert_allclose(near, cosines(vectors, kernel), atol=1e-6)
    np.testing.assert_array_equal(target, jax.nn.one_hot(label, PEOPLE))
    assert known is None
    half = dataclasses.replace(TASK, sampled=0.5)
    near, target, known = half.compared(kernel, vectors, label, jax.random.key(2))
    assert near.shape == target.shape == (5, 8)
    true = jnp.sum(near * target, 1)
    np.testing.assert_allclose(true, cosines(vectors, kernel)[jnp.arange(5), label], atol=1e-6)


@pytest.mark.parametrize("sampled", [1.0, 0.999])
def test_classes_that_do_not_divide_among_groups_are_filled_up_with_rows_that_count_for_nothing(
    sampled,
):
    """13 people in 8 groups: the loss and its gradients are those of 13 rows."""
    whole = dataclasses.replace(TASK, classes=13)
    filled = dataclasses.replace(whole, groups=8, sampled=sampled)
    assert (whole.rows, filled.rows) == (13, 16)
    batch = {
        "image": jax.random.randint(jax.random.key(0), (6, 4, 4, 1), 0, 256).astype(jnp.uint8),
        "label": jnp.asarray([0, 12, 5, 5, 7, 12]),
    }
    variables = filled.init(jax.random.key(1), batch)
    params = variables["params"]
    # Along the embeddings: were they counted, nobody would be nearest to the own class.
    kernel = params[CLASSES]["kernel"].at[13:].set(filled.embedded(variables, batch["image"])[:3])

    def gradients(task, kernel):
        held = {**variables, "params": {**params, CLASSES: {"kernel": kernel}}}

        def loss(params):
            value, (_, metrics) = task.loss({**held, "params": params}, batch, jax.random.key(2))
            return value, metrics

        return jax.value_and_grad(loss, has_aux=True)(held["params"])

    (expected, metrics), theirs = gradients(whole, kernel[:13])
    (value, ours), mine = gradients(filled, kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert metrics["error"] == ours["error"]
    rows = mine[CLASSES].pop("kernel")
    np.testing.assert_allclose(rows[:13], theirs[CLASSES].pop("kernel"), atol=1e-5)
    assert not np.any(rows[13:])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), mine, theirs)


@pytest.mark.parametrize(
    "fields", [{"sampled": 0.0}, {"sampled": 1.1}, {"groups": PEOPLE + 1}, {"groups": 0}]
)
def test_what_cannot_be_drawn_is_refused(fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}=.*expected"):
        dataclasses.replace(TASK, **fields)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    return {
        mesh: (folder / f"{mesh[0]}x{mesh[1]}", train(folder / f"{mesh[0]}x{mesh[1]}", *mesh))
        for mesh in ((8, 8), (8, 2), (4, 2), (1, 1))
    }


def test_eight_devices_hold_an_eighth_each_and_compute_the_same(runs):
    eight, one = runs[8, 8][1], runs[1, 1][1]
    shards = eight.state.params[CLASSES]["kernel"].addressable_shards
    assert {shard.data.shape for shard in shards} == {(PEOPLE // 8, 8)}
    for a, b in zip(jax.tree.leaves(eight.state.params), jax.tree.leaves(one.state.params), strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("mesh", [(8, 2), (4, 2)])
def test_partial_fc_on_a_mesh_of_both_axes_computes_the_same(runs, mesh):
    both, one = runs[mesh][1], runs[1, 1][1]
    kernel = both.state.params[CLASSES]["kernel"]
    assert dict(kernel.sharding.mesh.shape) == {"data": mesh[0] // mesh[1], "model": mesh[1]}
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(PEOPLE // mesh[1], 8)}
    for a, b in zip(jax.tree.leaves(both.state.params), jax.tree.leaves(one.state.params), strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("restored", [(1, 1), (2, 2)])
def test_saved_on_eight_it_is_restored_on_fewer_to_the_bit(runs, restored, tmp_path):
    folder, fitted = runs[8, 8]
    shutil.copytree(folder, tmp_path / "run")
    assert_bit_equal(train(tmp_path / "run", *restored).state, fitted.state)


@pytest.mark.slow
def test_killed_and_resumed_to_the_same_bits_with_all_that_is_random(tmp_path):
    task = dataclasses.replace(
        PARTIAL,
        places=(Scale(0.9, 1.1), Rotate(10.0)),
        pixel_augment=(RandomCrop(1, "reflect"),),
        augment=(RandomErasing(0.5),),
        gallery=1,
    )
    whole = train(tmp_path / "whole", steps=6, task=task)
    with pytest.raises(Killed):
        train(tmp_path / "killed", steps=6, task=task, kind=Dying)
    resumed = train(tmp_path / "killed", steps=6, task=task)
    assert_bit_equal(resumed.state, whole.state)
    assert resumed.metrics == whole.metrics
    one, other = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "killed"))
    assert one == other
    assert {"batch_spread", "rank/1"} <= set(one.decode().replace('"', " ").split())
    still = dataclasses.replace(task, places=(), pixel_augment=(), augment=())
    assert not np.allclose(*(
        t._trained_on({"image": jnp.asarray(faces(4, 1)["image"])}, jax.random.key(0))
        for t in (task, still)
    ))  # fmt: skip


def test_ranks_and_further_sets_are_scored_by_their_own_rows():
    collector = dataclasses.replace(TASK, pairs=None, gallery=1, further={"lfw": all_pairs(48).listed()}).collector()  # fmt: skip
    vectors = np.eye(PEOPLE)[np.arange(48) % PEOPLE]
    vectors[20] = vectors[5]  # a picture of person 4 that looks like person 5
    order = np.random.default_rng(0).permutation(48)
    index = np.arange(48)[order]
    collector.add({"embedding": vectors[order], "index": index, "label": index % PEOPLE})
    result = collector.result()
    assert result["rank/1"] == pytest.approx(31 / 32)
    assert result["rank/10"] == 1.0 or result["rank/10"] == pytest.approx(31 / 32)
    assert "accuracy" not in result
    wrong = result["lfw/false_accepts/0.01"]
    assert wrong <= 0.01 * result["lfw/pairs/different"]
    assert result["lfw/accuracy"] > 0.97
    assert 0 <= result["lfw/far"] < 0.01
    empty = dataclasses.replace(TASK, pairs=all_pairs(48).kept(np.arange(5))).collector()
    empty.add({"embedding": vectors, "index": np.arange(48), "label": np.arange(48) % PEOPLE})
    assert set(empty.result()) == {"embedding_spread", "pairs/lost"}  # pairs of two people alone


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


def test_a_net_that_is_stuck_is_told_once_while_it_trains(tmp_path, caplog):
    """BatchNorm's momentum of 0.99999: the loss falls, and in evaluation all embeddings are one."""
    pairs = as_many_of_both(48)
    healthy = dataclasses.replace(TASK, pairs=pairs)
    train(tmp_path / "healthy", steps=40, task=healthy)
    assert "while the loss fell" not in caplog.text
    fitted = train(tmp_path / "stuck", steps=40, task=dataclasses.replace(healthy, model=Lagging()))
    assert fitted.metrics["test"]["accuracy"] == pytest.approx(0.5, abs=0.05)
    told = [r.getMessage() for r in caplog.records if "while the loss fell" in r.getMessage()]
    assert len(told) == 1
    assert "embeddings are constant by BatchNorm's running statistics alone" in told[0]
    step = int(told[0].split(",")[0].removeprefix("step "))
    assert step < 40
