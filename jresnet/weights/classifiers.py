"""Layouts of classifiers, one for each code base."""

import functools

from jresnet.weights import names
from jresnet.weights.forms import POINTWISE
from jresnet.weights.layout import Layout

BODY = r"layer1\.0\.conv1\.weight"  # of most code bases

TORCHVISION = Layout("torchvision", names.gated, (BODY,))
TIMM = Layout("timm", names.timm, (r"conv1\.3\.weight|layer1\.0\.downsample\.2\.weight", BODY))
TIMM_V2 = Layout(
    "timm v2",
    names.timm_v2,
    (r"stages\.0\.blocks\.0\.conv1\.weight",),
    {"head": ("head.fc", POINTWISE)},
)
VIDEO = Layout("torchvision video", names.video, (r"layer1\.0\.conv1\.0\.weight",))
VIDEO_FACTORED = Layout(
    "torchvision video R(2+1)D", names.video_factored, (r"layer1\.0\.conv1\.0\.0\.weight",)
)
CIFAR = Layout("cifar", names.cifar, (r"linear\.weight|layer\d\.0\.shortcut\.0\.weight", BODY))
WEIAICUNZAI = Layout(
    "weiaicunzai", names.weiaicunzai, (r"conv2_x\.0\.residual_function\.0\.weight",)
)
HUGGING_FACE = Layout(
    "Hugging Face", names.hugging_face, (r"resnet\.embedder\.embedder\.convolution\.weight",)
)
HUGGING_FACE_BODY = Layout(
    "Hugging Face, without head",
    names.hugging_face_body,
    (r"embedder\.embedder\.convolution\.weight",),
)
DETECTRON2 = Layout("detectron2", names.detectron2, (r"res2\.0\.conv1\.weight",))
# torchvision's layers in a Sequential, as lightly and many scripts of self-supervision keep them;
# nets for small pictures have no pool among them.
CHILDREN = Layout("torchvision's children", names.children, (r"4\.0\.conv1\.weight",))
CHILDREN_WITHOUT_POOL = Layout(
    "torchvision's children without pool",
    functools.partial(names.children, first=3),
    (r"3\.0\.conv1\.weight",),
)
# Paths as they are here, with dots: for nets that no torch code base has.
PATHS = Layout("jresnet", ".".join, (r"backbone\.stage1\.block1\.conv1\.weight",), is_open=True)
