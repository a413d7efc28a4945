"""Optimizers as the papers state them, out of optax."""

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
    chosen = [next((rule for rule in rules if re.search(rule[0], name)), None) for name in names]
    missing = [name for name, rule in zip(names, chosen, strict=True) if rule is None]
    if missing:
        patterns = ", ".join(repr(pattern) for pattern, _ in rules)
        raise ValueError(f"no rule of {patterns} covers {', '.join(missing)}")
    values = [rule[1] for rule in chosen if rule is not None]
    return jax.tree.unflatten(jax.tree.structure(tree), values)


class Scheduled(optax.GradientTransformationExtraArgs):
    """An optimizer that tells its learning rate, so that a run can record it."""

    learning_rate: optax.Schedule


def scheduled(
    optimizer: optax.GradientTransformation, learning_rate: optax.Schedule | None
) -> optax.GradientTransformation:
    """`optimizer`, which then tells its rate at each step; as it is where that is not known."""
    if learning_rate is None:
        return optimizer
    told = Scheduled(optimizer.init, optax.with_extra_args_support(optimizer).update)
    told.learning_rate = learning_rate
    return told


def rate_of(optimizer: optax.GradientTransformation) -> optax.Schedule | None:
    """The learning rate at each step, where the optimizer tells it."""
    return optimizer.learning_rate if isinstance(optimizer, Scheduled) else None


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
    decayed = optax.add_decayed_weights(weight_decay, mask=lambda params: by_path(params, decay))
    descent = optax.sgd(schedule, momentum=momentum, nesterov=nesterov)
    return scheduled(optax.chain(decayed, descent), schedule)


def lars(
    schedule: optax.Schedule,
    weight_decay: float = 5e-5,
    momentum: float = 0.9,
    trust: float = 0.001,
    rules: Rules = DECAY_KERNELS,
) -> optax.GradientTransformation:
    """LARS: each layer's step in proportion to the norm of its weights, for large batches.

    You, Gitman & Ginsburg 2017 (arXiv:1708.03888, algorithm 1). Parameters whose rule says False
    have neither decay nor a rate of their own, as in MLPerf's reference.
    """

    def chosen(params: Any) -> Any:
        return by_path(params, rules)

    optimizer = optax.lars(
        schedule,
        weight_decay,
        weight_decay_mask=chosen,
        trust_coefficient=trust,
        trust_ratio_mask=chosen,
        momentum=momentum,
    )
    return scheduled(optimizer, schedule)


def lamb(
    schedule: optax.Schedule, weight_decay: float = 0.02, rules: Rules = DECAY_KERNELS
) -> optax.GradientTransformation:
    """LAMB: Adam's direction, each layer's step in proportion to the norm of its weights.

    You et al. 2019 (arXiv:1904.00962, algorithm 2). Decay by rule. Deviation, as in optax: the
    trust ratio is not clipped, and parameters without decay have one too.
    """
    optimizer = optax.lamb(schedule, weight_decay=weight_decay, mask=lambda p: by_path(p, rules))
    return scheduled(optimizer, schedule)


def adamw(
    schedule: optax.Schedule, weight_decay: float = 1e-4, rules: Rules = DECAY_KERNELS
) -> optax.GradientTransformation:
    """Adam with decoupled decay by rule, times the rate (Loshchilov & Hutter 2017, arXiv:1711.05101)."""
    optimizer = optax.adamw(schedule, weight_decay=weight_decay, mask=lambda p: by_path(p, rules))
    return scheduled(optimizer, schedule)


def clipped(optimizer: optax.GradientTransformation, norm: float) -> optax.GradientTransformation:
    """`optimizer` on gradients scaled down to a global norm of `norm` where they exceed it."""
    whole = optax.chain(optax.clip_by_global_norm(norm), optimizer)
    return scheduled(whole, rate_of(optimizer))


def thawed(
    build: Callable[[optax.Schedule], optax.GradientTransformation],
    schedule: optax.Schedule,
    begins: Sequence[tuple[str, int]],
) -> optax.GradientTransformation:
    """`build(schedule)` for each parameter from a step on; until then the parameter stays as it is.

    Gradual unfreezing (Howard & Ruder 2018, arXiv:1801.06146, section 3.3). The step is that of the
    first regex that finds the parameter's path; one that none finds is an error. All follow the
    same `schedule`, which counts the steps of the training.
    """

    def late(begin: int) -> optax.GradientTransformation:
        def shifted(step: Any) -> Any:
            return schedule(step + begin)

        def begun(step: Any, **extra: Any) -> Any:
            del extra
            return step >= begin

        return optax.conditionally_mask(build(shifted), begun)

    def groups(params: Any) -> Any:
        return jax.tree.map(str, by_path(params, begins))

    groups_of: dict[Any, Any] = {str(begin): late(begin) for _, begin in begins}
    return scheduled(optax.partition(groups_of, groups), schedule)


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
    whole = optax.partition({"trained": trained, "frozen": optax.set_to_zero()}, groups)
    return scheduled(whole, rate_of(optimizer))
