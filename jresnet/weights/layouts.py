"""The layouts that are known, which of them a checkpoint is in, and which a net is written in.

A family of nets with heads of its own declares its layouts with `layout.composed` in a file of its
own, and `LAYOUTS` lists them, before those of classifiers.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from jresnet.models.headed import Headed, backbone_of
from jresnet.models.heads import Classifier
from jresnet.models.resnet import ResNet
from jresnet.weights.classifiers import (
    CHILDREN,
    CHILDREN_WITHOUT_POOL,
    CIFAR,
    DETECTRON2,
    HUGGING_FACE,
    HUGGING_FACE_BODY,
    PATHS,
    TIMM,
    TIMM_V2,
    TORCHVISION,
    VIDEO,
    VIDEO_FACTORED,
    WEIAICUNZAI,
)
from jresnet.weights.detectors import (
    DETECTRON2_RCNN,
    TORCHVISION_RCNN,
    TORCHVISION_RCNN_OLD,
    of_detector,
)
from jresnet.weights.faces import INSIGHTFACE
from jresnet.weights.layout import Layout, composed
from jresnet.weights.maps import (
    MEDICALNET,
    SMP_DEEPLAB_PLUS,
    SMP_UNET,
    TORCHVISION_DEEPLAB,
    TORCHVISION_FCN,
)
from jresnet.weights.names import Path
from jresnet.weights.pictures import (
    BASICSR_EDSR,
    BASICSR_MSRRESNET,
    EDSR_PYTORCH,
    FAST_NEURAL_STYLE,
    of_edsr,
)
from jresnet.weights.prefixes import WRAPPERS

# The more particular first: CIFAR nets and timm's have torchvision's layer names as well, and of
# children those without a pool have the places of those with one.
LAYOUTS = (
    TORCHVISION_RCNN, TORCHVISION_RCNN_OLD, DETECTRON2_RCNN,
    TORCHVISION_DEEPLAB, TORCHVISION_FCN, SMP_DEEPLAB_PLUS, SMP_UNET, MEDICALNET,
    BASICSR_MSRRESNET, BASICSR_EDSR, EDSR_PYTORCH, FAST_NEURAL_STYLE,
    INSIGHTFACE,
    TIMM_V2, VIDEO_FACTORED, VIDEO, CIFAR, TIMM, TORCHVISION,
    WEIAICUNZAI, HUGGING_FACE, HUGGING_FACE_BODY, DETECTRON2,
    CHILDREN_WITHOUT_POOL, CHILDREN, PATHS,
)  # fmt: skip


class UnknownError(ValueError):
    """Names that are in none of the layouts."""


def recognise(checkpoint: Iterable[str], layouts: tuple[Layout, ...] = LAYOUTS) -> Layout:
    """The layout that a checkpoint's names are in. Raises UnknownError if in none."""
    return locate(list(checkpoint), layouts)[0]


class Located(NamedTuple):
    """Where in a checkpoint the net is.

    - layout: that its names are in.
    - prefix: the wrappers before them, as `module.`.
    - twins: prefixes of the same net at other times, which are not taken.
    """

    layout: Layout
    prefix: str
    twins: tuple[str, ...] = ()


def locate(checkpoint: Collection[str], layouts: tuple[Layout, ...] = LAYOUTS) -> Located:
    """The place of the one net in a checkpoint.

    The first of `layouts` that fits is taken. Of a net and its twin the table of prefixes says
    which one.

    Raises UnknownError for names of none, ValueError for names of several nets.
    """
    for layout in layouts:
        prefixes = set.intersection(*(_prefixes(mark, checkpoint) for mark in layout.marks))
        if "" in prefixes:
            return Located(layout, "")
        taken = {one for one in prefixes if not any(_is_over(other, one) for other in prefixes)}
        if len(taken) > 1:
            nets = " and ".join(sorted(f"{prefix}*" for prefix in taken))
            raise ValueError(f"its names are of several nets, {nets}: expected one")
        for prefix in taken:
            return Located(layout, prefix, tuple(sorted(prefixes - taken)))
    shown = [name[:100] for name, _ in zip(checkpoint, range(3), strict=False)]
    raise UnknownError(
        f"names such as {', '.join(shown) or '(none)'} are in none of the {len(layouts)} layouts "
        f"known for such a net, such as {layouts[0].name} and {layouts[-1].name}"
    )


def _is_over(prefix: str, other: str) -> bool:
    """Whether a prefix is that of the net to be taken, and `other` that of its twin."""
    names, others = (set(one.split(".")) for one in (prefix, other))
    return any(
        wrapper.name in names - others and others.intersection(wrapper.over) for wrapper in WRAPPERS
    )


def _prefixes(mark: str, checkpoint: Collection[str]) -> set[str]:
    wrapped = re.compile(rf"((?:(?:{'|'.join(w.name for w in WRAPPERS)})\.)*?)(?:{mark})")
    matches = (wrapped.fullmatch(name) for name in checkpoint)
    return {match.group(1) for match in matches if match}


def known_for(model: Headed) -> tuple[Layout, ...]:
    """The layouts that a checkpoint for a net may be in; the net's own comes first.

    A classifier has none of its own: it is in any code base.
    """
    return LAYOUTS if isinstance(model, Classifier) else (layout_of(model), *LAYOUTS)


def of_net(layout: Layout, model: Headed) -> Layout:
    """The form of a layout that a net's checkpoints have, where it depends on the net."""
    return of_edsr(of_detector(layout, model), model)


def layout_of(model: Headed, variables: Mapping[str, Any] | None = None) -> Layout:
    """The layout that checkpoints of a net of this kind are written in.

    It is that of the code base which has the net. For heads that no layout lists in its `nets`,
    the backbone is named as that code base names it, under `backbone.`, and all else by its path.
    Given the net's canonical `variables`, it is `PATHS` if such a layout lacks names for some.
    """
    layout = _usual(model)
    if variables is None or names_all(layout, variables):
        return layout
    return PATHS


def names_all(layout: Layout, variables: Mapping[str, Any]) -> bool:
    """Whether each leaf of canonical variables has a name of its own in a layout."""
    paths = paths_of(variables)
    try:
        return len({layout.torch_name(path[1:]) for path in paths}) == len(paths)
    except ValueError:
        return False


def paths_of(variables: Mapping[str, Any]) -> list[Path]:
    """The paths of all leaves, collections included: `("params", "backbone", "stem", ...)`."""
    paths: list[Path] = []
    for key, value in variables.items():
        inner = paths_of(value) if isinstance(value, Mapping) else [()]
        paths += [(key, *path) for path in inner]
    return paths


def _usual(model: Headed) -> Layout:
    backbone = backbone_of(model)
    if not isinstance(backbone, ResNet):
        return PATHS
    base = _of_backbone(backbone)
    if isinstance(model, Classifier):
        return base
    for layout in LAYOUTS:
        if isinstance(model, layout.nets) and layout.base in (None, base):
            return layout
    name = f"{base.name} under backbone."
    return composed(name, base, "backbone.", {}, is_open=True)


def _of_backbone(backbone: ResNet) -> Layout:
    convs = backbone.stem(parent=None).convs
    if isinstance(convs[0].kernel, tuple) and len(convs[0].kernel) == 3:
        # R3D-RS has three convolutions in its stem, and no torch code base.
        return {1: VIDEO, 2: VIDEO_FACTORED}.get(len(convs), PATHS)
    if len(backbone.depths) == 3:
        return CIFAR
    if backbone.preactivation:
        return TIMM_V2
    pooled = getattr(backbone.shortcut(parent=None), "pool", False)
    return TIMM if len(convs) > 1 or pooled else TORCHVISION
