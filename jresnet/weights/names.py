"""Names that torch code bases give to the layers of a residual network, from their paths here."""

import re

Path = tuple[str, ...]


def number(name: str) -> int:
    """The number at the end: `block3` is 3; 1 if there is none."""
    digits = re.search(r"\d+$", name)
    return int(digits.group()) if digits else 1


def classic(path: Path, head: str = "fc") -> str:
    """torchvision's `resnet.py`, which timm's and most CIFAR code follow."""
    if path == ("head",):
        return head
    if path == ("backbone", "norm"):
        return "norm"  # the closing norm of a pre-activation net
    owner, stage, *rest = path
    if owner != "backbone":
        raise ValueError(f"no torch name for {'/'.join(path)}")
    if stage == "stem":
        return {"conv": "conv1", "norm": "bn1"}[rest[0]]
    block, *layer = rest
    return f"layer{number(stage)}.{number(block) - 1}.{_classic_layer(tuple(layer))}"


def _classic_layer(layer: Path) -> str:
    match layer:
        case ("shortcut", "conv"):
            return "downsample.0"
        case ("shortcut", "norm"):
            return "downsample.1"
        case (name,):
            return name.replace("norm", "bn")
    raise ValueError(f"no torch name for {'/'.join(layer)}")


def children(path: Path, first: int = 4) -> str:
    """torchvision's layers in a Sequential: 0 and 1 are the stem's, `first` is stage 1.

    2 is the activation, 3 the pool where there is one. After the four stages comes another pool,
    and the head where it was kept.
    """
    match path:
        case ("head",):
            return str(first + 5)
        case ("backbone", "stem", kind):
            return {"conv": "0", "norm": "1"}[kind]
        case ("backbone", stage, *_):
            names = gated(path).split(".", 1)
            if len(names) == 2:  # not a norm beside the blocks
                return f"{number(stage) - 1 + first}.{names[1]}"
    raise ValueError(f"no name for {'/'.join(path)} among the children")


def timm(path: Path) -> str:
    """timm's `resnet.py` where it differs: deep stems, average-pooled projections, gates."""
    match path:
        case ("backbone", "stem", name) if name[-1].isdigit():
            # conv1 is a Sequential of conv, norm, act; the norm of its last conv is bn1. A fourth
            # convolution (ResNet-RS) stands where the pool was.
            index = 3 * (number(name) - 1)
            if index == 9:
                return "maxpool.0" if name.startswith("conv") else "maxpool.1"
            if name.startswith("conv"):
                return f"conv1.{index}"
            return f"conv1.{index + 1}" if index < 6 else "bn1"
        case ("backbone", stage, block, "shortcut", kind):
            position = {"conv": 1, "norm": 2}[kind]  # after the pool, or an identity in its place
            return f"layer{number(stage)}.{number(block) - 1}.downsample.{position}"
    return gated(path)


def gated(path: Path) -> str:
    match path:
        case ("backbone", stage, block, "gate", layer):
            names = {
                "squeeze": "se.fc1",
                "excite": "se.fc2",
                "conv": "se.conv",
                "self_gating": "self_gating",
            }
            return f"layer{number(stage)}.{number(block) - 1}.{names[layer]}"
    return classic(path)


def timm_v2(path: Path) -> str:
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
            return f"stages.{number(stage) - 1}.blocks.{number(block) - 1}.{inner}"
    raise ValueError(f"no torch name for {'/'.join(path)}")


def video(path: Path) -> str:
    """torchvision's `video/resnet.py`: each convolution a Sequential with its norm."""
    match path:
        case ("backbone", "stem", name):
            index = 3 * (number(name) - 1) + (0 if name.startswith("conv") else 1)
            return f"stem.{index}"
        case ("backbone", stage, block, name) if name != "shortcut":
            position = 0 if name.startswith("conv") else 1
            prefix = f"layer{number(stage)}.{number(block) - 1}"
            return f"{prefix}.conv{number(name)}.{position}"
    return classic(path)


def video_factored(path: Path) -> str:
    """R(2+1)D: `convN` is a Sequential of a spatial conv, norm, act and temporal conv, its own
    norm beside it."""
    match path:
        case ("backbone", _, block, name) if block.startswith("block"):
            pair, temporal = divmod(number(name) - 1, 2)
            conv = name.startswith("conv")
            inner = ("1" if temporal else "0.1") if not conv else ("0.3" if temporal else "0.0")
            stage = f"layer{number(path[1])}.{number(block) - 1}"
            return f"{stage}.conv{pair + 1}.{inner}"
    return video(path)


def cifar(path: Path) -> str:
    """The CIFAR nets of akamaster/pytorch_resnet_cifar10."""
    return classic(path, head="linear").replace("downsample", "shortcut")


def weiaicunzai(path: Path) -> str:
    """weiaicunzai/pytorch-cifar100: Sequentials of convolutions, norms and activations."""
    match path:
        case ("backbone", "stem", kind):
            return {"conv": "conv1.0", "norm": "conv1.1"}[kind]
        case ("backbone", stage, block, "shortcut", kind):
            position = {"conv": 0, "norm": 1}[kind]
            return f"conv{number(stage) + 1}_x.{number(block) - 1}.shortcut.{position}"
        case ("backbone", stage, block, name) if name.startswith(("conv", "norm")):
            position = 3 * (number(name) - 1) + name.startswith("norm")
            return f"conv{number(stage) + 1}_x.{number(block) - 1}.residual_function.{position}"
    return classic(path)


def hugging_face(path: Path, body: str = "resnet.") -> str:
    """`ResNetForImageClassification` of transformers; its `ResNetModel` has no `resnet.`."""
    kinds = {"conv": "convolution", "norm": "normalization"}
    match path:
        case ("head",):
            return "classifier.1"
        case ("backbone", "stem", kind):
            return f"{body}embedder.embedder.{kinds[kind]}"
        case ("backbone", stage, block, "shortcut", kind):
            return f"{body}encoder.{_hugging_face_block(stage, block)}.shortcut.{kinds[kind]}"
        case ("backbone", stage, block, name):
            layer = f"layer.{number(name) - 1}.{kinds[name[:4]]}"
            return f"{body}encoder.{_hugging_face_block(stage, block)}.{layer}"
    raise ValueError(f"no torch name for {'/'.join(path)}")


def _hugging_face_block(stage: str, block: str) -> str:
    return f"stages.{number(stage) - 1}.layers.{number(block) - 1}"


def hugging_face_body(path: Path) -> str:
    """transformers' `ResNetModel`, which has no head."""
    return hugging_face(path, body="")


def detectron2(path: Path) -> str:
    """detectron2's backbones; the head has the name that its converter from torchvision gives."""
    match path:
        case ("head",):
            return "stem.fc"
        case ("backbone", "stem", kind):
            return {"conv": "stem.conv1", "norm": "stem.conv1.norm"}[kind]
        case ("backbone", stage, block, "shortcut", kind):
            norm = {"conv": "", "norm": ".norm"}[kind]
            return f"res{number(stage) + 1}.{number(block) - 1}.shortcut{norm}"
        case ("backbone", stage, block, name):
            norm = {"conv": "", "norm": ".norm"}[name[:4]]
            return f"res{number(stage) + 1}.{number(block) - 1}.conv{number(name)}{norm}"
    raise ValueError(f"no torch name for {'/'.join(path)}")
