"""A split through a trained net once more, without the rows that fill its last batch up."""

import types
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jresnet.studies import collected as module


class Task:
    """Collects what it is given, twice as large as the net says."""

    def outputs(self, variables, batch):
        return {"value": batch["value"] * variables["scale"]}

    def collector(self):
        rows = []
        return types.SimpleNamespace(add=lambda outputs: rows.extend(outputs["value"]), rows=rows)


class Rows:
    """Five rows of a split in batches of two, from `first` on."""

    def __init__(self, first):
        self.first = first

    def examples(self, split, host):
        assert (split, host) == ("test", (0, 1))
        for start in (0, 2, 4):
            numbers = np.arange(start, start + 2)
            yield {"value": jnp.asarray(self.first + numbers), "valid": numbers < 5}


def test_every_real_row_is_met_once(monkeypatch):
    folder = Path("run")
    monkeypatch.setattr(module, "read_variables", lambda path: {"scale": 2} if path == folder / "checkpoints" else {})  # fmt: skip
    experiment = types.SimpleNamespace(task=Task(), data=Rows(0))
    result = types.SimpleNamespace(folder=folder)
    assert module.collected(experiment, result).rows == [0, 2, 4, 6, 8]
    assert module.collected(experiment, result, data=Rows(10)).rows == [20, 22, 24, 26, 28]
