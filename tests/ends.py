"""Whether two runs ended alike, to the bit."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jresnet.weights.run import read_fields, steps_in


def final_state(training: Path) -> dict[str, Any]:
    """Everything in the newest checkpoint, as numpy arrays."""
    folder = training / "checkpoints"
    return read_fields(folder.absolute() / str(steps_in(folder)[0]))


def assert_same_end(undisturbed: Path, other: Path) -> None:
    """State, log and result of every training in two runs' folders are equal to the bit."""
    trainings = sorted(path.parent.name for path in undisturbed.glob("*/result.json"))
    assert trainings
    for name in trainings:
        one, two = final_state(undisturbed / name), final_state(other / name)
        assert jax.tree.structure(one) == jax.tree.structure(two)
        jax.tree.map(np.testing.assert_array_equal, one, two)
        logs = [(run / name / "metrics.jsonl").read_bytes() for run in (undisturbed, other)]
        assert logs[0] == logs[1], f"metrics.jsonl of {name} differs"
        metrics = [
            json.loads((run / name / "result.json").read_text())["metrics"]
            for run in (undisturbed, other)
        ]
        assert metrics[0] == metrics[1]
