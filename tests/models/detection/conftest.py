"""Golden cases, and boxes that are hard: empty, swapped, on top of each other, not numbers."""

import json

import pytest

from tests.nets import read_arrays


def cases(path):
    """The cases of a golden file: `cases["nms_50"]["boxes"]`."""
    arrays = read_arrays(path)
    json.loads(str(arrays.pop("meta")))
    tree = {}
    for key, value in arrays.items():
        case, _, name = key.partition("/")
        tree.setdefault(case, {})[name] = value
    return tree


@pytest.fixture(scope="package")
def operators(golden):
    return cases(golden / "detection_ops.npz")


@pytest.fixture(scope="package")
def masks_and_keypoints(golden):
    return cases(golden / "mask_keypoint_ops.npz")
