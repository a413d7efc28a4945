"""The lesions of a net that are tried, and the error after each."""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jresnet.analysis.chain import chain
from jresnet.analysis.lesion import (
    Order,
    evaluate,
    intact,
    interchangeable,
    kendall_tau,
    parts,
    reshaping,
    swapped,
    without,
)
from jresnet.studies.subjects import Subject
from jresnet.text import shown


class Trial(NamedTuple):
    """One lesioned net. `blocks` are numbered from 1; `amount` counts blocks or swaps."""

    net: str
    lesion: Literal["intact", "one deleted", "deleted", "swapped"]
    amount: int
    blocks: str
    kendall_tau: float
    error: float
    loss: float


def measure(
    subject: Subject, *, repeats: int, split: str, examples: int | None, seed: int
) -> list[Trial]:
    """Error and loss of the intact net and of every lesioned one.

    Args:
        subject: the net and its data.
        repeats: random draws for each number of deleted blocks and of swaps.
        split: split of the examples.
        examples: number of examples, drawn at random; None for all.
        seed: seed of all draws but that of the examples.
    """
    net = chain(subject.classifier)
    count, rng = len(net.blocks), np.random.default_rng(seed)
    steps = np.unique(np.linspace(1, max(1, count // 2), 8).round().astype(int))
    groups = interchangeable(net, subject.variables)
    kinds: list[tuple[Any, int, Order]] = [("intact", 0, intact(count))]
    kinds += [("one deleted", 1, without(count, [block])) for block in range(count)]
    for amount in steps.tolist():
        for _ in range(repeats):
            drawn = rng.choice(count, amount, replace=False)
            kinds.append(("deleted", amount, without(count, drawn.tolist())))
            if any(len(group) > 1 for group in groups):
                kinds.append(("swapped", amount, swapped(groups, amount, rng)))
    orders = [order for _, _, order in kinds]
    batches = subject.batches(split, examples)
    total = len(orders) * len(batches)
    with tqdm(
        total=total, desc=shown(f"lesions of {subject.label}"), unit="net", disable=None
    ) as bar:
        scores = evaluate(parts(net, subject.variables), batches, orders, bar.update)
    return [
        Trial(
            subject.label,
            kind,
            amount,
            " ".join(str(s.block + 1) for s in order if (kind == "swapped") or not s.kept),
            kendall_tau(order),
            float(scores["error"][i]),
            float(scores["loss"][i]),
        )
        for i, (kind, amount, order) in enumerate(kinds)
    ]


def transitions(subject: Subject) -> list[int]:
    """Numbers of the blocks that change the shape, from 0."""
    image = subject.examples("test", 1)["image"]
    normalised = subject.normalize(jnp.asarray(image))
    return reshaping(chain(subject.classifier), subject.variables, normalised.shape[1:])


def select(trials: list[Trial], net: str, lesion: str) -> list[Trial]:
    """The trials of one net and one kind of lesion."""
    return [trial for trial in trials if (trial.net, trial.lesion) == (net, lesion)]


def errors(trials: list[Trial], net: str, lesion: str) -> list[float]:
    """The errors of those trials in per cent."""
    return [100 * trial.error for trial in select(trials, net, lesion)]
