"""Checkpoints of self-supervised methods, trainers and Caffe2, by the names that they have."""

import pickle

import jax
import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.features import feature_pyramid
from jresnet.models.headed import with_backbone
from jresnet.weights import files
from jresnet.weights.caffe2 import VARIANCE, in_detectron2_names
from jresnet.weights.classifiers import CHILDREN, CHILDREN_WITHOUT_POOL, DETECTRON2, TORCHVISION
from jresnet.weights.convert import from_torch, to_torch
from jresnet.weights.layouts import LAYOUTS, recognise
from jresnet.weights.nets import find_net, load_net
from jresnet.weights.prefixes import WRAPPERS
from jresnet.weights.wrappers import unwrapped
from tests.nets import apply, normal, random_variables
from tests.weights.torch_files import pickled, tensors, torch_zip

NET = zoo.resnet18(5, widths=(8, 8, 16, 16))
VARIABLES = random_variables(NET, (32, 32, 3))
STATE = to_torch(VARIABLES, NET)
BODY = {name: value for name, value in STATE.items() if not name.startswith("fc.")}
SEQUENTIAL = {
    name: value for name, value in to_torch(VARIABLES, NET, CHILDREN).items() if name[0] != "9"
}
NOTHING = np.zeros(3, np.float32)


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def projector(prefix, layers=(0, 2)):
    """The layers of a contrastive head: linear ones, and a norm's statistics."""
    return {f"{prefix}{n}.weight": np.zeros((4, 4), np.float32) for n in layers} | {
        f"{prefix}1.running_mean": NOTHING
    }


# Names as each code base saves them: the net, and all that its loss and its twin leave beside it.
PUBLISHED = {
    "MoCo v1": under("module.encoder_q.", BODY | {"fc.weight": np.zeros((128, 16))})
    | under("module.encoder_k.", BODY) | {"module.queue": NOTHING, "module.queue_ptr": NOTHING},
    "MoCo v2": under("module.encoder_q.", BODY | projector("fc."))
    | under("module.encoder_k.", BODY | projector("fc.")) | {"module.queue": NOTHING},
    "MoCo v3": under("module.base_encoder.", BODY | projector("fc.", (0, 3)))
    | under("module.momentum_encoder.", BODY) | projector("module.predictor."),
    "DINO backbone": BODY,
    "DINO teacher": under("backbone.", BODY) | projector("head.mlp.")
    | {"head.last_layer.weight_g": NOTHING},
    "DINO student": under("module.backbone.", BODY) | projector("module.head.mlp."),
    "SimCLR, sthalles": under("backbone.", BODY | projector("fc.")),
    "SimCLR, Spijkervet": under("encoder.", BODY) | projector("projector."),
    "SimCLR, Lightning Bolts": under("encoder.", BODY) | projector("projection.model."),
    "SimCLR, lightly": under("backbone.", SEQUENTIAL) | projector("projection_head.layers."),
    "SimSiam": under("module.encoder.", BODY | projector("fc.", (0, 3, 6)))
    | projector("module.predictor."),
    "Barlow Twins": under("module.backbone.", BODY) | projector("module.projector.")
    | {"module.bn.running_mean": NOTHING},
    "VICReg": under("module.backbone.", BODY) | projector("module.projector."),
    "SwAV": under("module.", BODY | projector("projection_head."))
    | {"module.prototypes.weight": np.zeros((9, 4))},
    "solo-learn": under("backbone.", BODY) | under("momentum_backbone.", BODY)
    | projector("projector."),
    "Lightning's tutorials": under("feature_extractor.", SEQUENTIAL)
    | {"classifier.weight": NOTHING},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_backbone_of_a_self_supervised_net(name):
    taken = unwrapped(PUBLISHED[name])
    body, head, layout = BODY, "fc.", TORCHVISION
    if recognise(taken) != layout:
        body, head, layout = SEQUENTIAL, "9.", CHILDREN
    assert recognise(taken) == layout
    for entry, value in body.items():
        np.testing.assert_array_equal(taken[entry], value)
    # Layers in the place of a head are passed over by `new_head=True`.
    assert all(entry.startswith(head) for entry in taken.keys() - body.keys())


@pytest.mark.parametrize("name", ["SwAV", "SimCLR, lightly", "SimCLR, sthalles"])
def test_they_fill_a_backbone(name):
    pyramid = feature_pyramid(NET)
    variables = from_torch(PUBLISHED[name], pyramid, new_head=True)
    for kind, tree in variables.items():
        jax.tree.map(np.testing.assert_array_equal, tree["backbone"], VARIABLES[kind]["backbone"])


def test_children_without_a_pool_are_one_place_earlier():
    net = feature_pyramid(with_backbone(NET, stem=zoo.SMALL_STEM))
    variables = random_variables(net, (32, 32, 3))
    state = under("f.", to_torch(variables, net, CHILDREN_WITHOUT_POOL)) | projector("g.")
    assert {"f.0.weight", "f.3.0.conv1.weight", "f.6.1.bn2.running_var"} < set(state)
    back = from_torch(state, net, new_head=True)
    jax.tree.map(
        np.testing.assert_array_equal, back["params"]["backbone"], variables["params"]["backbone"]
    )


@pytest.mark.parametrize(
    ("taken", "twins"),
    [("teacher.backbone.", ("student.backbone.",)),
     ("teacher_backbone.", ("student_backbone.",)),
     ("online_encoder.net.", ("net.", "target_encoder.net.")),
     ("learner.online_encoder.net.", ("learner.net.", "learner.target_encoder.net.")),
     ("ema_model.", ("model.",)), ("ema_model.module.", ("online_model.module.",)),
     ("ema.module.", ("model.",))],
)  # fmt: skip
def test_of_a_net_and_its_twin_one_is_taken_by_the_table(taken, twins, caplog):
    state = under(taken, BODY)
    for twin in twins:
        state |= under(twin, {name: value + 1 for name, value in BODY.items()})
    net = unwrapped(state)
    assert net.keys() == BODY.keys()
    assert all(np.array_equal(net[name], BODY[name]) for name in BODY)
    told = "".join(f", not {twin}*" for twin in twins)
    assert f"the checkpoint's {taken}* is taken{told};" in caplog.text


def test_two_nets_are_told_and_none_is_guessed():
    state = under("encoder.", BODY) | under("body.", BODY)
    with pytest.raises(ValueError, match=r"body\.\* and encoder\.\*: expected one"):
        unwrapped(state)


@pytest.mark.parametrize(
    ("backbone", "head"),
    [("backbone.", "head.fc."), ("feature_extractor.", "classifier."),
     ("model.backbone.", "model.head.fc.")],
)  # fmt: skip
@pytest.mark.parametrize("body", [BODY, SEQUENTIAL])
def test_a_head_beside_a_backbone(backbone, head, body):
    """mmpretrain's classifiers, and those of Lightning's tutorials."""
    beside = {f"{head}{leaf}": STATE[f"fc.{leaf}"] for leaf in ("weight", "bias")}
    back = from_torch(under(backbone, body) | beside, NET)
    jax.tree.map(np.testing.assert_array_equal, back, VARIABLES)


def test_a_trunk_of_vissl(tmp_path):
    state, storages = tensors(under("_feature_blocks.", BODY))
    content = {"classy_state_dict": {"base_model": {"model": {"trunk": state, "heads": {}}}}}
    path = torch_zip(tmp_path / "moco.torch.pth", content, [(k, v.tobytes()) for k, v in storages])
    assert unwrapped(files.load(path)).keys() == BODY.keys()


def test_a_head_of_one_s_own_keeps_its_projector():
    """Layers of that name are only left out of nets without any head."""
    state = STATE | {"projector.weight": NOTHING}
    assert "projector.weight" in unwrapped(state)
    assert "projector.weight" not in unwrapped(BODY | {"projector.weight": NOTHING})


def test_no_prefix_is_listed_twice():
    names = [wrapper.name for wrapper in WRAPPERS]
    assert len(set(names)) == len(names)
    assert CHILDREN in LAYOUTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"student": "old", "teacher": "net", "epoch": 3}, "its 'teacher', as DINO does"),
        ({"state_dict": "old", "state_dict_ema": "net", "arch": "resnet18"}, "as timm does"),
        ({"params": "old", "params_ema": "net"}, "its 'params_ema', as BasicSR does"),
        ({"params_ema": "net"}, "its 'params_ema', as BasicSR does"),
        ({"net_g": "net", "net_d": "old"}, ""),
        ({"model": "net", "teacher": "old"}, ""),
        ({"state_dict": "net", "hyper_parameters": {"rate": 0.1}, "callbacks": {}}, ""),
        # arcface_torch's checkpoint_gpu_0.pt, the class matrix in the place of the old net.
        (
            {
                "epoch": 1,
                "global_step": 9,
                "state_dict_backbone": "net",
                "state_dict_softmax_fc": "old",
                "state_optimizer": {"state": {}},
                "state_lr_scheduler": {"last_epoch": 9},
            },
            "",
        ),
    ],
)
def test_trainers_files(content, message, tmp_path, caplog):
    state, storages = tensors(under("model.", STATE) | {"old.weight": NOTHING})
    old = {"conv1.weight": state.pop("old.weight")}
    parts = {"old": old, "net": state}
    filled = {k: parts.get(v, v) if isinstance(v, str) else v for k, v in content.items()}
    path = torch_zip(tmp_path / "last.ckpt", filled, [(k, v.tobytes()) for k, v in storages])
    back = from_torch(files.load(path), NET)
    jax.tree.map(np.testing.assert_array_equal, back, VARIABLES)
    assert (message in caplog.text) if message else not caplog.text


def caffe2():
    """R-50.pkl's names: norms with a scale and a bias alone, and a first convolution with a bias."""
    state, short = {}, {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b"}
    for name, value in to_torch(VARIABLES, NET, DETECTRON2).items():
        layer, _, leaf = name.rpartition(".")
        if leaf.startswith("running_"):
            continue
        kind = {"weight": "w", "bias": "b"}[leaf]
        if layer.endswith(".norm"):
            layer, kind = layer.removesuffix(".norm"), "bn_" + kind.replace("w", "s")
        if layer.startswith("stem"):
            first = "res_conv1" if kind.startswith("bn") else "conv1"
            state[f"{'fc1000' if layer == 'stem.fc' else first}_{kind}"] = value
        else:
            stage, block, conv = layer.split(".")
            state[f"{stage}_{block}_{short[conv]}_{kind}"] = value
    return state | {"conv1_w_momentum": NOTHING}


def test_detectron2_s_pickle_of_caffe2_names(tmp_path):
    bias = np.linspace(-1, 1, 64).astype(np.float32)
    state = caffe2() | {"conv1_b": bias}
    path = tmp_path / "R-18.pkl"
    path.write_bytes(pickle.dumps({"blobs": state}, 2))
    variables = from_torch(files.load(path), NET)
    names = in_detectron2_names(state)
    assert names["res3.0.shortcut.norm.running_var"][0] == np.float32(VARIANCE)
    # A norm is the scale and the bias of the file, to the rounding of sqrt(1 - epsilon + epsilon).
    x = normal(2, 32, 32, 3)
    stem = {kind: tree["backbone"]["stem"] for kind, tree in variables.items()}
    kernel = {"params": {"conv": stem["params"]["conv"]}}
    module = NET.backbone.stem(pool=None)
    plain = NET.backbone.stem(pool=None, steps=())
    y = np.asarray(apply(plain, kernel, x, train=False)) + bias
    scale, shift = state["res_conv1_bn_s"], state["res_conv1_bn_b"]
    np.testing.assert_allclose(
        apply(module, stem, x, train=False), np.maximum(y * scale + shift, 0), atol=2e-4
    )
    head = variables["params"]["head"]["kernel"]
    np.testing.assert_array_equal(head, VARIABLES["params"]["head"]["kernel"])


def test_detectron2_s_own_pickle(tmp_path):
    """`{"model": ..., "__author__": ...}` with numpy arrays, as its converters write it."""
    body = {n: v for n, v in to_torch(VARIABLES, NET, DETECTRON2).items() if "fc" not in n}
    path = tmp_path / "R-18.pkl"
    content = {"model": body, "__author__": "torchvision", "matching_heuristics": True}
    path.write_bytes(pickled(content))
    back = from_torch(files.load(path), feature_pyramid(NET), new_head=True)
    jax.tree.map(
        np.testing.assert_array_equal, back["params"]["backbone"], VARIABLES["params"]["backbone"]
    )


def test_a_headless_file_is_refused_where_classes_are_needed(tmp_path):
    net = zoo.cifar_resnet(8)
    state = to_torch(random_variables(net, (32, 32, 3)), net, TORCHVISION)
    body = {name: value for name, value in state.items() if not name.startswith("fc.")}
    path = tmp_path / "swav.safetensors"
    files.save(under("module.", body | projector("projection_head.")), path)
    with pytest.raises(UsageError, match=r"has no head, fc\.weight"):
        load_net(find_net("cifar_resnet"), {"depth": 8, "shortcut": "B"}, path)
