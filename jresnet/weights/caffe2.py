"""Caffe2's names and norms, in which detectron2 keeps its oldest ImageNet nets (MSRA's R-50.pkl).

A norm there is `x * s + b` alone, since the statistics are in these numbers already.
"""

import re
from collections.abc import Mapping

import numpy as np

# Its norms get a mean of 0 and a variance that BatchNorm's epsilon makes 1.
VARIANCE = 1 - 1e-5
_MARKS = ("conv1_w", "res2_0_branch2a_w")
_BRANCH = {"branch1": "shortcut", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
_LEAVES = {"_bn_s": ".norm.weight", "_bn_b": ".norm.bias", "_w": ".weight", "_b": ".bias"}
_LAYERS = {"conv1": "stem.conv1", "res_conv1": "stem.conv1", "fc1000": "stem.fc", "pred": "stem.fc"}
_BLOCK = re.compile(r"(res\d)_(\d+)_(branch\w+)")


def in_detectron2_names(state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """A state dict with detectron2's names, where its names are Caffe2's; any other as it is.

    Momenta of the optimizer are left out. A bias of the first convolution, which detectron2's net
    has no place for, goes into the bias of its norm.
    """
    if not all(mark in state for mark in _MARKS):
        return state
    renamed = {_renamed(name): value for name, value in state.items() if "_momentum" not in name}
    bias = renamed.pop("stem.conv1.bias", None)
    for name in [name for name in renamed if name.endswith(".norm.weight")]:
        layer = name.removesuffix("weight")
        renamed[f"{layer}running_mean"] = np.zeros_like(renamed[name])
        renamed[f"{layer}running_var"] = np.full_like(renamed[name], VARIANCE)
    if bias is not None and "stem.conv1.norm.weight" in renamed:
        shift = renamed["stem.conv1.norm.weight"] * bias
        renamed["stem.conv1.norm.bias"] = renamed["stem.conv1.norm.bias"] + shift
    return renamed


def _renamed(name: str) -> str:
    """`res2_0_branch2a_bn_s` as `res2.0.conv1.norm.weight`; the name itself if it is not known."""
    for ending, leaf in _LEAVES.items():
        if not name.endswith(ending):
            continue
        layer = name.removesuffix(ending)
        if layer in _LAYERS:
            return _LAYERS[layer] + leaf
        match = _BLOCK.fullmatch(layer)
        if match and match[3] in _BRANCH:
            return f"{match[1]}.{match[2]}.{_BRANCH[match[3]]}{leaf}"
    return name
