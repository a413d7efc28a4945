"""Four rooms: every square can be reached, rays in NumPy, walls, goal and time limit."""

from collections import deque

import jax
import numpy as np
import pytest

from jresnet.data.worlds.named import world_named
from jresnet.data.worlds.rooms import AHEAD, COLOURS, FORWARD, LEFT, RIGHT, Rooms

WORLD = Rooms()
ACT = jax.jit(lambda state, action: WORLD.act(jax.random.key(0), state, action))


@pytest.fixture(scope="module")
def begun():
    """States of 64 episodes on the host, and what is seen."""
    keys = jax.random.split(jax.random.key(0), 64)
    return jax.device_get(jax.jit(jax.vmap(WORLD.begin))(keys))


def episode(begun, number):
    return jax.tree.map(lambda leaf: leaf[number], begun[0])


def distances(walls, goal):
    """Steps to the goal from every square that can reach it."""
    steps, queue = {tuple(goal): 0}, deque([tuple(goal)])
    while queue:
        row, column = queue.popleft()
        for down, right in AHEAD:
            near = row + down, column + right
            if not walls[near] and near not in steps:
                steps[near] = steps[row, column] + 1
                queue.append(near)
    return steps


def test_plans_differ_and_every_free_square_reaches_the_goal(begun):
    plans = {episode(begun, number)["walls"].tobytes() for number in range(64)}
    assert len(plans) > 20  # of 81
    for number in range(64):
        state = episode(begun, number)
        walls = state["walls"]
        assert all(edge.all() for edge in (walls[0], walls[-1], walls[:, 0], walls[:, -1]))
        assert (~walls).sum() == 4 * 9 + 4  # four rooms and four doors
        steps = distances(walls, state["goal"])
        assert len(steps) == 40
        assert steps[tuple(state["place"])] > 0  # it does not begin on the goal


def test_who_walks_the_shortest_way_gets_there_once(begun):
    state = episode(begun, 3)
    steps = distances(state["walls"], state["goal"])
    turns = 0
    while True:
        place = tuple(int(x) for x in state["place"])
        wanted = next(
            heading for heading, (down, right) in enumerate(AHEAD)
            if steps.get((place[0] + down, place[1] + right), 99) < steps[place]
        )  # fmt: skip
        turn = (wanted - int(state["heading"])) % 4
        action = FORWARD if turn == 0 else LEFT if turn == 3 else RIGHT
        state, seen = ACT(state, action)
        turns += 1
        if tuple(np.asarray(state["place"])) == tuple(state["goal"]):
            break
        assert (float(seen.reward), bool(seen.terminated)) == (0, False)
    assert (float(seen.reward), bool(seen.terminated), bool(seen.truncated)) == (1, True, False)
    assert turns < WORLD.limit


def test_a_wall_stops_and_time_ends(begun):
    state = episode(begun, 0)
    state = {**state, "place": np.array([1, 1]), "heading": np.asarray(0), "goal": np.array([7, 7])}
    after, seen = ACT(state, FORWARD)
    assert after["place"].tolist() == [1, 1]
    after, _ = ACT(state, LEFT)
    assert int(after["heading"]) == 3
    _, seen = ACT({**state, "time": np.asarray(WORLD.limit - 1)}, LEFT)
    assert (bool(seen.terminated), bool(seen.truncated)) == (False, True)


def marched(state, side):
    """Distance and colour of each column by walking along its ray in small steps."""
    forward = np.array(AHEAD[state["heading"]], float)
    sideways = np.array(AHEAD[(state["heading"] + 1) % 4], float)
    depth = 2e-3 * np.arange(1, 4000)
    results = []
    for slope in (2 * np.arange(side) + 1) / side - 1:
        points = state["place"] + depth[:, None] * (forward + slope * sideways)
        squares = np.clip(np.floor(points + 0.5).astype(int), 0, len(state["walls"]) - 1)
        goal = (squares == state["goal"]).all(-1)
        first = np.argmax(state["walls"][squares[:, 0], squares[:, 1]] | goal)
        before = squares[first - 1]
        moved = AHEAD.index(tuple(int(x) for x in squares[first] - before))
        results.append((depth[first], len(AHEAD) if goal[first] else moved))
    return np.array(results)


def test_rays_meet_what_a_walk_along_them_meets(begun):
    rays = jax.jit(WORLD._rays)
    goals = 0
    for number in range(0, 64, 4):
        state = episode(begun, number)
        distance, colour = rays(state)
        expected = marched(state, WORLD.side)
        np.testing.assert_allclose(distance, expected[:, 0], atol=3e-3)
        np.testing.assert_array_equal(colour, expected[:, 1])
        goals += (np.asarray(colour) == len(AHEAD)).any()
    assert 0 < goals < 16  # sometimes in sight, sometimes hidden


def test_the_goal_ahead_is_green_and_grows(begun):
    state = episode(begun, 0)
    walls = np.zeros_like(state["walls"])
    walls[[0, -1]] = walls[:, [0, -1]] = True
    green, view = [], jax.jit(WORLD.view)
    for row in (7, 5, 3):
        one = {**state, "walls": walls, "place": np.array([row, 4]), "heading": np.asarray(0),
               "goal": np.array([2, 4])}  # fmt: skip
        seen = np.asarray(view(one))
        assert seen.shape == WORLD.shape
        assert (seen.min() >= 0, seen.max() <= 1) == (True, True)
        hue = seen / seen.sum(-1, keepdims=True)
        goal = np.array(COLOURS[-1]) / sum(COLOURS[-1])
        green.append(int((np.abs(hue - goal) < 0.01).all(-1).sum()))
    assert 0 < green[0] < green[1] < green[2] == 16 * 16


def test_it_goes_by_name():
    assert world_named("rooms") == WORLD
