"""The variants of two tables of He et al. 2016 (arXiv:1603.05027), with their published errors."""

from typing import Any, Literal, NamedTuple

from jresnet.models.block import (
    BN_AFTER_ADDITION,
    POSTACTIVATION,
    PREACTIVATION,
    RELU_BEFORE_ADDITION,
    RELU_PREACTIVATION,
)
from jresnet.models.gates import HighwayGate, Scaled
from jresnet.models.part import part
from jresnet.models.shortcuts import DropoutShortcut, NoShortcut, ScaledIdentity


class Variant(NamedTuple):
    """Replaced fields of the backbone, and the paper's error in per cent (None: above 20)."""

    fields: dict[str, Any]
    published: float | None


HALF = {"shortcut": part(ScaledIdentity, scale=0.5)}
# b: the initial bias of the gates, which is trained as in the paper.
SHORTCUTS = {
    "identity": Variant({}, 6.61),
    "none (plain)": Variant({"shortcut": part(NoShortcut)}, None),
    "0.5 x identity, branch x 1": Variant(HALF, None),
    "0.5 x identity, branch x 0.5": Variant({**HALF, "gate": part(Scaled, factor=0.5)}, 12.35),
    "exclusive gating, b = 0": Variant({"join": part(HighwayGate, bias=0.0)}, None),
    "exclusive gating, b = -6": Variant({"join": part(HighwayGate, bias=-6.0)}, 8.70),
    "gated shortcut, b = 0": Variant({"join": part(HighwayGate, bias=0.0, branch=False)}, 12.86),
    "gated shortcut, b = -6": Variant({"join": part(HighwayGate, bias=-6.0, branch=False)}, 6.91),
    "1x1 convolution": Variant({"shortcut": "C"}, 12.22),
    "dropout 0.5": Variant({"shortcut": part(DropoutShortcut, rate=0.5)}, None),
}
ORDERS = {
    "original": Variant({"order": POSTACTIVATION}, 6.61),
    "BN after addition": Variant({"order": BN_AFTER_ADDITION}, 8.17),
    "ReLU before addition": Variant({"order": RELU_BEFORE_ADDITION}, 7.84),
    "ReLU-only pre-activation": Variant({"order": RELU_PREACTIVATION}, 6.71),
    "full pre-activation": Variant({"order": PREACTIVATION}, 6.37),
}
TableName = Literal["shortcuts", "orders"]
TABLES: dict[TableName, dict[str, Variant]] = {"shortcuts": SHORTCUTS, "orders": ORDERS}
