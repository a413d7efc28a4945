"""The study of shortcuts: what is injected, and what the closing line makes of the errors."""

import pytest

from experiments.shortcuts import shortcuts
from jresnet.studies.shortcuts.measure import ORDERS, SHORTCUTS
from jresnet.studies.shortcuts.report import statement
from jresnet.studies.variants import Row, slug


def test_every_variant_is_another_net_and_has_a_folder_of_its_own():
    runs = shortcuts(depth=8, seeds=2).runs
    assert len(runs) == 2 * (len(SHORTCUTS) + len(ORDERS))
    nets = {label: run.task.model for label, run in runs.items() if label.endswith("seed0")}
    # Both tables begin with the net of 2015.
    assert len(set(nets.values())) == len(nets) - 1
    assert nets[f"{slug('identity')}-seed0"] == nets[f"{slug('original')}-seed0"]


def test_an_unknown_table_is_named():
    with pytest.raises(ValueError, match="tables gates: take some of shortcuts, orders"):
        shortcuts(tables=("gates",))


def rows(**errors):
    return [Row(name, 1, 0.0, error, error, error, 1.0) for name, error in errors.items()]


def test_the_closing_line_says_whether_the_paper_agrees():
    agrees = statement("orders", rows(original=2.0, full=1.0))
    assert "full has the lowest test error, 1.00 % (as in the paper" in agrees
    assert "not as in the paper" in statement("orders", rows(original=1.0, full=2.0))
    assert "no better" in statement("shortcuts", rows(identity=1.0, other=1.0))
    assert "better: other" in statement("shortcuts", rows(identity=1.0, other=0.5))
