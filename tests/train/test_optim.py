"""Schedules, weight decay by rule, and SGD against torch's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.models import zoo
from jresnet.models.published import abstract_variables
from jresnet.train.optim import DECAY_KERNELS, by_layer, by_path, cosine, ramped, sgd, step_decay

PARAMS = abstract_variables(zoo.resnet18(), (64, 64, 3))["params"]


def rates(schedule, *steps):
    return [round(float(schedule(step)), 9) for step in steps]


def test_step_decay_counts_from_the_start_and_not_from_the_warmup():
    schedule = step_decay(0.1, (10, 20), warmup_steps=4, warmup_rate=0.01)
    expected = [0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001]
    assert rates(schedule, 0, 3, 4, 9, 10, 19, 20) == pytest.approx(expected)


def test_ramp():
    schedule = ramped(step_decay(0.4, (10,)), 0.4, 0.1, 3)
    assert rates(schedule, 0, 1, 2, 3, 9, 10) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.04])


def test_cosine_ends_at_zero():
    schedule = cosine(0.2, 14, warmup_steps=4, warmup_rate=0.01)
    expected = [0.01, 0.2, 0.1 * (1 + np.cos(np.pi * 0.3)), 0.1, 0.0]
    assert rates(schedule, 3, 4, 7, 9, 14) == pytest.approx(expected, abs=1e-7)


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
}


@pytest.mark.parametrize("case", TORCH)
def test_sgd_follows_torch(golden, case):
    """The recorded trajectories of torch.optim.SGD on a least-squares problem."""
    gold = np.load(golden / "optim.npz")
    a, b, w, bias = (jnp.asarray(gold[f"{case}/{name}"]) for name in ("A", "b", "w", "bias"))
    params = {"w": w[0], "bias": bias[0]}
    optimizer = TORCH[case]
    state = optimizer.init(params)
    for step, expected in enumerate(gold[f"{case}/loss"]):
        loss, grads = jax.value_and_grad(
            lambda p: jnp.mean(jnp.square(a @ p["w"] + p["bias"] - b))
        )(params)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["w"], w[step + 1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(params["bias"], bias[step + 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "schedule"),
    [
        ("lr_cosine_50", cosine(0.1, 50)),
        ("lr_multistep", step_decay(0.1, (3, 6))),
        ("lr_step30", step_decay(0.1, (30, 60))),
    ],
)
def test_schedules_follow_torch(golden, case, schedule):
    expected = np.load(golden / "optim.npz")[f"{case}/lr"]
    found = [float(schedule(step)) for step in range(len(expected))]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


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
