"""The nets of the study of cardinality, and the arguments that it takes."""

import pytest

from experiments.cardinality import cardinality
from jresnet.models.published import count_net
from jresnet.studies.cardinality.report import PUBLISHED


def test_paths_of_equal_cost():
    runs = cardinality(nets=tuple(PUBLISHED)).runs
    macs = [count_net(runs[f"{name}-seed0"].task.model, (8, 8, 1)).macs for name in PUBLISHED]
    assert max(macs) < 1.15 * min(macs)
    with pytest.raises(ValueError, match="width=48: expected a multiple of 32"):
        cardinality(width=48)
    with pytest.raises(ValueError, match="nets=3x3d: expected some of 1x64d, 2x40d"):
        cardinality(nets=("3x3d",))
