"""Schedules, weight decay by rule, and SGD against torch's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.models import zoo
from jresnet.models.published import abstract_variables
from jresnet.train.optim import (
    DECAY_KERNELS,
    by_layer,
    by_path,
    clipped,
    lamb,
    lars,
    rate_of,
    sgd,
    thawed,
)
from jresnet.train.schedules import step_decay
from tests.nets import read_arrays

PARAMS = abstract_variables(zoo.resnet18(), (64, 64, 3))["params"]


def test_rules_decide_by_path():
    mask = by_path(PARAMS, DECAY_KERNELS)
    assert mask["backbone"]["stage1"]["block1"]["conv1"]["kernel"] is True
    assert mask["backbone"]["stage1"]["block1"]["norm1"]["scale"] is False
    assert mask["head"] == {"kernel": True, "bias": False}


def test_a_parameter_that_no_rule_covers_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"no rule of 'kernel\$' covers .*head/bias"):
        by_path(PARAMS, ((r"kernel$", True),))


def test_decay_touches_only_what_the_rules_say():
    optimizer = sgd(lambda _: 0.5, momentum=0.0, weight_decay=0.1, decay=DECAY_KERNELS)
    params = {"kernel": jnp.asarray(2.0), "scale": jnp.asarray(2.0)}
    grads = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert float(updates["kernel"]) == pytest.approx(-0.1)
    assert float(updates["scale"]) == 0


DROPS = step_decay(0.1, (2,))
TORCH = {
    "sgd_momentum": sgd(lambda _: 0.1, weight_decay=0.0),
    "sgd_momentum_wd": sgd(lambda _: 0.1, weight_decay=0.01),
    "sgd_nesterov_wd": sgd(lambda _: 0.1, weight_decay=0.01, nesterov=True),
    "sgd_nesterov_wd_lr_drop": sgd(DROPS, weight_decay=0.01, nesterov=True),
    "sgd_nesterov_wd_not_bias": sgd(
        lambda _: 0.1, weight_decay=0.01, nesterov=True, decay=((r"^w$", True), (r"bias$", False))
    ),
    # optax's own, as one writes torch's with them.
    "adamw": optax.adamw(0.01, weight_decay=0.05),
    "adam_l2": optax.chain(optax.add_decayed_weights(0.05), optax.adam(0.01)),
    "rmsprop": optax.rmsprop(0.01, decay=0.9, eps=0.0316, eps_in_sqrt=False, momentum=0.9),
}


@pytest.mark.parametrize("case", TORCH)
def test_optimizers_follow_torch(golden, case):
    """The recorded trajectories of torch.optim on a least-squares problem."""
    gold = read_arrays(golden / "optim.npz")
    a, b, w, bias = (jnp.asarray(gold[f"{case}/{name}"]) for name in ("A", "b", "w", "bias"))
    params = {"w": w[0], "bias": bias[0]}
    optimizer = TORCH[case]
    state = optimizer.init(params)
    for step, expected in enumerate(gold[f"{case}/loss"]):
        loss, grads = jax.value_and_grad(
            lambda p: jnp.mean(jnp.square(a @ p["w"] + p["bias"][None] - b))
        )(params)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["w"], w[step + 1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(params["bias"], bias[step + 1], rtol=1e-5, atol=1e-6)


def test_by_layer_scales_rates_and_a_factor_of_zero_freezes():
    params = {"stem": {"kernel": jnp.ones(3)}, "head": {"kernel": jnp.ones(3), "bias": jnp.ones(1)}}
    plain = sgd(lambda _: 0.1, weight_decay=0.5)
    layered = by_layer(plain, [("^stem", 0.0), ("bias$", 0.25), (".*", 1.0)])
    states = {"plain": plain.init(params), "layered": layered.init(params)}
    moved = {"plain": params, "layered": params}
    for step in range(3):  # the momentum of the second step differs if decay or rate went astray
        grads = jax.tree.map(lambda x, s=step: jnp.full_like(x, 1.0 + s), params)
        for name, optimizer in (("plain", plain), ("layered", layered)):
            # Against the same parameters, so that decay is the same.
            updates, states[name] = optimizer.update(grads, states[name], params)
            moved[name] = optax.apply_updates(moved[name], updates)
    difference = jax.tree.map(lambda x: np.asarray(x - 1), moved)
    assert (difference["layered"]["stem"]["kernel"] == 0).all()
    assert (difference["plain"]["stem"]["kernel"] != 0).all()
    plain_head, head = difference["plain"]["head"], difference["layered"]["head"]
    np.testing.assert_allclose(head["kernel"], plain_head["kernel"], rtol=1e-6)
    np.testing.assert_allclose(head["bias"], 0.25 * plain_head["bias"], rtol=1e-5)
    with pytest.raises(ValueError, match="no rule of 'stem' covers head/bias, head/kernel"):
        by_layer(plain, [("stem", 0.0)]).init(params)


WEIGHTS = {"kernel": jnp.asarray([3.0, 4.0]), "bias": jnp.asarray([1.0])}
GRADIENTS = {"kernel": jnp.asarray([0.6, 0.0]), "bias": jnp.asarray([0.5])}


def step(optimizer, times=1):
    """Parameters after steps with the same gradient."""
    params, state = WEIGHTS, optimizer.init(WEIGHTS)
    for _ in range(times):
        updates, state = optimizer.update(GRADIENTS, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_lars_by_hand():
    optimizer = lars(lambda _: 2.0, weight_decay=0.1, momentum=0.9, trust=0.01)
    # Gradient with decay (0.9, 0.4); local rate 0.01 |w| / |g| = 0.01 * 5 / sqrt(0.97).
    direction = np.array([0.9, 0.4])
    first = 2.0 * 0.05 / np.sqrt(0.97) * direction
    np.testing.assert_allclose(step(optimizer)["kernel"], [3, 4] - first, rtol=1e-5)
    np.testing.assert_allclose(step(optimizer)["bias"], 1 - 2.0 * 0.5, rtol=1e-5, atol=1e-6)
    moved = np.array([3, 4] - first)
    again = np.array([0.6, 0]) + 0.1 * moved
    second = 0.9 * first + 2.0 * 0.01 * np.linalg.norm(moved) / np.linalg.norm(again) * again
    np.testing.assert_allclose(step(optimizer, 2)["kernel"], moved - second, rtol=1e-5)


def test_lamb_by_hand():
    optimizer = lamb(lambda _: 0.5, weight_decay=0.1)
    # Adam's first step is the sign of the gradient; decay joins before the trust ratio |w| / |u|.
    direction = np.array([1.0 + 0.3, 0.0 + 0.4])
    expected = [3, 4] - 0.5 * 5 / np.linalg.norm(direction) * direction
    np.testing.assert_allclose(step(optimizer)["kernel"], expected, rtol=1e-4)
    np.testing.assert_allclose(step(optimizer)["bias"], 1 - 0.5 * 1.0, rtol=1e-4)


@pytest.mark.parametrize("make", [lars, lamb])
def test_a_parameter_without_a_rule_is_an_error(make):
    with pytest.raises(ValueError, match="no rule of 'kernel' covers bias"):
        make(lambda _: 0.1, rules=(("kernel", True),)).init(WEIGHTS)


@pytest.mark.parametrize(("norm", "scale"), [(0.25, 0.25 / np.sqrt(0.61)), (1.0, 1.0)])
def test_clipping_is_by_the_global_norm(norm, scale):
    moved = step(clipped(optax.sgd(1.0), norm))
    np.testing.assert_allclose(
        moved["kernel"], np.array([3, 4]) - scale * np.array([0.6, 0]), rtol=1e-5
    )
    np.testing.assert_allclose(moved["bias"], 1 - scale * 0.5, rtol=1e-5)


def test_wrappers_keep_what_the_learning_rate_is():
    def schedule(step):
        return 0.1 / (1 + step)

    for optimizer in (
        sgd(schedule),
        lars(schedule),
        lamb(schedule),
        clipped(sgd(schedule), 1.0),
        by_layer(sgd(schedule), ((".*", 1.0),)),
    ):
        rate = rate_of(optimizer)
        assert rate is not None
        assert rate(4) == pytest.approx(0.02)
    assert rate_of(optax.sgd(0.1)) is None


def test_parameters_begin_at_their_step_and_follow_one_schedule():
    """Until then they stay; then they move as those of a run that began there, at its rates."""
    rates = jnp.asarray([0.1, 0.2, 0.4, 0.8])
    params = {"head": jnp.ones(()), "body": jnp.ones(())}
    optimizer = thawed(
        lambda schedule: optax.sgd(schedule, momentum=0.9),
        lambda step: rates[step],
        (("^head", 0), (".*", 2)),
    )
    rate = rate_of(optimizer)
    assert rate is not None
    assert rate(3) == rates[3]
    state, path = optimizer.init(params), []
    for _ in range(4):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
        path.append({name: float(x) for name, x in updates.items()})
    assert [step["body"] for step in path[:2]] == [0, 0]
    momentum = [1, 1.9, 1 + 0.9 * 1.9, 1 + 0.9 * (1 + 0.9 * 1.9)]
    head = [-float(rate) * m for rate, m in zip(rates, momentum, strict=True)]
    assert [step["head"] for step in path] == pytest.approx(head)
    assert [step["body"] for step in path[2:]] == pytest.approx([-0.4, -0.8 * 1.9])
    with pytest.raises(ValueError, match="covers body"):
        thawed(optax.sgd, lambda step: 0.1, (("^head", 0),)).init(params)
