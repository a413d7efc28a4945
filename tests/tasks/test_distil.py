"""Teachers and anchors: losses by hand, and zero where there is nothing to learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.tasks.base import CONSTANTS
from jresnet.tasks.classify import Classify
from jresnet.tasks.distil import START, TEACHER, Anchored, Distil, divergence, hint_losses
from tests.nets import random_variables

NET = zoo.cifar_resnet(8, 4)
NORMALIZE = Normalize((0.5,), (0.25,))
VARIABLES = random_variables(NET, (8, 8, 3))
RNG = np.random.default_rng(0)
BATCH = {
    "image": jnp.asarray(RNG.integers(0, 256, (4, 8, 8, 3), np.uint8)),
    "label": jnp.asarray([0, 1, 2, 3]),
}
KEY = jax.random.key(0)


def test_divergence_is_scipy_s():
    ours, taught = RNG.normal(size=(2, 5, 7)).astype(np.float32)
    expected = 9 * rel_entr(softmax(taught / 3, -1), softmax(ours / 3, -1)).sum(-1)
    np.testing.assert_allclose(divergence(jnp.asarray(ours), jnp.asarray(taught), 3.0), expected, rtol=1e-3)  # fmt: skip


def test_hints_are_relative_and_zero_for_the_teacher_itself():
    maps = {"stem": jnp.ones((2, 4, 4, 3)) * 2, "stage1": jnp.ones((2, 2, 2, 5))}
    assert np.array_equal(hint_losses(maps, maps), [0, 0])
    double = {name: 2 * x for name, x in maps.items()}
    np.testing.assert_allclose(hint_losses(double, maps), [1, 1])
    with pytest.raises(UsageError, match=r"teacher=stem .*: expected None, that of the net"):
        hint_losses({"stage1": maps["stage1"]}, maps)


def test_one_step_of_both_kinds_and_what_is_told():
    task = Distil(NET, NORMALIZE, teacher=NET, share=0.25, temperature=2.0, hints=0.5)
    taught = random_variables(NET, (8, 8, 3), seed=1)
    variables = {**VARIABLES, CONSTANTS: {TEACHER: taught}}
    loss, (state, metrics) = jax.jit(task.loss)(variables, BATCH, KEY)
    plain, (expected, _) = jax.jit(Classify(NET, NORMALIZE).loss)(VARIABLES, BATCH, KEY)
    parts = {name: float(total / count) for name, (total, count) in metrics.items() if float(count) > 1}  # fmt: skip
    by_hand = 0.75 * plain + 0.25 * parts["divergence"] + 0.5 * parts["hint_loss"]
    assert float(loss) == pytest.approx(float(by_hand), rel=1e-5)
    assert parts["loss"] == pytest.approx(float(loss), rel=1e-5)
    # No constants, no features: what a checkpoint holds is the net's alone.
    assert jax.tree.structure(state) == jax.tree.structure(expected)


def test_teachers_of_other_classes_and_odd_settings_are_refused():
    with pytest.raises(UsageError, match="teacher=3 classes: expected 2, those of the net"):
        divergence(jnp.ones((1, 2)), jnp.ones((1, 3)), 1.0)
    with pytest.raises(UsageError, match="share=2: expected 0 to 1"):
        Distil(NET, NORMALIZE, teacher=NET, share=2)
    with pytest.raises(UsageError, match="temperature=0: expected above 0"):
        Distil(NET, NORMALIZE, teacher=NET, temperature=0)


def test_an_anchor_pulls_back():
    task = Anchored(NET, NORMALIZE, strength=2.0, decay=4.0)
    params = VARIABLES["params"]
    start = jax.tree.map(lambda x: x - 0.5, params["backbone"])
    loss, _ = task.loss({**VARIABLES, CONSTANTS: {START: start}}, BATCH, KEY)
    plain, _ = Classify(NET, NORMALIZE).loss(VARIABLES, BATCH, KEY)
    count = sum(x.size for x in jax.tree.leaves(start))
    norm = sum(float((x**2).sum()) for x in jax.tree.leaves(params["head"]))
    assert float(loss - plain) == pytest.approx(count * 0.25 + 2 * norm, rel=1e-3)
