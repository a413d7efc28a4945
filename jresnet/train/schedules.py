"""Learning rates over steps, as the papers state them, out of optax."""

from collections.abc import Sequence
from typing import Any

import jax
import optax


def step_decay(
    peak: float,
    boundaries: Sequence[int],
    factor: float = 0.1,
    warmup_steps: int = 0,
    warmup_rate: float = 0.0,
) -> optax.Schedule:
    """`peak`, multiplied by `factor` at each boundary.

    The first `warmup_steps` run at the constant `warmup_rate`, as in He et al. 2015, section 4.2.
    """
    main = optax.piecewise_constant_schedule(peak, dict.fromkeys(boundaries, factor))
    return _joined(optax.constant_schedule(warmup_rate), main, warmup_steps)


def ramped(main: optax.Schedule, peak: float, start: float, steps: int) -> optax.Schedule:
    """A linear ramp from `start` to `peak` over `steps`, then `main` at its own step numbers.

    Gradual warm-up of Goyal et al. 2017, section 2.2.
    """
    return _joined(optax.linear_schedule(start, peak, steps), main, steps)


def cosine(
    peak: float, steps: int, warmup_steps: int = 0, warmup_rate: float = 0.0, floor: float = 0.0
) -> optax.Schedule:
    """Constant `warmup_rate`, then half a cosine from `peak` to `floor` at `steps`."""
    main = optax.cosine_decay_schedule(peak, steps - warmup_steps, floor / peak)
    return _joined(optax.constant_schedule(warmup_rate), _late(main, warmup_steps), warmup_steps)


def ramped_cosine(peak: float, steps: int) -> optax.Schedule:
    """A linear ramp from 0 over a tenth of the steps, then half a cosine to 0 at `steps`.

    A single step has the whole rate.
    """
    if steps == 1:
        return optax.constant_schedule(peak)
    return optax.warmup_cosine_decay_schedule(0.0, peak, max(1, steps // 10), steps)


def polynomial(
    peak: float, steps: int, power: float = 2.0, warmup_steps: int = 0
) -> optax.Schedule:
    """`peak (1 - t)^power`, t from 0 after `warmup_steps` to 1 at `steps`; the warm-up is `ramped`'s.

    Power 2 for LARS (You et al. 2017, arXiv:1708.03888, section 5).
    """
    return _late(optax.polynomial_schedule(peak, 0.0, power, steps - warmup_steps), warmup_steps)


def _late(schedule: optax.Schedule, start: int) -> optax.Schedule:
    """`schedule` with its step 0 at `start`."""
    return lambda step: schedule(step - start)


def _joined(before: optax.Schedule, after: optax.Schedule, boundary: int) -> optax.Schedule:
    """`before` until step `boundary`, `after` from it on; both count steps from the start.

    (`optax.join_schedules` starts the second one's count anew.)
    """
    if boundary == 0:
        return after

    def schedule(step: Any) -> Any:
        return jax.numpy.where(step < boundary, before(step), after(step))

    return schedule
