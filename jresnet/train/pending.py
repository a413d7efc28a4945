"""Metrics that the device still computes while the host goes on."""

import jax

from jresnet.runtime.mesh import fetch
from jresnet.tasks.base import Metrics
from jresnet.train.log import RunLog


class Pending:
    """Metrics of steps that are dispatched; the host takes them over when a window of the log ends.

    Until then nothing is moved: the host waits for the step before the one just dispatched, which
    keeps it from running ahead with batches that fill the memory.
    """

    def __init__(self, log: RunLog):
        self.log = log
        self.steps: list[tuple[int, Metrics]] = []

    @property
    def newest(self) -> Metrics | None:
        """Metrics of the step that was dispatched last, if they were not taken over."""
        return self.steps[-1][1] if self.steps else None

    def add(self, step: int, metrics: Metrics) -> None:
        """Take in metrics of the step that makes `step` complete.

        Raises NonFiniteLossError for a step before it.
        """
        self.log.bar.update(step - self.log.bar.n)
        jax.block_until_ready(self.newest)
        if self.steps and self.steps[-1][0] % self.log.every == 0:
            self.fetch()
        self.steps.append((step, metrics))

    def fetch(self) -> None:
        """Take all over, those that are still being computed too. Raises NonFiniteLossError."""
        steps, self.steps = self.steps, []
        for (step, _), metrics in zip(steps, fetch([m for _, m in steps]), strict=True):
            self.log.train(step, metrics)
