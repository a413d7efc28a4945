"""SIGTERM or Ctrl-C while a study is concluded: it ends at once, and the same call goes on after the trainings."""

import os
import signal

import pytest

from jresnet.experiment import Experiment, Study
from jresnet.report.conclusion import Conclusion
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import outcome, run
from jresnet.runtime.stop import at_once, stoppable
from jresnet.train.loop import Interrupted
from jresnet.train.optim import sgd
from tests.train.toy import DATA, PLAN, classify

signals, reached = [], []


def slow() -> Study:
    """A study that is told once, in its conclusion, to stop. arXiv:0000.00000"""

    def conclude(folder, results, provenance):
        while signals:
            os.kill(os.getpid(), signals.pop())
            reached.append("after the signal")
        return Conclusion(outcome("net", results["net"]))

    return Study({"net": Experiment(classify(), DATA, sgd(lambda step: 0.1), PLAN)}, conclude)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_conclusion_ends_at_once_and_no_training_is_done_again(tmp_path, how):
    signals.append(how)
    handler = signal.getsignal(how)
    options = RunOptions(workdir=tmp_path / "run", devices=1)
    with pytest.raises(Interrupted, match="trainings that are done are not done again"):
        run(slow, {}, options)
    assert not reached
    assert signal.getsignal(how) is handler
    result = tmp_path / "run" / "net" / "result.json"
    before = result.stat().st_mtime_ns
    assert run(slow, {}, options).startswith("net: ")
    assert result.stat().st_mtime_ns == before


def test_a_signal_that_came_before_is_heeded():
    with stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match="said"), at_once(Interrupted("said")):
            pytest.fail("entered")
