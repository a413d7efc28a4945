"""Layouts of nets that label every pixel: torchvision's, segmentation_models_pytorch's, MedicalNet's."""

from jresnet.models.heads.deeplab import DeepLabV3, DeepLabV3Plus
from jresnet.models.heads.maps import FCN
from jresnet.models.heads.medical import MedicalNet
from jresnet.models.heads.unet import UNet
from jresnet.weights.classifiers import TORCHVISION
from jresnet.weights.forms import BLOCKS
from jresnet.weights.layout import composed

AUXILIARY = "aux_classifier."  # torchvision's names of the head on the feature before the last
_AUXILIARY = {
    "auxiliary/layer/conv": f"{AUXILIARY}0",
    "auxiliary/layer/norm": f"{AUXILIARY}1",
    "auxiliary/classes": f"{AUXILIARY}4",
}

TORCHVISION_FCN = composed(
    "torchvision FCN",
    TORCHVISION,
    "backbone.",
    {
        "head/layer/conv": "classifier.0",
        "head/layer/norm": "classifier.1",
        "head/classes": "classifier.4",
        **_AUXILIARY,
    },
    marks=(r"classifier\.0\.weight", r"classifier\.4\.weight"),
    classes="head/classes/kernel",
    nets=(FCN,),
)
TORCHVISION_DEEPLAB = composed(
    "torchvision DeepLabV3",
    TORCHVISION,
    "backbone.",
    {
        "head/aspp/branch{n}/conv": "classifier.0.convs.{n-1}.0",
        "head/aspp/branch{n}/norm": "classifier.0.convs.{n-1}.1",
        "head/aspp/pooled/conv": "classifier.0.convs.4.1",
        "head/aspp/pooled/norm": "classifier.0.convs.4.2",
        "head/aspp/project/conv": "classifier.0.project.0",
        "head/aspp/project/norm": "classifier.0.project.1",
        "head/layer/conv": "classifier.1",
        "head/layer/norm": "classifier.2",
        "head/classes": "classifier.4",
        **_AUXILIARY,
    },
    marks=(r"classifier\.0\.project\.0\.weight",),
    classes="head/classes/kernel",
    nets=(DeepLabV3,),
)
_BESIDE = (r"classification_head\..*",)  # of a classifier on the same encoder, by `aux_params`
SMP_UNET = composed(
    "segmentation_models_pytorch Unet",
    TORCHVISION,
    "encoder.",
    {
        "head/level{n}_{m}/conv": "decoder.blocks.{n-1}.conv{m}.0",
        "head/level{n}_{m}/norm": "decoder.blocks.{n-1}.conv{m}.1",
        "head/classes": "segmentation_head.0",
    },
    marks=(r"decoder\.blocks\.0\.conv1\.0\.weight",),
    classes="head/classes/kernel",
    nets=(UNet,),
    left_out=_BESIDE,
)
SMP_DEEPLAB_PLUS = composed(
    "segmentation_models_pytorch DeepLabV3Plus",
    TORCHVISION,
    "encoder.",
    {
        "head/aspp/branch1/conv": "decoder.aspp.0.convs.0.0",
        "head/aspp/branch{n}/depthwise": "decoder.aspp.0.convs.{n-1}.0.0",
        "head/aspp/branch{n}/conv": "decoder.aspp.0.convs.{n-1}.0.1",
        "head/aspp/branch{n}/norm": "decoder.aspp.0.convs.{n-1}.1",
        "head/aspp/pooled/conv": "decoder.aspp.0.convs.4.1",
        "head/aspp/pooled/norm": "decoder.aspp.0.convs.4.2",
        "head/aspp/project/conv": "decoder.aspp.0.project.0",
        "head/aspp/project/norm": "decoder.aspp.0.project.1",
        "head/layer/depthwise": "decoder.aspp.1.0",
        "head/layer/conv": "decoder.aspp.1.1",
        "head/layer/norm": "decoder.aspp.2",
        "head/detail/conv": "decoder.block1.0",
        "head/detail/norm": "decoder.block1.1",
        "head/joined/depthwise": "decoder.block2.0.0",
        "head/joined/conv": "decoder.block2.0.1",
        "head/joined/norm": "decoder.block2.1",
        "head/classes": "segmentation_head.0",
    },
    marks=(r"decoder\.aspp\.0\.project\.0\.weight",),
    classes="head/classes/kernel",
    nets=(DeepLabV3Plus,),
    left_out=_BESIDE,
)
MEDICALNET = composed(
    "MedicalNet",
    TORCHVISION,
    "",
    {
        "head/enlarge": ("conv_seg.0", BLOCKS),
        "head/norm": "conv_seg.1",
        "head/layer/conv": "conv_seg.3",
        "head/layer/norm": "conv_seg.4",
        "head/classes": "conv_seg.6",
    },
    marks=(r"conv_seg\.0\.weight",),
    classes="head/classes/kernel",
    nets=(MedicalNet,),
)
