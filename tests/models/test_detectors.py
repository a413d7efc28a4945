"""Detectors: torchvision's numbers from picture to boxes, any backbone, padding that changes nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jresnet.models import zoo
from jresnet.models.detection.settings import Settings
from jresnet.models.headed import Headed
from jresnet.models.heads.maps import ConvNormAct
from jresnet.models.heads.rcnn import by_image
from jresnet.models.heads.regions import BoxHead
from jresnet.models.layers import BatchNorm, FrozenBatchNorm
from jresnet.models.part import part
from jresnet.models.published import abstract_variables
from jresnet.models.upsample import resize
from jresnet.weights import from_torch, to_torch
from tests.models.tiny_detectors import calm_variables, objects, tiny
from tests.nets import normal
from tests.weights.test_parity import tools  # noqa: F401

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def transformed(picture, side):
    """torchvision's transform: normalised, the shorter side `side`, filled to a multiple of 32."""
    x = (np.moveaxis(picture, 0, -1) - np.float32(MEAN)) / np.float32(DEVIATION)
    factor = side / min(x.shape[:2])
    size = [int(n * factor) for n in x.shape[:2]]
    x = resize(jnp.asarray(x)[None], size)
    filled = [-n % 32 for n in size]
    return jnp.pad(x, ((0, 0), (0, filled[0]), (0, filled[1]), (0, 0))), jnp.asarray([size], float)


def agree(ours, wanted, rtol=1e-3):
    assert np.abs(ours - wanted).max() <= rtol * np.abs(wanted).max()


@pytest.mark.slow
@pytest.mark.parametrize("run", ["img0", "img1", "img0_eps0"])
def test_boxes_are_torchvision_s(golden, tools, run):  # noqa: F811
    gold = tools.load_golden(golden / "fasterrcnn_resnet50_fpn.npz")
    state = tools.make_state_dict(gold["manifest"])
    norm = part(FrozenBatchNorm, epsilon=0.0 if run.endswith("eps0") else 1e-5)
    net = zoo.fasterrcnn_resnet50_fpn(norm=norm)
    variables = from_torch(state, net)
    picture = tools.make_input(gold["meta"]["inputs"][run])
    x, sizes = transformed(picture, gold["meta"]["min_size"])
    assert sizes[0].tolist() == gold.get(f"{run}.image_size", np.asarray([224, 224])).tolist()

    def forward(variables, x, sizes):
        return net.apply(
            variables, x, train=False, sizes=sizes, mutable=["intermediates"],
            capture_intermediates=lambda module, _: module.name in ("fpn", "rpn", "box_head"),
        )  # fmt: skip

    output, captured = jax.device_get(jax.jit(forward)(variables, x, sizes))
    seen = {name: value["__call__"][0] for name, value in captured["intermediates"].items()}

    def same(name, ours):
        picked = gold[f"feat.{run}.{name}.values"]
        assert np.prod(ours.shape) == np.prod(gold[f"feat.{run}.{name}.shape"])
        agree(tools.pick(ours), picked, 2e-3)

    for level, y in enumerate(seen["fpn"]):
        same(f"fpn.{'pool' if level == 4 else level}", np.moveaxis(y, -1, 1))
        grid = y.shape[1:3]
        logits, deltas = (kind[level] for kind in seen["rpn"])
        same(f"rpn.objectness.{level}", np.moveaxis(logits.reshape(1, *grid, 3), -1, 1))
        same(f"rpn.bbox_deltas.{level}", np.moveaxis(deltas.reshape(1, *grid, 12), -1, 1))
    logits, deltas = seen["box_head"]
    if f"{run}.class_logits_first32" in gold:
        agree(logits[:32], gold[f"{run}.class_logits_first32"])
        agree(deltas[:32].reshape(32, -1), gold[f"{run}.box_regression_first32"])

    boxes, scores, classes, valid = (x[0] for x in output.detections[:4])
    assert valid.all()
    scale = np.asarray(picture.shape[1:]) / np.asarray(sizes[0])
    boxes = boxes * np.tile(scale[::-1], 2)
    agree(np.sort(scores), np.sort(gold[f"{run}.scores"]))
    wanted = (gold[f"{run}.{name}"] for name in ("boxes", "scores", "labels"))
    for box, score, label in zip(*wanted, strict=True):
        near = (np.abs(boxes - box).max(1) < 0.05) & (np.abs(scores - score) < 1e-3)
        assert (near & (classes + 1 == label)).any(), (box, score, label)
    back = to_torch(variables, net)
    assert back.keys() == state.keys()
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


BODIES = {
    "resnet50 in bfloat16": (lambda: zoo.resnet50(dtype=jnp.bfloat16), (96, 64), 5),
    "dilated": (lambda: zoo.resnet18(output_stride=8), (64, 64), 3),
    "preactivation": (zoo.resnetv2_50, (64, 64), 5),
    "deep stem, average pools": (zoo.resnet50d, (64, 64), 5),
    "groups": (zoo.resnext101_32x8d, (64, 64), 5),
    "cifar": (lambda: zoo.cifar_resnet(20), (32, 48), 4),
    "scanned": (lambda: zoo.resnet18(scan=True, norm=zoo.FROZEN), (64, 64), 5),
}


QUICK = ("dilated", "cifar", "scanned")  # to trace


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in BODIES],
)
def test_any_backbone_carries_a_detector(name, version):
    build, size, maps = BODIES[name]
    net = zoo.mask_rcnn(build(), 4, version=version, settings=Settings(detections=7))
    assert isinstance(net, Headed)
    shapes = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((2, *size, 3), jnp.float32),
    )
    output, variables = shapes
    kinds = {
        name: (x.shape, x.dtype) for name, x in output.detections._asdict().items() if x is not None
    }
    assert kinds == {
        "boxes": ((2, 7, 4), jnp.float32), "scores": ((2, 7), jnp.float32),
        "classes": ((2, 7), jnp.int32), "valid": ((2, 7), bool),
        "masks": ((2, 7, 28, 28), jnp.float32),
    }  # fmt: skip
    assert sum(name.startswith("inner") for name in variables["params"]["fpn"]) == maps - 1
    leaves = jax.tree.leaves(variables)
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)
    assert not any("shortcut" in path for path in _paths(zoo.plain(net), size))


def _paths(net, size):
    leaves = jax.tree_util.tree_leaves_with_path(abstract_variables(net, (*size, 3)))
    return [jax.tree_util.keystr(path) for path, _ in leaves]


@functools.cache
def trained(kind):
    """A tiny detector's variables, and a compiled function to what its losses need, and detections."""
    net = tiny(kind)

    def run(variables, x, true, key, index, sizes):
        return net.apply(
            variables, x, train=True, objects=true, key=key, index=index, sizes=sizes,
            detections=True, mutable=["batch_stats"],
        )  # fmt: skip

    return calm_variables(net), jax.jit(run)


def test_a_draw_depends_on_the_example_and_not_on_its_batch():
    variables, run = trained("mask")
    x, true = normal(2, 64, 64, 3), objects()
    sizes, key = jnp.full((2, 2), 64.0), jax.random.key(3)
    one, _ = run(variables, x, true, key, jnp.asarray([7, 4]), sizes)
    turned, swapped = jax.tree.map(lambda y: y[::-1], (x, true))
    other, _ = run(variables, turned, swapped, key, jnp.asarray([4, 7]), sizes)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b[::-1], rtol=1e-4, atol=1e-5)
    again, _ = run(variables, x, true, key, jnp.asarray([7, 5]), sizes)
    rows, others = (each.training.anchors.assigned.sample.rows for each in (one, again))
    assert (rows == others).all(1).tolist() == [True, False]


def test_frozen_statistics_stay_while_a_detector_trains():
    variables, run = trained("mask")
    sizes = jnp.full((2, 2), 64.0)
    _, state = run(
        variables, normal(2, 64, 64, 3), objects(), jax.random.key(0), jnp.arange(2), sizes
    )
    jax.tree.map(np.testing.assert_array_equal, state["batch_stats"], variables["batch_stats"])


def test_regions_come_from_objects_and_proposals_inside_of_the_picture():
    variables, run = trained("mask")
    true, sizes = objects(), jnp.asarray([[64.0, 64.0], [40.0, 52.0]])
    inside = true._replace(boxes=true.boxes.at[1].multiply(0.5))
    output, _ = run(
        variables, normal(2, 64, 64, 3), inside, jax.random.key(0), jnp.arange(2), sizes
    )
    training, detections = output.training, output.detections
    limits = np.asarray(sizes)[:, None, [1, 0, 1, 0]]
    for boxes in (training.regions.boxes, detections.boxes):
        assert (boxes >= 0).all()
        assert (boxes <= limits).all()
    positive = training.regions.assigned.sample.positive
    assert positive.sum(1).min() >= 1  # an object is a region itself
    assert ((training.regions.classes > 0) == positive).all()
    assert (training.masks.counted.sum(1) == positive.sum(1)).all()
    targets = np.asarray(training.masks.targets)
    assert targets.min() >= 0
    assert targets.max() <= 1 + 1e-5
    assert (np.diff(detections.scores, axis=1) <= 0).all()
    assert (detections.classes[~detections.valid] == -1).all()


def test_a_frozen_norm_is_batch_norm_in_evaluation():
    x = normal(3, 5, 5, 4)
    rng = np.random.default_rng(0)
    values = {name: jnp.asarray(rng.uniform(0.5, 2, 4), jnp.float32) for name in
              ("mean", "var", "scale", "bias")}  # fmt: skip
    wanted = BatchNorm().apply(
        {"params": {k: values[k] for k in ("scale", "bias")},
         "batch_stats": {k: values[k] for k in ("mean", "var")}}, x, train=False,
    )  # fmt: skip
    for train in (True, False):
        ours = FrozenBatchNorm().apply({"batch_stats": values}, x, train=train)
        np.testing.assert_array_equal(ours, wanted)


def test_names_that_a_backbone_lacks_are_refused():
    net = zoo.faster_rcnn(zoo.resnet18(), names=("stage2", "stage9"))
    with pytest.raises(ValueError, match=r"names=\['stage9'\]: expected some of stem, stage1"):
        abstract_variables(net, (64, 64, 3))
    with pytest.raises(ValueError, match="version=3: expected 1 or 2"):
        zoo.faster_rcnn(zoo.resnet18(), version=3)


def test_sides_that_are_no_multiples_of_32_are_filled_up():
    """Cells and anchors would be apart by other numbers: 100 pixels make 4 rows of 32, not of 25."""
    net = tiny("faster")
    variables = calm_variables(net)
    x, sizes = normal(1, 100, 70, 3), jnp.asarray([[100.0, 70.0]])
    run = jax.jit(lambda x, sizes: net.apply(variables, x, train=False, sizes=sizes).detections)
    wanted = run(jnp.pad(x, ((0, 0), (0, 28), (0, 26), (0, 0))), sizes)
    ours = run(x, sizes)
    np.testing.assert_allclose(ours.boxes, wanted.boxes, atol=1e-4)
    np.testing.assert_array_equal(ours.valid, wanted.valid)
    assert wanted.valid.any()
    assert (np.asarray(wanted.boxes) <= [70, 100, 70, 100]).all()


def test_a_group_of_batch_norm_in_a_head_counts_images():
    """Two images of three regions each are normalised together, whatever the other two hold."""
    x = normal(12, 4, 4, 2)

    def head(group):
        layer = part(ConvNormAct, norm=part(BatchNorm, group=group))
        return BoxHead(3, convolutions=1, dense=0, features=4, layer=layer)

    variables = head(None).init(jax.random.key(0), x, train=True)

    def run(group, x):
        with nn.intercept_methods(by_image(3)):
            return head(group).apply(variables, x, train=True, mutable=["batch_stats"])[0][0]

    halves = jnp.concatenate([run(None, x[:6]), run(None, x[6:])])
    np.testing.assert_allclose(run(2, x), halves, atol=1e-5)
    assert np.abs(run(None, x) - halves).max() > 1e-3
