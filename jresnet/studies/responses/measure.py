"""The responses of a net's layers."""

from jresnet.analysis.responses import responding, response_deviations
from jresnet.studies.subjects import Subject


def measure(subject: Subject, examples: int | None, seed: int) -> dict[str, float]:
    """Standard deviations of the responses of a net's layers, by name, on test examples.

    Args:
        subject: the net and its data.
        examples: number of test examples, drawn at random; None for all.
        seed: seed of the draw.
    """
    preactivation = getattr(subject.model.backbone, "preactivation", False)
    batches = subject.batches("test", examples, seed=seed)
    select = responding(preactivation)
    return response_deviations(subject.model, subject.variables, batches, select)
