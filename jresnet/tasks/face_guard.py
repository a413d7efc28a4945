"""The known failure of face nets, told by its cause: accuracy stays at one half while the loss falls.

insightface's issues 1737 and 1766 are of people who met it.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from jresnet.tasks.base import Finding

STUCK = 0.55  # accuracy of verification up to here is chance: its best threshold gains a little
CONSTANT = 1e-3  # spread of directions (`verification.spread`) below which they are all the same
FALLEN = 0.1  # share of the first loss that must be gone for it to have fallen


@dataclasses.dataclass(frozen=True)
class Signs:
    """Measurements of a training.

    - accuracy: of verification in evaluation mode.
    - first_loss, last_loss: of training.
    - spread: of embeddings in evaluation mode.
    - batch_spread: of embeddings by the statistics of a batch, or None if not measured.
    """

    accuracy: float
    first_loss: float
    last_loss: float
    spread: float
    batch_spread: float | None = None


def signs_of(records: Sequence[Mapping[str, float]], test: Mapping[str, float]) -> Signs | None:
    """The signs of a training by its records of "train", oldest first, and its newest test metrics.

    None where a test has no accuracy, or nothing was recorded.
    """
    if "accuracy" not in test or not records:
        return None
    first, last = records[0], records[-1]
    return Signs(
        test["accuracy"],
        first["loss"],
        last["loss"],
        test["embedding_spread"],
        last.get("batch_spread"),
    )


def finding(signs: Signs) -> Finding | None:
    """The cause and one line with a remedy; None for a training that is not stuck.

    Embeddings that are constant in evaluation alone come of BatchNorm's running statistics: too few
    steps for their momentum, or batches too small. Constant ones in both come of a rate that killed
    the net. Ones that vary come of faces that are not aligned as in training, or of wrong pairs.
    """
    fell = signs.first_loss - signs.last_loss >= FALLEN * abs(signs.first_loss)
    if signs.accuracy > STUCK or not fell:
        return None
    start = (
        f"accuracy={signs.accuracy:.3f} while the loss fell from {signs.first_loss:.3g} to "
        f"{signs.last_loss:.3g}:"
    )
    if signs.spread >= CONSTANT:
        return Finding(
            "alignment",
            f"{start} embeddings differ but not by person; expected test faces aligned as those "
            "trained on, pairs of the right files, and a lower learning rate if neither helps",
        )
    if signs.batch_spread is not None and signs.batch_spread < CONSTANT:
        return Finding(
            "rate",
            f"{start} embeddings are constant, in training too; expected a lower learning rate",
        )
    if signs.batch_spread is None:
        return Finding(
            "constant",
            f"{start} embeddings are constant in evaluation; expected a lower BatchNorm momentum "
            "(running statistics lag behind), larger batches or a lower learning rate",
        )
    return Finding(
        "statistics",
        f"{start} embeddings are constant by BatchNorm's running statistics alone; expected a lower "
        "momentum, more steps or larger batches",
    )


def warning(signs: Signs) -> str | None:
    """The line of `finding`."""
    cause = finding(signs)
    return None if cause is None else cause.line
