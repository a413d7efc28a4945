"""The one table of names around a net: attributes that hold it, keys of scripts, heads of losses.

A checkpoint of a self-supervised method holds more than its net: a second, slowly moving net, the
layers of the loss, counters. These tables say which part is the net.
"""

from typing import NamedTuple


class Wrapper(NamedTuple):
    """An attribute that holds a net, before its names: `encoder_q` of `module.encoder_q.conv1`.

    - name: the attribute.
    - users: code bases that write it.
    - is_contrastive: the net's last layer is made for a contrastive loss, not for classes.
    - over: attributes that hold the same net at another time; of the two this one is taken.
    """

    name: str
    users: str
    is_contrastive: bool = False
    over: tuple[str, ...] = ()


_TRAINED = ("model", "net", "network", "backbone")

# Any number of them may follow each other. Where a checkpoint has two nets under names of this
# table and none is `over` the other, it is refused: nobody else can know which is meant.
WRAPPERS = (
    Wrapper("module", "DataParallel, and most training scripts"),
    Wrapper("_orig_mod", "torch.compile"),
    Wrapper("model", "Lightning, timm's tasks, BYOL-like scripts"),
    Wrapper("net", "Lightning, lucidrains' BYOL"),
    Wrapper("network", "Lightning"),
    Wrapper("backbone", "Barlow Twins, VICReg, DINO, sthalles' SimCLR, lightly, solo-learn"),
    Wrapper("encoder", "SimSiam, Spijkervet's SimCLR, Lightning Bolts"),
    Wrapper("encoder_q", "MoCo v1 and v2; encoder_k is its slow twin", is_contrastive=True),
    Wrapper("base_encoder", "MoCo v3; momentum_encoder is its slow twin", is_contrastive=True),
    Wrapper("net_g", "BasicSR's generator in Lightning; net_d is its judge"),
    Wrapper("feature_extractor", "Lightning's tutorials"),
    Wrapper("f", "leftthomas' SimCLR"),
    Wrapper("student", "DINO"),
    Wrapper("teacher", "DINO", over=("student",)),
    Wrapper("student_backbone", "lightly's DINO"),
    Wrapper("teacher_backbone", "lightly's DINO", over=("student_backbone",)),
    Wrapper("online_encoder", "lucidrains' BYOL", over=("target_encoder", "net")),
    Wrapper("target_encoder", "lucidrains' BYOL"),
    Wrapper("learner", "Lightning, lucidrains' BYOL"),
    Wrapper("online_model", "lucidrains' ema-pytorch"),
    Wrapper("ema_model", "lucidrains' ema-pytorch, own scripts", over=("online_model", *_TRAINED)),
    Wrapper("ema", "timm's ModelEmaV2 in Lightning", over=_TRAINED),
    Wrapper("_forward_module", "Lightning Fabric"),
    Wrapper("_feature_blocks", "VISSL"),
    Wrapper("trunk", "VISSL, open_clip's nets of timm"),
    Wrapper("visual", "open_clip"),
    Wrapper("bottom_up", "detectron2"),
    Wrapper("body", "torchvision's detectors"),
    Wrapper("resnet", "own modules"),
    Wrapper("timm_model", "own modules"),
    Wrapper("base_model", "own modules"),
)
# Parts of names anywhere, also between layers: of torch.compile, FSDP and activation checkpointing.
EVERYWHERE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
CONTRASTIVE = tuple(f"{wrapper.name}." for wrapper in WRAPPERS if wrapper.is_contrastive)

# Layers of self-supervised losses beside the net's own layers, in a net without a head: SwAV's
# projection_head and prototypes, projectors and predictors of others.
LOSS_LAYERS = (
    "projection_head", "prototypes", "projector", "projection", "predictor", "contrastive_head",
    "prediction_head",
)  # fmt: skip

# Names of a linear head beside a wrapped backbone without one.
HEADS = ("head.fc", "classifier")  # mmpretrain's; Lightning's tutorials'

# Keys under which a training script keeps state dicts; `state_dict_backbone` is that of insightface's
# arcface_torch, `checkpoint_gpu_0.pt`, whose class matrix lies beside it. Averages are preferred, and
# a warning tells of it; after the name is the code base that prefers it too.
AVERAGES = {"state_dict_ema": "timm", "model_ema": "timm", "params_ema": "BasicSR"}
KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "net_state_dict",
    "state_dict_backbone", "weights", "params", "net_g", "module", "blobs", "classy_state_dict",
    "base_model", "trunk",
)  # fmt: skip
# Last: a script that keeps its net under one of the keys above may have a teacher of another kind.
TEACHERS = {"teacher": "DINO"}
