"""What torch code bases call the parts of a residual network.

A layout turns the path of a parameter here, `backbone/stage2/block1/conv3/kernel`, into its name
there, `layer2.0.conv3.weight`. Only this direction is written: the names that a net expects are
those of its own parameters, so a checkpoint is checked against them both ways.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable

from jresnet.models.heads import Classifier

Path = tuple[str, ...]

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
STATISTICS = {"mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """`owner` names the layer of a path without its leaf; `recognise` are names only it has."""

    name: str
    owner: Callable[[Path], str]
    recognise: re.Pattern[str]
    head_is_convolution: bool = False

    def torch_name(self, path: Path) -> str:
        """The state-dict entry of one leaf; raises ValueError if the layout has no place for it."""
        *owner, leaf = path
        kind = LEAVES.get(leaf) or STATISTICS.get(leaf)
        if kind is None:
            raise ValueError(f"layout {self.name} has no name for {'/'.join(path)}")
        return f"{self.owner(tuple(owner))}.{kind}"


def _number(name: str) -> int:
    """The number at the end: `block3` is 3; 1 if there is none."""
    found = re.search(r"\d+$", name)
    return int(found.group()) if found else 1


def _classic(path: Path, head: str = "fc") -> str:
    """torchvision's `resnet.py`, which timm's and most CIFAR code follow."""
    if path == ("head",):
        return head
    if path == ("backbone", "norm"):
        return "norm"  # the closing norm of a pre-activation net
    _, stage, *rest = path
    if stage == "stem":
        return {"conv": "conv1", "norm": "bn1"}[rest[0]]
    block, *layer = rest
    return f"layer{_number(stage)}.{_number(block) - 1}.{_classic_layer(tuple(layer))}"


def _classic_layer(layer: Path) -> str:
    match layer:
        case ("shortcut", "conv"):
            return "downsample.0"
        case ("shortcut", "norm"):
            return "downsample.1"
        case (name,):
            return name.replace("norm", "bn")
    raise ValueError(f"no torch name for {'/'.join(layer)}")


def _timm(path: Path) -> str:
    """timm's `resnet.py` where it differs: deep stems, average-pooled projections, gates."""
    match path:
        case ("backbone", "stem", name) if name[-1].isdigit():
            # conv1 is a Sequential of conv, norm, act; the norm of its last conv is bn1. A fourth
            # convolution (ResNet-RS) stands where the pool was.
            index = 3 * (_number(name) - 1)
            if index == 9:
                return "maxpool.0" if name.startswith("conv") else "maxpool.1"
            if name.startswith("conv"):
                return f"conv1.{index}"
            return f"conv1.{index + 1}" if index < 6 else "bn1"
        case ("backbone", stage, block, "shortcut", kind):
            position = {"conv": 1, "norm": 2}[kind]  # behind the pool, or an identity in its place
            return f"layer{_number(stage)}.{_number(block) - 1}.downsample.{position}"
    return _gated(path)


def _gated(path: Path) -> str:
    match path:
        case ("backbone", stage, block, "gate", layer):
            names = {"squeeze": "se.fc1", "excite": "se.fc2", "conv": "se.conv"}
            return f"layer{_number(stage)}.{_number(block) - 1}.{names[layer]}"
    return _classic(path)


def _timm_v2(path: Path) -> str:
    """timm's `resnetv2.py`: pre-activation."""
    match path:
        case ("head",):
            return "head.fc"
        case ("backbone", "norm"):
            return "norm"
        case ("backbone", "stem", *layer):
            return f"stem.{layer[0]}"
        case ("backbone", stage, block, *layer):
            inner = ".".join(layer).replace("shortcut", "downsample")
            return f"stages.{_number(stage) - 1}.blocks.{_number(block) - 1}.{inner}"
    raise ValueError(f"no torch name for {'/'.join(path)}")


def _video(path: Path) -> str:
    """torchvision's `video/resnet.py`: each convolution a Sequential with its norm."""
    match path:
        case ("backbone", "stem", name):
            index = 3 * (_number(name) - 1) + (0 if name.startswith("conv") else 1)
            return f"stem.{index}"
        case ("backbone", stage, block, name) if name != "shortcut":
            position = 0 if name.startswith("conv") else 1
            prefix = f"layer{_number(stage)}.{_number(block) - 1}"
            return f"{prefix}.conv{_number(name)}.{position}"
    return _classic(path)


def _video_factored(path: Path) -> str:
    """R(2+1)D: `convN` is a Sequential of a spatial conv, norm, act and temporal conv, its own
    norm beside it."""
    match path:
        case ("backbone", _, block, name) if block.startswith("block"):
            pair, temporal = divmod(_number(name) - 1, 2)
            conv = name.startswith("conv")
            inner = ("1" if temporal else "0.1") if not conv else ("0.3" if temporal else "0.0")
            stage = f"layer{_number(path[1])}.{_number(block) - 1}"
            return f"{stage}.conv{pair + 1}.{inner}"
    return _video(path)


def _cifar(path: Path) -> str:
    """The CIFAR nets of akamaster/pytorch_resnet_cifar10."""
    return _classic(path, head="linear").replace("downsample", "shortcut")


TORCHVISION = Layout(
    "torchvision", _gated, re.compile(r"^layer1\.0\.bn1\.weight$|^layer1\.0\.conv1\.weight$")
)
TIMM = Layout("timm", _timm, re.compile(r"^conv1\.0\.weight$|^layer1\.0\.downsample\.2\.weight$"))
TIMM_V2 = Layout(
    "timm v2", _timm_v2, re.compile(r"^stages\.0\.blocks\.0\."), head_is_convolution=True
)
VIDEO = Layout("torchvision video", _video, re.compile(r"^layer1\.0\.conv1\.0\.weight$"))
VIDEO_FACTORED = Layout(
    "torchvision video R(2+1)D", _video_factored, re.compile(r"^layer1\.0\.conv1\.0\.0\.weight$")
)
CIFAR = Layout("cifar", _cifar, re.compile(r"^linear\.weight$"))

# The more particular first: a video net has torchvision's layer names as well.
LAYOUTS = (TIMM_V2, VIDEO_FACTORED, VIDEO, CIFAR, TIMM, TORCHVISION)


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


def recognise(names: Iterable[str]) -> Layout:
    """The layout that a checkpoint's names are in. Raises ValueError if they are in none."""
    known = list(names)
    for layout in LAYOUTS:
        if any(layout.recognise.search(name) for name in known):
            return layout
    raise ValueError(
        f"names such as {', '.join(known[:3]) or '(none)'} are in none of the layouts "
        f"{', '.join(layout.name for layout in LAYOUTS)}"
    )
