"""A run that the first version began is read, resumed and finished by this one.

`old_run.zip` is `python -m tests.killable --steps 40 --every 20 --only whole` of that version, as a
kill after its checkpoint of step 32 left it.
"""

import json
import zipfile
from pathlib import Path

import pytest

from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.run.reading import read_run
from jresnet.weights.run import read_variables
from tests.killable import killable

# The first version's own results; other processors round elsewhere.
ENDED = {"train": 1.59882470703125, "test": 1.6256433435388513}


@pytest.fixture
def old(tmp_path):
    with zipfile.ZipFile(Path(__file__).with_name("old_run.zip")) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "run"


def test_it_is_read(old):
    actual = read_run(old)
    assert actual.state == "stopped"
    assert [(t.label, t.step, t.steps) for t in actual.trainings] == [("whole", 40, 40)]
    variables = read_variables(old / "whole" / "checkpoints")
    assert set(variables) == {"params", "batch_stats"}
    assert variables["params"]["head"]["kernel"].shape == (16, 10)


def test_it_is_resumed_from_its_checkpoint_to_the_same_end(old):
    log = old / "whole" / "metrics.jsonl"
    before = log.read_bytes().splitlines()
    arguments = {"steps": 40, "every": 20, "test_size": 37, "only": "whole"}
    run(killable, arguments, RunOptions(workdir=old, devices=1))
    result = json.loads((old / "whole" / "result.json").read_text())
    for split, loss in ENDED.items():
        assert result["metrics"][split]["loss"] == pytest.approx(loss, rel=1e-3)
    after = log.read_bytes().splitlines()
    kept = [line for line in before if json.loads(line)["step"] <= 30]
    assert len(kept) == 7  # six windows of five steps, and the evaluation of step 20
    assert after[: len(kept)] == kept
    resumed = [json.loads(line) for line in after[len(kept) :]]
    assert [record["step"] for record in resumed] == [35, 40, 40, 40]
    # What the first version did not record is recorded from here on.
    assert "learning_rate" in resumed[0]
    assert "learning_rate" not in json.loads(kept[0])
