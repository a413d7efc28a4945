"""Optimizers and schedules, as the papers state them, out of optax."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

Rules = Sequence[tuple[str, bool]]

# He et al. 2015 decay everything (so does fb.resnet.torch); Goyal et al. (arXiv:1706.02677,
# section 5.1) leave out the norms' scale and bias, most later recipes all biases too.
DECAY_ALL: Rules = ((r".*", True),)
DECAY_KERNELS: Rules = ((r"kernel$", True), (r"(^|/)(scale|bias)$", False))


def by_path(tree: Any, rules: Sequence[tuple[str, Any]]) -> Any:
    """For each leaf the value of the first rule whose regex is found in its `a/b/c` path.

    Raises ValueError naming the leaves that no rule covers.
    """
    paths = jax.tree_util.tree_leaves_with_path(tree)
    names = ["/".join(str(entry.key) for entry in path) for path, _ in paths]
    found = [next((rule for rule in rules if re.search(rule[0], name)), None) for name in names]
    missing = [name for name, rule in zip(names, found, strict=True) if rule is None]
    if missing:
        patterns = ", ".join(repr(pattern) for pattern, _ in rules)
        raise ValueError(f"no rule of {patterns} covers {', '.join(missing)}")
    values = [rule[1] for rule in found if rule is not None]
    return jax.tree.unflatten(jax.tree.structure(tree), values)


def sgd(
    schedule: optax.Schedule,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    nesterov: bool = False,
    decay: Rules = DECAY_ALL,
) -> optax.GradientTransformation:
    """SGD in torch's order: decay joins the gradient, then momentum, then the rate.

    `decay` are regexes over parameter paths; a parameter that none covers is an error.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=lambda params: by_path(params, decay)),
        optax.sgd(schedule, momentum=momentum, nesterov=nesterov),
    )


def by_layer(
    optimizer: optax.GradientTransformation, factors: Sequence[tuple[str, float]]
) -> optax.GradientTransformation:
    """`optimizer` with each parameter's rate times the factor of the first regex that finds it.

    Discriminative learning rates (Howard & Ruder 2018, arXiv:1801.06146, section 3.2). A factor
    of 0 freezes: neither decay nor momentum touches the parameter. A parameter that no rule
    covers is an error.
    """

    def scale(updates: Any, params: Any = None) -> Any:
        del params
        return jax.tree.map(
            lambda update, factor: update * factor, updates, by_path(updates, factors)
        )

    def groups(params: Any) -> Any:
        return jax.tree.map(
            lambda factor: "trained" if factor else "frozen", by_path(params, factors)
        )

    trained = optax.chain(optimizer, optax.stateless(scale))
    return optax.partition({"trained": trained, "frozen": optax.set_to_zero()}, groups)


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
    peak: float, steps: int, warmup_steps: int = 0, warmup_rate: float = 0.0
) -> optax.Schedule:
    """Constant `warmup_rate`, then half a cosine from `peak` to 0 at `steps`."""
    main = optax.cosine_decay_schedule(peak, steps - warmup_steps)
    shifted: Callable[[Any], Any] = lambda step: main(step - warmup_steps)  # noqa: E731
    return _joined(optax.constant_schedule(warmup_rate), shifted, warmup_steps)


def _joined(before: optax.Schedule, after: optax.Schedule, boundary: int) -> optax.Schedule:
    """`before` until step `boundary`, `after` from it on; both count steps from the start.

    (`optax.join_schedules` starts the second one's count anew.)
    """
    if boundary == 0:
        return after

    def schedule(step: Any) -> Any:
        return jax.numpy.where(step < boundary, before(step), after(step))

    return schedule
