"""The nets of the study of width and depth, and its closing line."""

import pytest

from experiments.width_depth import width_depth
from jresnet.errors import UsageError
from jresnet.studies.variants import Row
from jresnet.studies.width_depth.report import statement


def test_depth_and_width_are_named():
    assert len(width_depth().runs) == 4
    with pytest.raises(UsageError, match="nets=28x10: expected depth-k"):
        width_depth(nets=("28x10",))
    deep = Row("WRN-40-1", 10, 0, 2.0, 2.0, 2.0, 100.0)
    wide = Row("WRN-10-3", 12, 0, 1.0, 1.0, 1.0, 25.0)
    assert "the wide net takes 0.25 of the time" in statement([deep, wide])
