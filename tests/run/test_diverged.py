"""A run whose loss becomes infinite ends a study, unless the training says that this is a result."""

import dataclasses

import pytest

from jresnet.experiment import Experiment, Result, Study
from jresnet.report.conclusion import Conclusion
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import outcome, run
from jresnet.train.log import NonFiniteLossError
from jresnet.train.optim import sgd
from tests.train.toy import DATA, PLAN, classify


def exploding(may_diverge: bool = True) -> Study:
    """One net at a rate that no net stands. arXiv:0000.00000"""
    plan = dataclasses.replace(PLAN, eval_every=None)
    optimizer = sgd(lambda step: 1e30 + 0 * step)
    experiment = Experiment(classify(), DATA, optimizer, plan, may_diverge=may_diverge)

    def conclude(folder, results: dict[str, Result], provenance):
        net = results["net"]
        return Conclusion(f"{outcome('net', net)}; {net.parameters}")

    return Study({"net": experiment}, conclude)


def test_a_diverged_run_is_a_result_where_it_may_be_one(tmp_path):
    options = RunOptions(workdir=tmp_path / "run", devices=1)
    line = run(exploding, {}, options)
    assert line.startswith("net: the loss is ")
    assert int(line.split("; ")[1]) > 1000
    assert run(exploding, {}, options) == line  # read, not trained again
    with pytest.raises(NonFiniteLossError):
        run(
            exploding,
            {"may_diverge": False},
            dataclasses.replace(options, workdir=tmp_path / "strict"),
        )
