"""How strongly the layers of a net respond to data.

He et al. 2015 (arXiv:1512.03385, section 4.2, figure 7): the response of a layer is the output of
its convolution and BatchNorm, before activation and addition.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jresnet.analysis.chain import Variables
from jresnet.models.headed import Headed
from jresnet.tasks.base import Array, Batch

Select = Callable[[tuple[str, ...]], bool]


def responding(preactivation: bool = False) -> Select:
    """A selection of the modules whose outputs are the layers' responses, for nets of the zoo.

    They are the norms after convolutions. In pre-activation nets no norm follows a convolution, and
    the convolutions are selected. Shortcuts, gates and the closing norm are left out.
    """
    name = re.compile(r"conv\d*" if preactivation else r"norm\d*")

    def wanted(path: tuple[str, ...]) -> bool:
        inside = any(part == "stem" or part.startswith("block") for part in path)
        return inside and "shortcut" not in path and bool(name.fullmatch(path[-1]))

    return wanted


def response_deviations(
    model: nn.Module | Headed, variables: Variables, batches: Sequence[Batch], select: Select
) -> dict[str, float]:
    """Standard deviation of selected outputs over all examples, positions and channels.

    Args:
        model: any linen module that takes `batch["image"]` and `train=False`.
        variables: its variables.
        batches: batches with `image` and `valid`.
        select: whether the module at a path within `model` is selected.

    Returns:
        Deviations by the module's path, in the order of the net.
    """

    def chosen(module: nn.Module, method: str) -> bool:
        return method == "__call__" and bool(module.path) and select(module.path)

    @jax.jit
    def sums(variables: Variables, batch: Mapping[str, Array]) -> dict[str, Array]:
        _, captured = model.apply(
            dict(variables),
            batch["image"],
            train=False,
            capture_intermediates=chosen,
            mutable=["intermediates"],
        )
        totals = {}
        for path, y in jax.tree_util.tree_leaves_with_path(captured.get("intermediates", {})):
            y = y.astype(jnp.float32)
            weight = batch["valid"].reshape(-1, *(1,) * (y.ndim - 1))
            # (count, sum, sum of squares) over valid examples.
            count = jnp.sum(batch["valid"]) * (y.size / len(y))
            name = "/".join(key.key for key in path if hasattr(key, "key"))
            totals[name.removesuffix("/__call__")] = jnp.stack(
                [count, jnp.sum(weight * y), jnp.sum(weight * y**2)]
            )
        return totals

    total: dict[str, Any] = {}
    for batch in batches:
        for name, values in sums(variables, dict(batch)).items():
            total[name] = total.get(name, 0.0) + np.asarray(values, float)
    deviations = {}
    for name in sorted(total, key=_natural):
        count, first, second = total[name]
        deviations[name] = float(np.sqrt(max(second / count - (first / count) ** 2, 0.0)))
    return deviations


def _natural(name: str) -> list[tuple[int, int, str]]:
    """The stem first, then stages, blocks and layers by number."""
    parts = re.findall(r"\d+|[^\d/]+", name)
    return [
        (1, int(part), "") if part.isdigit() else (0 if part == "stem" else 2, 0, part)
        for part in parts
    ]
