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

    def seen(self):
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


gymnasium.register("Dice-v0", entry_point=Dice, max_episode_steps=8)
gymnasium.register("Locked-v0", entry_point=Locked)
