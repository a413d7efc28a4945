"""The study of deep agents: twins, a deep encoder's scale, and sentences that runs bear out."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.experiment import Result
from jresnet.models import zoo
from jresnet.models.heads.policy import ActorCritic
from jresnet.studies.deep_agents.report import statement, verdict
from jresnet.studies.deep_agents.trainings import encoder
from jresnet.studies.games.curves import POINTS, curve
from jresnet.studies.games.report import Facts
from jresnet.studies.games.watching import random_return

SEEN = jax.random.uniform(jax.random.key(1), (4, 6, 6, 3))


def results(*returns):
    metrics = [{"test": {"sampled_return": value, "greedy_return": value}} for value in returns]
    return [Result(each, 1.0, 10, Path()) for each in metrics]


def test_what_is_said_is_what_runs_tell_from_chance():
    assert verdict(np.array([1.0, 1.1, 0.9]), np.array([5.0, 5.2, 4.8])) == "better"
    assert verdict(np.array([5.0, 5.2, 4.8]), np.array([1.0, 1.1, 0.9])) == "worse"
    assert verdict(np.array([1.0, 9.0, 5.0]), np.array([2.0, 8.0, 6.0])) == (
        "no difference beyond chance"
    )
    # Two and a half standard errors: beyond chance with thirty runs, not with three.
    few, many = np.array([-1.0, 0.0, 1.0]), np.tile([-1.0, 0.0, 1.0], 10)
    for runs, said in ((few, "no difference beyond chance"), (many, "better")):
        error = np.sqrt(2 * runs.var(ddof=1) / len(runs))
        assert verdict(runs, runs + 2.5 * error) == said
    # Many equal runs beside three that scatter make these no surer.
    assert verdict(few, np.tile([-0.01, 0.0, 0.01], 10) + 2) == "no difference beyond chance"
    assert verdict(np.zeros(2), np.ones(2)) == "better"
    assert verdict(np.array([1.0]), np.array([5.0])) == "one run, no spread known"
    nets = {
        "plain-1": results(4.0, 4.2, 4.1),
        "plain-16": results(0.4, 0.5, 0.4),
        "residual-1": results(4.0, 4.3, 4.1),
        "residual-16": results(4.1, 4.4, 3.9),
    }
    assert statement(Facts("breakout", 1000), nets) == (
        "Return in breakout after 1,000 frames: plain 4.10 with 1 block and 0.43 with 16 (worse); "
        "residual 4.13 with 1 block and 4.13 with 16 (no difference beyond chance). With 16 blocks "
        "the residual encoder is better than its plain twin."
    )
    alone = {net: runs[:1] for net, runs in nets.items() if net.endswith("-1")}
    assert statement(Facts("breakout", 1000), alone).endswith(
        "plain 4.00 with 1 block; residual 4.00 with 1 block. With 1 block the residual encoder is "
        "not above its plain twin (one run, no spread known)."
    )


@pytest.mark.parametrize("blocks", [2, 12])
def test_twins_have_the_same_layers_and_a_scale_that_depth_does_not_change(blocks):
    net = ActorCritic(encoder(blocks, 4), 3, 8)
    twin = zoo.plain(net)
    variables = net.init(jax.random.key(0), SEEN, train=False)
    other = jax.eval_shape(lambda: twin.init(jax.random.key(0), SEEN, train=False))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, other)
    deviations = [
        float(each.apply(variables, SEEN, train=False, method="features")["stage1"].std())
        for each in (net, twin)
    ]
    assert 0.1 < deviations[1] < 10
    assert 0.1 < deviations[0] < 10 * np.sqrt(blocks)


def test_an_agent_that_takes_any_action_catches_by_chance():
    # Two moves reach one of three columns or none, by symmetry about one ball in three.
    chance = random_return("tests.tasks.small_worlds:CatchWorld")
    assert chance.title == "random actions"
    assert -0.8 < chance.mean < 0.0


def test_a_curve_is_of_training_alone_and_has_gaps_where_no_episode_ended(tmp_path):
    lines = [
        '{"step": %d, "split": "train", "loss": 1.0%s}' % (step, more)  # noqa: UP031
        for step, more in ((10, ', "sampled_return": 2.0'), (12, ', "sampled_return": 4.0'), (100, ""))
    ]  # fmt: skip
    lines.append('{"step": 100, "split": "test", "sampled_return": 50.0}')
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    values = curve(Result({}, 1.0, 1, tmp_path))
    assert len(values) == POINTS
    assert values[2] == 3.0  # of steps 8 to 12
    assert np.isnan(np.delete(values, 2)).all()
