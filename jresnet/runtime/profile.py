"""A trace of a few steps, made on every process."""

from pathlib import Path
from typing import Any

import jax

STEPS = 5  # dispatches that are traced
WARM = 3  # before them: allocations, and input buffers that filled during compilation


class Profile:
    """A trace of some steps of one sitting, which goes from step `start` to `steps`.

    A dispatch runs `each` steps. Without a folder nothing is traced.

    Under `folder`/process-N lie the events for TensorBoard's profile plugin, and a
    `perfetto_trace.json.gz` that https://ui.perfetto.dev opens.
    """

    def __init__(self, folder: Path | None, process: int, start: int, steps: int, each: int = 1):
        self.folder = folder and folder / f"process-{process}"
        self.each = each
        self.first = min(start + WARM * each, max(start, steps - STEPS * each))
        self.last = min(self.first + STEPS * each, steps) - each
        self.running = False

    def before(self, step: int) -> None:
        """To be called before the step's batch is taken."""
        if self.folder and step == self.first:
            jax.profiler.start_trace(self.folder, create_perfetto_trace=True)
            self.running = True

    def step(self, step: int) -> jax.profiler.StepTraceAnnotation:
        """A context in which the step is dispatched, under its number."""
        return jax.profiler.StepTraceAnnotation("train", step_num=step)

    def after(self, step: int, results: Any) -> str | None:
        """To be called with what the step computes; a line saying where the trace is, once it is whole."""
        if not self.running or step != self.last:
            return None
        jax.block_until_ready(results)  # dispatched is not computed
        self.close()
        return f"trace of steps {self.first + 1} to {self.last + self.each} in {self.folder}"

    def close(self) -> None:
        """Write what was traced, should the run end before the last step of it."""
        if self.running:
            self.running = False
            jax.profiler.stop_trace()
