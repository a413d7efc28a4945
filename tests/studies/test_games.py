"""The study of agents: intervals over runs, and what cannot be trained."""

import importlib
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.games import games
from jresnet.data.worlds.rooms import Rooms
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.recipes.games import RECIPES, plan_of
from jresnet.report.html import Table
from jresnet.run.command_line import parse
from jresnet.studies.games import people, watching
from jresnet.studies.games.curves import band
from jresnet.studies.games.report import AFTER, HEADERS, Facts, interval, with_people
from jresnet.studies.games.trainings import build, check_view, head_of, nets_of, recipe_of
from jresnet.studies.games.watching import random_return
from jresnet.tasks import returns
from jresnet.tasks.play import interquartile_mean
from jresnet.train.optim import rate_of
from tests.tasks.small_worlds import CatchWorld
from tests.test_experiments import defaults


def test_an_interval_spans_the_runs_that_may_be_drawn():
    values = np.array([1.0, 2.0, 9.0])
    low, high = interval(values)
    # One run in 27 drawings is the same three times, more than the 2.5 % on either side.
    assert (low, high) == (1.0, 9.0)
    assert low < interquartile_mean(values) < high
    assert interval(np.array([4.0])) == (4.0, 4.0)
    many = np.random.default_rng(1).normal(size=400)
    low, high = interval(many)
    assert low < interquartile_mean(many) < high
    # The error of a mean of the middle half, within its known bounds for a normal distribution.
    assert 0.12 < high - low < 0.30


def test_a_band_is_of_means_and_narrower_than_the_runs():
    values = np.random.default_rng(0).normal(size=(400, 2)) + np.array([0, 5])
    low, high = band(values)
    # About two standard errors of the mean on either side.
    np.testing.assert_allclose(high - low, 4 * values.std(0) / 20, rtol=0.1)
    assert ((low < values.mean(0)) & (values.mean(0) < high)).all()
    gaps = np.array([[1.0, np.nan], [3.0, 2.0]])
    low, high = band(gaps)
    assert (low[0], high[0]) == (1.0, 3.0)
    assert np.isnan([low[1], high[1]]).all()
    assert "below four the interquartile mean is the mean" in AFTER
    for runs in ([1.0, 2.0, 9.0], [1.0, 2.0, 6.0, 9.0]):
        assert (interquartile_mean(runs) == np.mean(runs)) == (len(runs) < 4)


def test_scores_are_told_by_those_of_a_person():
    assert people.normalised("pong", -20.7) == 0
    assert people.normalised("pong", 14.6) == 1
    assert people.normalised("breakout", 401.2) == pytest.approx(13.87, abs=0.01)  # DQN, times 14
    assert all(random < human for random, human in people.SCORES.values())
    assert len(people.SCORES) == 57
    table = Table(HEADERS, [("nature", *"1234567"), ("random", *"abcdefg")], "caption")
    runs = [Result({"test": {"greedy_return": each}}, 1.0, 1, Path()) for each in (1.7, 59.3)]
    shown = with_people(table, "breakout", {"nature": runs})
    assert shown.rows == [("nature", *"123", "100.0", *"4567"), ("random", *"abc", "0.0", *"defg")]
    assert shown.headers[3:5] == ("greedy return", "human (%)")
    assert "sticky" not in shown.caption
    assert (
        "Both are of games without sticky actions. Here a frame repeats the action before with a chance of 0.25"
        in (with_people(table, "breakout", {"nature": runs}, 0.25).caption)
    )


def test_random_actions_play_as_long_as_the_runs_and_as_sticky(monkeypatch):
    played = []

    def episodes(world, choose, seeds, longest):
        played.append((world, longest))
        return jnp.zeros(len(seeds)), jnp.zeros(len(seeds))

    monkeypatch.setattr(watching, "episodes", episodes)
    random_return("rooms", 7)
    assert played == [(Rooms(), 7)]

    def facts(**changes):
        conclude: Any = games(**{**defaults(games), **changes}).conclude
        return conclude.args[0]

    assert facts(game="rooms", net="pooled", longest=40) == Facts("rooms", 196_608, None, 40)
    pytest.importorskip("ale_py", reason="the extra `atari` is not installed")
    pong = facts(game="atari:Pong", net="nature", sticky=0.25)
    assert pong == Facts("atari:Pong", 196_608, 0.25, 2500)
    monkeypatch.setattr(watching, "rom_in_table", lambda world: None)
    random_return("atari:Pong", 30, 0.25)
    assert played[1][0].sticky == 0.25
    assert played[1][1] == 30


def test_random_actions_in_emulated_worlds_are_known_too():
    pytest.importorskip("ale_py", reason="the extra `atari` is not installed")
    roms = importlib.import_module("ale_py.roms").get_all_rom_ids()
    assert set(people.SCORES) <= set(roms)
    chance = random_return("atari:Pong")
    assert chance.mean == -20.7
    assert chance.title == "random, published"
    assert people.SOURCE in chance.note
    chance = random_return("gymnasium:tests.data.gymnasium_games:Dice-v0")
    assert "4 episodes of at most 100 turns" in chance.note
    assert 1 < chance.mean < 7  # half of at most eight guesses


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frames": 100}, "frames=100: expected 2048 or more, one round of 32 turns in 64 worlds"),
        ({"turns": 31, "worlds": 63}, "minibatches=16: expected a divisor of 1953"),
    ],
)
def test_rounds_that_cannot_be_played_are_refused(changes, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        RECIPES["minutes"].changed(**changes).rounds  # noqa: B018


def test_recipe_atari_of_ppo_is_that_of_the_paper_s_code():
    """openai/baselines, ppo2: a round of 8 x 128 turns, 4 epochs of 4 minibatches, rate to 0."""
    recipe = recipe_of("ppo", "atari", {})
    built = recipe.experiment(build("nature", 3), CatchWorld())
    task: Any = built.task
    assert (task.turns, task.epochs, task.minibatches, built.data.batch_size) == (128, 4, 4, 8)
    assert (task.clip, task.entropy, task.value_weight) == (0.1, 0.01, 0.5)
    assert (task.signs, task.longest) == (True, 27_000)
    assert built.plan.steps == 10_000_000 // 1024 * 16
    rate = rate_of(built.optimizer)
    assert rate is not None
    assert [float(rate(step)) for step in (0, built.plan.steps)] == [float(np.float32(2.5e-4)), 0]


def test_pictures_need_a_net_that_makes_them_smaller():
    for net in ("small", "pooled"):
        with pytest.raises(UsageError, match=f"net={net}: expected nature or impala, .* 84 x 84"):
            check_view(net, (84, 84, 4))
        check_view(net, (16, 16, 3))
    check_view("impala", (84, 84, 4))
    check_view("nature", (84, 84, 4))
    pytest.importorskip("ale_py", reason="the extra `atari` is not installed")
    with pytest.raises(UsageError, match="net=small: expected nature or impala"):
        games(**{**defaults(games), "game": "atari:Pong"})


def test_recipe_minatar_is_that_of_pgx():
    """Its examples/minatar-ppo/train.py: 38 rounds of 4,096 worlds, minibatches of 4,096 frames."""
    recipe = RECIPES["minatar"]
    assert recipe.worlds * recipe.turns // recipe.minibatches == 4096
    built = recipe.experiment(build("small", 3), CatchWorld())
    assert built.plan.steps == 38 * 3 * 128
    rate = rate_of(built.optimizer)
    assert rate is not None
    assert {float(rate(step)) for step in (0, built.plan.steps - 1)} == {float(np.float32(3e-4))}


@pytest.mark.parametrize(
    ("agent", "changes", "says"),
    [
        ("ppo", {"replay": 99}, "replay=99: expected none, agent ppo has no such choice"),
        ("pqn", {"entropy": 0.1}, "entropy=0.1: expected none, agent pqn has no such choice"),
        # The larger of two bounds, in whole rounds of 2 turns in 16 worlds.
        (
            "dqn",
            {"replay": 64, "frames": 999},
            "replay=64: expected 4096 or more, for a batch of 128",
        ),
        ("dqn", {"replay": 64, "first": 33}, "replay=64: expected 128 or more, for a batch of 128"),
        ("dqn", {"n_steps": 5}, "n_steps=5: expected none, parts have no steps"),
        ("rainbow", {"support": (5.0,)}, "support=5: expected two values, the lower one first"),
        ("ppo", {"atoms": 5}, "atoms=5: expected none, agent ppo has no such choice"),
        (
            "rainbow",
            {"support": (5.0, -5.0)},
            "support=5 -5: expected two values, the lower one first",
        ),
        ("rainbow", {"frames": 31}, "frames=31: expected 32 or more, one round of 2 turns in 16"),
    ],
)
def test_what_an_agent_does_not_have_is_refused(agent, changes, says):
    def built():
        recipe = recipe_of(agent, "minutes", changes)
        return recipe.experiment(build("small", 3, head=head_of(recipe)), CatchWorld())

    with pytest.raises(UsageError, match=re.escape(says)):
        built()


def test_rainbow_has_all_parts_and_dqn_those_that_are_asked_for():
    def built(agent, **changes):
        recipe = recipe_of(agent, "minutes", changes)
        net = build("small", 3, head=head_of(recipe))
        return recipe.experiment(net, CatchWorld()).task

    rainbow, plain = built("rainbow"), built("dqn")
    assert (rainbow.model.dueling, rainbow.model.atoms, rainbow.model.noisy) == (True, 51, True)
    assert (rainbow.steps, rainbow.double, rainbow.priority) == (3, True, 0.5)
    assert (plain.model.dueling, plain.model.atoms, plain.model.noisy) == (False, None, False)
    assert (plain.steps, plain.double, plain.priority) == (1, False, 0.0)
    assert built("dqn", parts=("noisy",)).epsilon == 0.0
    other = built("rainbow", n_steps=5, support=(-1.0, 1.0), atoms=11, first=64)
    assert (other.steps, other.support, other.model.atoms, other.first) == (5, (-1.0, 1.0), 11, 64)
    assert other.atoms.tolist() == pytest.approx(np.linspace(-1, 1, 11).tolist())
    assert built("rainbow", parts=("dueling",)) == built("dqn", parts=("dueling",))


@pytest.mark.parametrize(
    ("words", "support", "atoms"),
    [
        (("--support", "-10", "30"), (-10.0, 30.0), 51),
        (("--support", "-2.5", "70", "--atoms", "30"), (-2.5, 70.0), 30),
        ((), (-10.0, 30.0), 51),
    ],
)
def test_a_support_by_command_is_what_the_agent_of_recipe_minatar_learns_by(words, support, atoms):
    command = ["--game", "rooms", "--agent", "rainbow", "--recipe", "minatar", *words]
    arguments, _ = parse(games, command)
    (training,) = games(**arguments).runs.values()
    task = training.task
    assert (task.support, task.model.atoms, task.replay) == (support, atoms, 100_000)
    # All the chance on one value, and what the task then takes the actions to be worth.
    ends = jnp.stack([jnp.zeros(atoms).at[end].set(1e4) for end in (0, -1)])
    np.testing.assert_allclose(task.expected(ends[None])[0], support, rtol=1e-6)
    # A reward of 100 is beyond, and is learnt as the bound.
    chances = jnp.full((1, atoms), 1 / atoms)
    goal = returns.projected(jnp.array([100.0]), jnp.array([0.99]), chances, task.atoms)
    np.testing.assert_allclose(goal[0] @ task.atoms, support[1], rtol=1e-6)


def test_fields_that_a_net_does_not_have_are_refused():
    with pytest.raises(UsageError, match="blocks=2: expected none, net nature has no choice"):
        build("nature", 3, blocks=2)
    with pytest.raises(UsageError, match="plain=True: expected net small, pooled or impala"):
        nets_of("nature", build("nature", 3), plain=True)
    assert list(nets_of("small", build("small", 3), plain=True)) == ["small", "plain small"]


@pytest.mark.parametrize(("rounds", "evaluations", "last"), [(96, 5, 5), (7, 3, 3), (2, 5, 2)])
def test_there_are_no_more_evaluations_than_asked_for(rounds, evaluations, last):
    plan = plan_of(rounds, 8, evaluations, 0)
    assert plan.eval_every is not None
    assert plan.eval_every % 8 == 0
    # One falls due every so many steps, and one at the end in any case.
    assert -(-plan.steps // plan.eval_every) == last
