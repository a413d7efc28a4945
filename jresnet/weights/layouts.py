"""Layouts: how torch code bases name the parts of a residual network, and which a checkpoint is in.

A layout turns the path of a parameter here, `backbone/stage2/block1/conv3/kernel`, into its name
there, `layer2.0.conv3.weight`. Only this direction is written: the names that a net expects are
those of its own parameters, so a checkpoint is checked against them both ways.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable

from jresnet.models.heads import Classifier
from jresnet.weights import names
from jresnet.weights.names import Path

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
STATISTICS = {"mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """A code base's names.

    `owner` names the layer of a path without its leaf. `marks` are patterns of whole names: a
    checkpoint that has one of each is in this layout.
    """

    name: str
    owner: Callable[[Path], str]
    marks: tuple[str, ...]
    head_is_convolution: bool = False

    def torch_name(self, path: Path) -> str:
        """The state-dict entry of one leaf; raises ValueError if the layout has no place for it."""
        *owner, leaf = path
        kind = LEAVES.get(leaf) or STATISTICS.get(leaf)
        try:
            name = self.owner(tuple(owner))
        except (KeyError, ValueError):
            name = None
        if kind is None or name is None:
            raise ValueError(f"layout {self.name} has no name for {'/'.join(path)}")
        return f"{name}.{kind}"

    @property
    def head(self) -> str:
        """The head's layer."""
        return self.owner(("head",))


BODY = r"layer1\.0\.conv1\.weight"  # of most code bases

TORCHVISION = Layout("torchvision", names.gated, (BODY,))
TIMM = Layout("timm", names.timm, (r"conv1\.3\.weight|layer1\.0\.downsample\.2\.weight", BODY))
TIMM_V2 = Layout(
    "timm v2", names.timm_v2, (r"stages\.0\.blocks\.0\.conv1\.weight",), head_is_convolution=True
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

# The more particular first: CIFAR nets and timm's have torchvision's layer names as well.
LAYOUTS = (
    TIMM_V2, VIDEO_FACTORED, VIDEO, CIFAR, TIMM, TORCHVISION,
    WEIAICUNZAI, HUGGING_FACE, HUGGING_FACE_BODY, DETECTRON2,
)  # fmt: skip

# Attributes under which people keep a net: DataParallel, torch.compile, Lightning, MoCo, detectors.
WRAPPERS = (
    "module", "_orig_mod", "model", "net", "network", "backbone", "encoder", "encoder_q",
    "base_encoder", "bottom_up", "body", "resnet", "timm_model", "base_model",
)  # fmt: skip


class UnknownError(ValueError):
    """Names that are in none of the layouts."""


def recognise(checkpoint: Iterable[str]) -> Layout:
    """The layout that a checkpoint's names are in. Raises UnknownError if in none."""
    return locate(list(checkpoint))[0]


def locate(
    checkpoint: Collection[str], layouts: tuple[Layout, ...] = LAYOUTS
) -> tuple[Layout, str]:
    """The layout that a checkpoint's names are in, and the wrappers before them, as `module.`.

    The first of `layouts` that fits is taken.

    Raises UnknownError for names of none, ValueError for names of several nets.
    """
    for layout in layouts:
        prefixes = set.intersection(*(_prefixes(mark, checkpoint) for mark in layout.marks))
        if "" in prefixes:
            return layout, ""
        if len(prefixes) > 1:
            nets = " and ".join(sorted(f"{prefix}*" for prefix in prefixes))
            raise ValueError(f"its names are of several nets, {nets}: expected one")
        if prefixes:
            return layout, prefixes.pop()
    shown = [name[:100] for name, _ in zip(checkpoint, range(3), strict=False)]
    raise UnknownError(
        f"names such as {', '.join(shown) or '(none)'} are in none of the layouts "
        f"{', '.join(layout.name for layout in layouts)}"
    )


def _prefixes(mark: str, checkpoint: Collection[str]) -> set[str]:
    wrapped = re.compile(rf"((?:(?:{'|'.join(WRAPPERS)})\.)*?)(?:{mark})")
    matches = (wrapped.fullmatch(name) for name in checkpoint)
    return {match.group(1) for match in matches if match}


def layout_of(model: Classifier) -> Layout:
    """The layout of the code base that has a net of this kind."""
    backbone = model.backbone
    convs = backbone.stem(parent=None).convs
    if isinstance(convs[0].kernel, tuple) and len(convs[0].kernel) == 3:
        return VIDEO_FACTORED if len(convs) > 1 else VIDEO
    if len(backbone.depths) == 3:
        return CIFAR
    if backbone.preactivation:
        return TIMM_V2
    pooled = getattr(backbone.shortcut(parent=None), "pool", False)
    return TIMM if len(convs) > 1 or pooled else TORCHVISION
