"""The sets of MedMNIST v2 (Yang et al. 2021, arXiv:2110.14795, tables 2 and 3): tasks, classes, sizes.

Five sets lost a few examples in the files of MedMNIST+ (`INFO` of the package medmnist 3.0.2).
"""

import dataclasses
from typing import Literal

Kind = Literal["multi-class", "binary-class", "multi-label, binary-class", "ordinal-regression"]
Sizes = tuple[int, int, int]
MANY: Kind = "multi-label, binary-class"


@dataclasses.dataclass(frozen=True)
class MedMnistSet:
    """The facts about one set: its task, the names of its classes, examples to train, val, test.

    `sizes` are those of the paper, `plus` those of MedMNIST+.
    """

    kind: Kind
    classes: tuple[str, ...]
    sizes: Sizes
    plus: Sizes

    def release(self, sizes: tuple[int, ...]) -> str | None:
        """The release that has splits of these sizes; None where none has."""
        if sizes == self.sizes:
            return "MedMNIST v2"
        return "MedMNIST+" if sizes == self.plus else None


def _known(kind: Kind, sizes: Sizes, classes: str, plus: Sizes | None = None) -> MedMnistSet:
    names = tuple(name.strip() for name in classes.split(";"))
    return MedMnistSet(kind, names, sizes, plus or sizes)


_ORGANS = (
    "bladder; femur, left; femur, right; heart; kidney, left; kidney, right; liver; lung, left; "
    "lung, right; pancreas; spleen"
)

# By the name of the file.
SETS: dict[str, MedMnistSet] = {
    "pathmnist": _known(
        "multi-class",
        (89_996, 10_004, 7_180),
        "adipose; background; debris; lymphocytes; mucus; smooth muscle; normal colon mucosa; "
        "cancer-associated stroma; colorectal adenocarcinoma epithelium",
    ),
    "chestmnist": _known(
        MANY,
        (78_468, 11_219, 22_433),
        "atelectasis; cardiomegaly; effusion; infiltration; mass; nodule; pneumonia; pneumothorax; "
        "consolidation; edema; emphysema; fibrosis; pleural; hernia",
    ),
    "dermamnist": _known(
        "multi-class",
        (7_007, 1_003, 2_005),
        "actinic keratoses and intraepithelial carcinoma; basal cell carcinoma; benign "
        "keratosis-like lesions; dermatofibroma; melanoma; melanocytic nevi; vascular lesions",
    ),
    "octmnist": _known(
        "multi-class",
        (97_477, 10_832, 1_000),
        "choroidal neovascularization; diabetic macular edema; drusen; normal",
    ),
    "pneumoniamnist": _known("binary-class", (4_708, 524, 624), "normal; pneumonia"),
    "retinamnist": _known("ordinal-regression", (1_080, 120, 400), "0; 1; 2; 3; 4"),
    "breastmnist": _known("binary-class", (546, 78, 156), "malignant; normal or benign"),
    "bloodmnist": _known(
        "multi-class",
        (11_959, 1_712, 3_421),
        "basophil; eosinophil; erythroblast; immature granulocytes; lymphocyte; monocyte; "
        "neutrophil; platelet",
    ),
    "tissuemnist": _known(
        "multi-class",
        (165_466, 23_640, 47_280),
        "collecting duct, connecting tubule; distal convoluted tubule; glomerular endothelial "
        "cells; interstitial endothelial cells; leukocytes; podocytes; proximal tubule segments; "
        "thick ascending limb",
    ),
    "organamnist": _known(
        "multi-class", (34_581, 6_491, 17_778), _ORGANS, plus=(34_561, 6_491, 17_778)
    ),
    "organcmnist": _known(
        "multi-class", (13_000, 2_392, 8_268), _ORGANS, plus=(12_975, 2_392, 8_216)
    ),
    "organsmnist": _known(
        "multi-class", (13_940, 2_452, 8_829), _ORGANS, plus=(13_932, 2_452, 8_827)
    ),
    "organmnist3d": _known(
        "multi-class",
        (972, 161, 610),
        "liver; kidney, right; kidney, left; femur, right; femur, left; bladder; heart; "
        "lung, right; lung, left; spleen; pancreas",
        plus=(971, 161, 610),
    ),
    "nodulemnist3d": _known("binary-class", (1_158, 165, 310), "benign; malignant"),
    "adrenalmnist3d": _known("binary-class", (1_188, 98, 298), "normal; hyperplasia"),
    "fracturemnist3d": _known(
        "multi-class",
        (1_027, 103, 240),
        "buckle rib fracture; nondisplaced rib fracture; displaced rib fracture",
    ),
    "vesselmnist3d": _known(
        "binary-class", (1_335, 192, 382), "vessel; aneurysm", plus=(1_335, 191, 382)
    ),
    "synapsemnist3d": _known(
        "binary-class", (1_230, 177, 352), "inhibitory synapse; excitatory synapse"
    ),
}
