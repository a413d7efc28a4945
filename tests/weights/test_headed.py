"""Checkpoints of nets with other heads than a classifier's: declared layouts, and none declared.

Names and shapes are those of torchvision, segmentation_models.pytorch, insightface, MedicalNet and
BasicSR; the golden files hold what these code bases compute.
"""

import functools

import jax
import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.frames import Frames
from jresnet.models.headed import with_backbone
from jresnet.models.heads import Classifier
from jresnet.models.layers import PReLU
from jresnet.models.part import part
from jresnet.models.resnet import Stem, StemConv
from jresnet.weights import files, layouts
from jresnet.weights.classifiers import TORCHVISION
from jresnet.weights.convert import WeightsError, from_torch, to_torch
from jresnet.weights.fold import fold
from jresnet.weights.forms import TRANSPOSED, flattened
from jresnet.weights.layout import composed, look_up
from jresnet.weights.layouts import layout_of
from jresnet.weights.maps import MEDICALNET, SMP_UNET
from jresnet.weights.nets import Net, load_net
from tests.models.headed_nets import (
    NETS,
    Face,
    Fcn,
    Upscaler,
    backbone,
    face_backbone,
    upscaling_backbone,
)
from tests.models.tiny_detectors import tiny
from tests.nets import apply, normal, random_variables
from tests.train.test_checkpoint import save
from tests.train.test_checkpoint import state as checkpointed
from tests.weights.test_parity import channels_first, channels_last, relative, tools  # noqa: F401

FCN = composed(
    "torchvision FCN",
    TORCHVISION,
    "backbone.",
    {
        "classifier/unit/conv": "classifier.0",
        "classifier/unit/norm": "classifier.1",
        "classifier/logits": "classifier.4",
        "aux_classifier/unit/conv": "aux_classifier.0",
        "aux_classifier/unit/norm": "aux_classifier.1",
        "aux_classifier/logits": "aux_classifier.4",
    },
    marks=(r"classifier\.4\.weight",),
    classes="classifier/logits/kernel",
    nets=(Fcn,),
)
FACES = composed(
    "insightface",
    TORCHVISION,
    "",
    {
        "backbone/stem/act": "prelu",
        "backbone/stage{s}/block{b}/act1": "layer{s}.{b-1}.prelu",
        "backbone/norm": "bn2",
        "embedding": ("fc", flattened(7, 7)),
        "features": "features",
    },
    nets=(Face,),
)
BASIC_SR = composed(
    "BasicSR",
    TORCHVISION,
    "",
    {
        "backbone/stem/conv": "conv_first",
        "backbone/stage1/block{n}/conv{k}": "body.{n-1}.conv{k}",
        "last": "conv_last",
    },
    nets=(Upscaler,),
    ignored=(r"(upconv\d|conv_hr)\..*",),
)
DECLARED = {
    "two outputs": FCN,
    "decoder": SMP_UNET,
    "scanned decoder": SMP_UNET,
    "volumes": MEDICALNET,
    "without norms": BASIC_SR,
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("declared", [False, True])
def test_the_round_trip_is_the_identity_to_the_bit(name, declared):
    net, image = NETS[name]
    if declared and name not in DECLARED:
        pytest.skip("its declared layout is for maps of another size")
    layout = DECLARED[name] if declared else None
    variables = random_variables(net, image)
    state = to_torch(variables, net, layout)
    assert len(state) == len(to_torch(variables, with_backbone(net, scan=False), layout))
    wrapped = {f"module.{key}": value for key, value in state.items()}
    for names in (state, wrapped):
        back = from_torch(names, net, layout, image=image)
        assert jax.tree.structure(back) == jax.tree.structure(variables)
        jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_a_net_of_one_s_own_has_the_backbone_s_names_and_its_paths():
    net, image = NETS["two outputs"]
    state = to_torch(random_variables(net, image), net)
    assert state["backbone.bn1.running_mean"].shape == (8,)
    assert state["backbone.layer2.0.downsample.0.weight"].shape == (16, 8, 1, 1)
    assert state["classifier.unit.conv.weight"].shape == (4, 16, 3, 3)
    assert state["aux_classifier.logits.bias"].shape == (5,)
    # A classifier takes the backbone out of it, as out of any detector.
    classifier = Classifier(net.backbone, 7)
    taken = from_torch(state, classifier, new_head=True)
    assert taken["params"]["head"]["kernel"].shape == (16, 7)
    original = from_torch(state, net)["params"]["backbone"]
    jax.tree.map(np.testing.assert_array_equal, taken["params"]["backbone"], original)


def test_names_that_no_code_base_has_are_paths():
    net, image = NETS["parametric activation"]
    state = to_torch(random_variables(net, image), net)
    assert state["backbone.layer2.1.act1.weight"].shape == (16,)
    assert state["backbone.stem.act.weight"].shape == (8,)
    shared = Classifier(backbone(act=part(PReLU, shared=True)), 3)
    variables = random_variables(shared, (16, 16, 3))
    assert layout_of(shared, variables).name == "jresnet"
    state = to_torch(variables, shared)
    assert state["backbone.stage1.block2.act1.weight"].shape == (1,)  # as torch.nn.PReLU() has it
    jax.tree.map(np.testing.assert_array_equal, from_torch(state, shared), variables)


def test_the_backbone_of_a_classifier_under_a_new_head():
    source = Classifier(backbone(), 3)
    variables = random_variables(source, (16, 16, 3))
    state = {key: value for key, value in to_torch(variables, source, TORCHVISION).items()}
    net, _ = NETS["decoder"]
    alone = r"has the backbone alone of this UNet: expected new_head=True, or --weights of "
    with pytest.raises(WeightsError, match=f"{alone}experiments.segment$"):
        from_torch(state, net)
    loaded = from_torch(state, net, new_head=True)
    for kind, tree in variables.items():
        jax.tree.map(np.testing.assert_array_equal, loaded[kind]["backbone"], tree["backbone"])
    assert loaded["params"]["head"]["level1_1"]["conv"]["kernel"].std() > 0.01
    clips = Classifier(Frames(backbone()), 3)
    jax.tree.map(np.testing.assert_array_equal, from_torch(state, clips, TORCHVISION), variables)


@pytest.mark.parametrize(
    ("net", "image", "experiment"),
    [(*NETS["volumes"], "volumes"), (tiny("mask"), (64, 64, 3), "detect")],
    ids=["volumes", "detect"],
)
def test_a_file_of_the_backbone_alone_is_refused_in_words(net, image, experiment, tmp_path):
    """MedicalNet publishes nets without `conv_seg`."""
    source = Classifier(net.backbone, 3)
    variables = random_variables(source, image)
    state = to_torch(variables, source, TORCHVISION)
    body = {name: value for name, value in state.items() if not name.startswith("fc.")}
    files.save({f"module.{name}": value for name, value in body.items()}, tmp_path / "net.npz")
    named = Net("net", lambda: net, image)
    with pytest.raises(UsageError) as error:
        load_net(named, {}, tmp_path / "net.npz")
    assert str(error.value).endswith(
        f"has the backbone alone of this {type(net).__name__}: expected new_head=True, or "
        f"--weights of experiments.{experiment}"
    )
    body["layer1.0.conv1.weight"] = np.zeros((1, 1), np.float32)
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight \(1, 1\) where the net has"):
        from_torch(body, net)


@pytest.mark.parametrize("kind", ["unet", "deeplabv3plus"])
def test_a_classifier_beside_smp_s_decoder_is_left_out_and_told(kind, caplog):
    """`aux_params` of segmentation_models_pytorch: pool, flatten, dropout, linear."""
    narrow = zoo.resnet18(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8))
    net = getattr(zoo, kind)(narrow, 2)
    variables = random_variables(net, (64, 64, 3))
    state = to_torch(variables, net)
    beside = {
        f"classification_head.3.{leaf}": np.zeros(4, np.float32) for leaf in ("weight", "bias")
    }
    jax.tree.map(np.testing.assert_array_equal, from_torch(state | beside, net), variables)
    (line,) = caplog.messages
    assert line == (
        "the checkpoint's classification_head.3.weight, classification_head.3.bias left out: "
        "no net here has such layers"
    )


def test_classes_of_another_number_are_a_new_head():
    net, image = NETS["two outputs"]
    state = to_torch(random_variables(net, image), net, FCN)
    other = net.clone(num_classes=2)
    with pytest.raises(
        WeightsError, match=r"classifier\.4\.weight \(5, 4, 1, 1\) where the net has "
    ):
        from_torch(state, other, FCN)
    loaded = from_torch(state, other, FCN, new_head=True)
    assert loaded["params"]["classifier"]["logits"]["kernel"].shape == (1, 1, 4, 2)


def test_a_table_fills_in_numbers():
    table = {
        "fpn/inner{n}": "backbone.fpn.inner_blocks.{n-1}.0",
        "rpn/conv/kernel": "rpn.head.conv.0.0.weight",
        "mask/block{s}/conv{s}": "mask.{s+1}",
    }
    assert look_up(table, ("fpn", "inner3")) == ("backbone.fpn.inner_blocks.2.0", None)
    assert look_up(table, ("rpn", "conv", "kernel")) == ("rpn.head.conv.0.0.weight", None)
    assert look_up(table, ("mask", "block2", "conv7")) == ("mask.3", None)
    assert look_up(table, ("fpn", "inner")) is None


def test_a_transposed_convolution_is_torch_s():
    """By torch's definition, every input spreads its kernel over the output."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 3, 2))
    expected = np.zeros((5, 3 * 2 + 1, 4 * 2))
    for i, row, column in np.ndindex(x.shape):
        expected[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 2] += (
            x[i, row, column] * kernel[i]
        )
    from flax import linen as nn

    layer = nn.ConvTranspose(5, (3, 2), (2, 2), padding="VALID", use_bias=False)
    ours = TRANSPOSED.ours(kernel, (3, 2, 2, 5))
    y = layer.apply({"params": {"kernel": ours}}, np.moveaxis(x, 0, -1)[None])
    np.testing.assert_allclose(np.moveaxis(y[0], -1, 0), expected, atol=1e-5)
    np.testing.assert_array_equal(TRANSPOSED.theirs(ours), kernel)


def test_a_flattened_map_has_its_channels_first_in_torch():
    rng = np.random.default_rng(0)
    features, weight = rng.normal(size=(4, 2, 3)), rng.normal(size=(5, 24))
    form = flattened(2, 3)
    ours = form.ours(weight, (24, 5))
    np.testing.assert_allclose(
        np.moveaxis(features, 0, -1).reshape(-1) @ ours, weight @ features.reshape(-1)
    )
    np.testing.assert_array_equal(form.theirs(ours), weight)


@pytest.mark.parametrize("name", NETS)
def test_a_folded_net_computes_the_same(name):
    net, image = NETS[name]
    variables = random_variables(net, image)
    folded, folded_variables = fold(net, variables)
    x = normal(2, *image)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(
            one, other, rtol=0, atol=1e-4 * np.abs(one).max()
        ),
        apply(net, variables, x, train=False),
        apply(folded, folded_variables, x, train=False),
    )
    assert "backbone" not in folded_variables.get("batch_stats", {})
    beside = {k for k in variables.get("batch_stats", {}) if k != "backbone"}
    assert set(folded_variables.get("batch_stats", {})) == beside


@pytest.mark.parametrize("name", ["two outputs", "scanned decoder", "without norms"])
def test_a_run_and_a_file_of_any_head(name, tmp_path):
    net, image = NETS[name]
    save(tmp_path / "checkpoints", 1, net=net)
    named = Net("own", lambda: net, image)
    loaded = load_net(named, {}, tmp_path)
    assert (loaded.model, loaded.channels) == (net, 3)
    expected = dict(checkpointed(1, net).average)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, expected)
    with pytest.raises(UsageError, match=f"net={type(net).__name__}: expected a Classifier"):
        loaded.classifier.num_classes  # noqa: B018
    files.save(to_torch(loaded.variables, net, loaded.layout), tmp_path / "net.npz")
    again = load_net(named, {}, tmp_path / "net.npz")
    jax.tree.map(np.testing.assert_array_equal, again.variables, expected)
    assert again.layout.name == loaded.layout.name
    other = NETS["decoder"]
    with pytest.raises(UsageError, match="the run trained another net: "):
        load_net(Net("other", lambda: other[0], other[1]), {}, tmp_path)


@pytest.mark.parametrize("auxiliary", [True, False])
def test_a_file_without_the_auxiliary_head_is_of_a_net_without(auxiliary, tmp_path):
    narrow = zoo.resnet18(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8))

    def build(num_classes=21, auxiliary=True):
        return zoo.fcn(narrow, num_classes, auxiliary=auxiliary)

    net = build(4, auxiliary)
    variables = random_variables(net, (32, 32, 3))
    files.save(to_torch(variables, net), tmp_path / "net.npz")
    named = Net("narrow", build, (32, 32, 3))
    loaded = load_net(named, {}, tmp_path / "net.npz")
    assert loaded.model == net
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    with pytest.raises(UsageError, match="aux_classifier"):
        load_net(named, {"auxiliary": not auxiliary}, tmp_path / "net.npz")


def test_the_number_of_classes_is_read_where_the_layout_tells_it(tmp_path, monkeypatch):
    net, image = NETS["two outputs"]
    state = to_torch(random_variables(net, image), net, FCN)
    files.save(state, tmp_path / "net.npz")
    monkeypatch.setattr(layouts, "LAYOUTS", (FCN, *layouts.LAYOUTS))
    build = functools.partial(Fcn, backbone())
    named = Net("fcn", lambda num_classes=21: build(num_classes), image)
    loaded = load_net(named, {}, tmp_path / "net.npz")
    assert loaded.model.num_classes == 5
    assert loaded.layout is FCN
    with pytest.raises(UsageError, match=r"num_classes 7: the head of .* has 5"):
        load_net(named, {"num_classes": 7}, tmp_path / "net.npz")
    del state["classifier.4.weight"]
    state["aux_classifier.0.weight"] = state["aux_classifier.0.weight"][:1]
    files.save(state, tmp_path / "broken.npz")
    with pytest.raises(UsageError):
        load_net(named, {"num_classes": 5}, tmp_path / "broken.npz")


def golden_state(golden, tools, name):  # noqa: F811
    gold = tools.load_golden(golden / f"{name}.npz")
    return gold, tools.make_state_dict(gold["manifest"])


@pytest.mark.slow
def test_a_face_net_gives_the_numbers_of_insightface(golden, tools):  # noqa: F811
    gold, state = golden_state(golden, tools, "iresnet18")
    net = Face(face_backbone(2, 2, 2, 2))
    x = channels_last(tools.make_input(gold["meta"]["input"]))
    variables = from_torch(state, net, FACES, image=(112, 112, 3))
    assert relative(apply(net, variables, x, train=False), gold["embedding"]) < 1e-3
    again = to_torch(variables, net, FACES)
    assert all(np.array_equal(again[name], state[name]) for name in again)


def test_super_resolution_bodies_of_basicsr(golden, tools):  # noqa: F811
    _, state = golden_state(golden, tools, "msrresnet_x4")
    body = upscaling_backbone(16)
    stem = part(Stem, convs=(StemConv(64, 3, 1),), pool=None, steps=("act",))
    net = Upscaler(body.clone(widths=(64,), stem=stem))
    variables = from_torch(state, net, BASIC_SR, image=(8, 8, 3))
    np.testing.assert_array_equal(
        variables["params"]["backbone"]["stage1"]["block16"]["conv2"]["bias"],
        state["body.15.conv2.bias"],
    )
