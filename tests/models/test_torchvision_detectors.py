"""Further members of the family beside torchvision's own code, where it is installed."""

import functools

import jax
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.detection.masks import paste_masks
from jresnet.models.detection.settings import Settings
from jresnet.tasks.detect_losses import detection_losses
from jresnet.weights import from_torch, to_torch
from tests.models.test_peers import peer
from tests.models.tiny_detectors import calm_variables, objects
from tests.nets import normal

pytestmark = pytest.mark.slow
SIDE = 128
# Everything is drawn, so that chance has no part in the losses.
SETTINGS = Settings(
    before=(60, 60), after=(50, 50), detections=12, score=0.0, anchors=4096, anchor_share=0.5,
    regions=256, region_share=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def torch():
    peer("torchvision")
    return peer("torch")


def theirs(torch, kind, version):
    """torchvision's detector on ResNet-18, which takes images as they are."""
    import torchvision  # type: ignore[import-not-found]

    detection, norm_of_one = torchvision.models.detection, torchvision.ops.FrozenBatchNorm2d
    utils, faster, masks = detection.backbone_utils, detection.faster_rcnn, detection.mask_rcnn

    norm = norm_of_one if version == 1 else torch.nn.BatchNorm2d
    body = utils.resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=norm, trainable_layers=5
    )
    options = {
        "min_size": SIDE, "max_size": SIDE, "image_mean": [0.0] * 3, "image_std": [1.0] * 3,
        "rpn_pre_nms_top_n_train": 60, "rpn_pre_nms_top_n_test": 60,
        "rpn_post_nms_top_n_train": 50, "rpn_post_nms_top_n_test": 50,
        "rpn_batch_size_per_image": 4096, "box_batch_size_per_image": 256,
        "box_positive_fraction": 0.5, "box_score_thresh": 0.0, "box_detections_per_img": 12,
    }  # fmt: skip
    if version == 2:
        # As in `fasterrcnn_resnet50_fpn_v2`, whose pyramid has norms too.
        body = utils._resnet_fpn_extractor(
            torchvision.models.resnet18(norm_layer=norm), 5, norm_layer=norm
        )
        options["rpn_head"] = detection.rpn.RPNHead(256, 3, conv_depth=2)
        options["rpn_anchor_generator"] = faster._default_anchorgen()
        options["box_head"] = faster.FastRCNNConvFCHead(
            (256, 7, 7), [256] * 4, [1024], norm_layer=norm
        )
        if kind == "mask":
            options["mask_head"] = masks.MaskRCNNHeads(256, [256] * 4, 1, norm_layer=norm)
    build = {
        "faster": detection.FasterRCNN,
        "mask": detection.MaskRCNN,
        "keypoint": detection.KeypointRCNN,
    }[kind]
    more = {"num_keypoints": 2} if kind == "keypoint" else {}
    return build(body, num_classes=3, **options, **more)


def ours(kind, version):
    net = zoo.resnet18(**({"norm": zoo.FROZEN} if version == 1 else {}))
    if kind == "faster":
        return zoo.faster_rcnn(net, 3, version=version, settings=SETTINGS)
    if kind == "mask":
        return zoo.mask_rcnn(net, 3, version=version, settings=SETTINGS)
    return zoo.keypoint_rcnn(net, 3, 2, settings=SETTINGS)


@pytest.mark.parametrize(("kind", "version"), [("mask", 1), ("keypoint", 1), ("mask", 2)])
def test_detections_and_losses_are_torchvision_s(torch, kind, version):
    net, built = ours(kind, version), theirs(torch, kind, version)
    variables = calm_variables(net, SIDE)
    state = to_torch(variables, net)
    left = built.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    assert not left.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in left.missing_keys)
    back = from_torch({k: v.numpy() for k, v in built.state_dict().items()}, net)
    jax.tree.map(np.testing.assert_array_equal, back, variables)

    x = normal(2, SIDE, SIDE, 3)
    pictures = [torch.tensor(np.moveaxis(np.asarray(row), -1, 0)) for row in x]
    built.eval()
    with torch.no_grad():
        wanted = built(pictures)
    output = jax.device_get(jax.jit(lambda v, x: net.apply(v, x, train=False))(variables, x))
    for image, told in enumerate(wanted):
        told = {name: value.numpy() for name, value in told.items()}
        here = jax.tree.map(lambda y, n=image: y[n], output.detections)
        count = len(told["boxes"])
        assert (here.valid.sum(), count) == (12, 12)
        pairs = []
        for row in range(count):
            distance = np.abs(here.boxes - told["boxes"][row]).max(1)
            distance += 100 * (here.classes + 1 != told["labels"][row])
            pairs.append((row, distance.argmin(), distance.min()))
        # The last places go to one of several that are nearly as probable.
        assert sum(apart < 2e-2 for *_, apart in pairs) >= count - 2, (pairs, here.scores, told)
        for row, same, apart in pairs:
            if apart >= 2e-2:
                continue
            assert abs(here.scores[same] - told["scores"][row]) < 1e-4
            if kind == "mask":
                full = paste_masks(here.masks[None, same], here.boxes[None, same], (SIDE, SIDE))
                # A corner that rounding puts into the next pixel moves the whole mask.
                assert (np.abs(full[0] - told["masks"][row, 0]) > 1e-3).mean() < 0.02
            if kind == "keypoint":
                differences = np.abs(here.keypoint_scores[same] - told["keypoints_scores"][row])
                assert differences.max() < 1e-3 * np.abs(told["keypoints_scores"][row]).max()

    if version == 2:
        return  # its losses take the statistics of regions that here are filled up to a fixed count
    true = objects(side=SIDE)
    built.train()
    targets = []
    for image in range(2):
        real = np.asarray(true.classes[image]) >= 0
        target = {
            "boxes": true.boxes[image][real],
            "labels": true.classes[image][real] + 1,
            "masks": true.masks[image][real].astype(np.uint8),
            "keypoints": true.keypoints[image][real],
        }
        targets.append({name: torch.tensor(np.asarray(value)) for name, value in target.items()})
        targets[-1]["labels"] = targets[-1]["labels"].long()
    with torch.no_grad():
        wanted = built(pictures, targets)

    def losses(variables, x, true):
        return detection_losses(net.apply(variables, x, train=False, objects=true).training)

    named = jax.device_get(jax.jit(losses)(variables, x, true))
    names = {
        "objectness": "loss_objectness", "rpn_box": "loss_rpn_box_reg", "class": "loss_classifier",
        "box": "loss_box_reg", "mask": "loss_mask", "keypoint": "loss_keypoint",
    }  # fmt: skip
    assert {names[name] for name in named} == set(wanted)
    for name, value in named.items():
        assert value == pytest.approx(float(wanted[names[name]]), rel=1e-3), name


def published(torch, name):
    """torchvision's published net with random weights, scales and statistics, for 5 classes."""
    import torchvision  # type: ignore[import-not-found]

    torch.manual_seed(0)
    net = getattr(torchvision.models.detection, name)(
        weights=None, weights_backbone=None, num_classes=5, min_size=SIDE, max_size=SIDE,
        image_mean=[0.0] * 3, image_std=[1.0] * 3, box_score_thresh=0.0, box_detections_per_img=12,
        rpn_pre_nms_top_n_test=60, rpn_post_nms_top_n_test=50,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.6, 1.5)
                module.weight.uniform_(0.3, 0.8)  # deep nets stay of the size of one
                module.bias.uniform_(-0.3, 0.3)
        # Fresh last layers tell regions hardly apart.
        for layer, factor in (("cls_logits", 20), ("cls_score", 100), ("mask_fcn_logits", 10)):
            for key, weight in net.named_parameters():
                if key.endswith(f"{layer}.weight"):
                    weight *= factor
    return net


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2"])
def test_published_nets_of_version_2_are_torchvision_s(torch, name):
    theirs = published(torch, name)
    net = getattr(zoo, name)(5, scan=True).clone(settings=SETTINGS)  # compiled in half of the time
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    variables = from_torch(state, net)
    back = to_torch(variables, net)
    assert back.keys() == {k for k in state if not k.endswith("num_batches_tracked")}

    x = normal(1, SIDE, SIDE, 3)
    with torch.no_grad():
        (told,) = theirs([torch.tensor(np.moveaxis(np.asarray(x[0]), -1, 0))])
    told = {key: value.numpy() for key, value in told.items()}
    output = jax.jit(functools.partial(net.apply, train=False))(variables, x)
    here = jax.tree.map(lambda y: np.asarray(y[0]), output.detections)
    assert len(told["boxes"]) == here.valid.sum() == 12
    # The regions of a random net are much alike: they must differ by more than the two nets do.
    close = min(1e-3, told["scores"].std() / 50)
    assert close > 1e-5
    for row, (box, label) in enumerate(zip(told["boxes"], told["labels"], strict=True)):
        apart = np.abs(here.boxes - box).max(1) + 100 * (here.classes + 1 != label)
        same = apart.argmin()
        assert apart[same] < 1e-3, (row, apart[same])
        assert abs(here.scores[same] - told["scores"][row]) < close
        if "masks" in told:
            full = paste_masks(here.masks[None, same], here.boxes[None, same], (SIDE, SIDE))
            # A corner that rounding puts into the next pixel moves the whole mask.
            assert (np.abs(full[0] - told["masks"][row, 0]) > 1e-3).mean() < 0.02
