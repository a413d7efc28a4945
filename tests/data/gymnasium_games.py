"""An environment of gymnasium that is small enough for tests."""

import gymnasium
import numpy as np


class Dice(gymnasium.Env):
    """A die is thrown each turn; guessing whether the next throw is high (2) or low (1) is worth 1."""

    action_space = gymnasium.spaces.Discrete(2, start=1)
    observation_space = gymnasium.spaces.Box(0, 255, (2, 3, 1), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.turn, self.thrown = 0, int(self.np_random.integers(6))
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        board = np.zeros(6, np.uint8)
        board[self.thrown] = 255
        return board.reshape(2, 3, 1)

    def step(self, action):
        self.turn, self.thrown = self.turn + 1, int(self.np_random.integers(6))
        reward = float(action == 1 + (self.thrown > 2))
        return self.seen(), reward, self.turn == 5 and self.thrown == 0, False, {}


class Locked(Dice):
    """Does not pickle."""

    def __init__(self):
        self.held = lambda: None


class Growing(Dice):
    """Keeps all that it ever was, from its `slow`th turn on."""

    slow = 100

    def reset(self, *, seed=None, options=None):
        self.kept = []
        return super().reset(seed=seed)

    def step(self, action):
        seen, reward, *_ = super().step(action)
        if self.turn >= self.slow:
            self.kept.append(np.full(4000, self.turn))
        return seen, reward, False, False, {}


class Failing(Dice):
    """Cannot be played."""

    def step(self, action):
        raise KeyError("nothing there")


class Numbers(Dice):
    """The board as numbers within bounds, without an axis of channels."""

    def __init__(self, low=0, high=255, kind=np.int32):
        self.low = low
        self.observation_space = gymnasium.spaces.Box(low, high, (2, 3), kind)

    def seen(self):
        space = self.observation_space
        board = np.full((2, 3), self.low, space.dtype)
        board[divmod(self.thrown, 3)] = space.high.max()
        return board


gymnasium.register("Growing-v0", entry_point=Growing)
gymnasium.register("Failing-v0", entry_point=Failing)
gymnasium.register("Numbers-v0", entry_point=Numbers)
wide = {"low": -1e9, "high": 1e9, "kind": np.float32}
small = {"low": -1, "high": 1, "kind": np.float64}
few = {"low": 0, "high": 5, "kind": np.uint8}
gymnasium.register("Wide-v0", entry_point=Numbers, kwargs=wide)
gymnasium.register("Small-v0", entry_point=Numbers, kwargs=small)
gymnasium.register("Few-v0", entry_point=Numbers, kwargs=few)
gymnasium.register("Dice-v0", entry_point=Dice, max_episode_steps=8)
gymnasium.register("Locked-v0", entry_point=Locked)
