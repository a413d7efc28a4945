"""Detection beside torchvision's own code: a whole detector, suppression of boxes, and RoIAlign."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.benchmark.beside import Beside, Contestants
from jresnet.benchmark.jax_nets import computed, learning
from jresnet.benchmark.timing import OURS, Mode
from jresnet.data.normalisation import IMAGENET
from jresnet.models import zoo
from jresnet.models.detection.nms import nms
from jresnet.models.detection.roi_align import Form, roi_align
from jresnet.models.heads.rcnn import RCNN
from jresnet.tasks.base import Batch
from jresnet.tasks.detect import Detect
from jresnet.weights import to_torch

CLASSES = 91  # as many as torchvision's detectors have, with the background
SIDE = 320  # pixels of an image
OBJECTS = 8  # of an image
# The work of a step depends on what the net proposes: at this rate it stays as it began.
RATE = 1e-6
OVERLAP = 0.7  # IoU of suppression, that of proposals
STRIDE, FEATURES, BINS, SAMPLES = 4, 256, 7, 2  # of the finest map and of the head for boxes


def faster_rcnn_resnet18(mode: Mode, size: int, theirs: Any, dtype: Any) -> Contestants:
    """Faster R-CNN on ResNet-18 with frozen norms, with torchvision's numbers of everything."""
    net = zoo.faster_rcnn(zoo.resnet18(norm=zoo.FROZEN, dtype=dtype), CLASSES)
    return detector(net, SIDE, mode, size, theirs)


def detector(net: RCNN, side: int, mode: Mode, size: int, theirs: Any) -> Contestants:
    """A train step, or the detections of `size` images; torchvision's net has the same weights."""
    task = Detect(net, IMAGENET, mirror=(0.0, 0.0))
    batch = pictures(size, side, net.num_classes - 1)
    variables = jax.jit(task.init)(jax.random.key(0), batch)
    if mode == "train":
        yield OURS, learning(task, batch, RATE, variables)
    else:
        yield OURS, computed(task.predict, variables, batch)
    if theirs:
        state = to_torch(variables, net)
        yield theirs.NAME, theirs.detector(state, jax.device_get(batch), mode, RATE)


def suppression(mode: Mode, size: int, theirs: Any, dtype: Any) -> Contestants:
    """Non-maximum suppression of `size` boxes of an image by the threshold of proposals."""
    del mode, dtype
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, size, SIDE)
    scores = rng.random(size, np.float32)
    arrays = jax.device_put((boxes, scores))
    yield OURS, computed(lambda boxes, scores: nms(boxes, scores, OVERLAP), *arrays)
    if theirs:
        yield theirs.NAME, theirs.suppression(boxes, scores, OVERLAP)


def alignment(mode: Mode, size: int, theirs: Any, dtype: Any) -> Contestants:
    """RoIAlign of `size` boxes on the finest map of an image; in training with the map's gradient.

    A row for each of its forms.
    """
    rng = np.random.default_rng(0)
    cells = SIDE // STRIDE
    feature = rng.normal(size=(cells, cells, FEATURES)).astype(np.float32)
    boxes = random_boxes(rng, size, SIDE)
    # The gradient is of the sum of all bins, each times one of these.
    shares = rng.normal(size=(size, BINS, BINS, FEATURES)).astype(np.float32)

    def pooled(form: Form) -> Callable[..., jax.Array]:
        def pool(feature: jax.Array, boxes: jax.Array) -> jax.Array:
            return roi_align([feature], boxes, BINS, [STRIDE], sampling=SAMPLES, form=form)

        return pool

    def summed(pool: Callable[..., jax.Array]) -> Callable[..., Any]:
        def total(feature: jax.Array, boxes: jax.Array, shares: jax.Array) -> jax.Array:
            return (pool(feature, boxes) * shares).sum(dtype=jnp.float32)

        return jax.value_and_grad(total)

    del dtype  # both sides in float32
    arrays = jax.device_put((feature, boxes, shares))
    forms: tuple[tuple[str, Form], ...] = ((OURS, "gather"), (f"{OURS}, einsum", "einsum"))
    for name, form in forms:
        pool = pooled(form)
        if mode == "train":
            yield name, computed(summed(pool), *arrays)
        else:
            yield name, computed(pool, *arrays[:2])
    if theirs:
        yield theirs.NAME, theirs.alignment(feature, boxes, shares, STRIDE, SAMPLES, mode)


def pictures(count: int, side: int, classes: int) -> Batch:
    """Random images on the device, uint8 `[count, side, side, 3]`, with objects in each."""
    rng = np.random.default_rng(0)
    boxes = [random_boxes(rng, OBJECTS, side) for _ in range(count)]
    return jax.device_put(
        {
            "image": rng.integers(0, 256, (count, side, side, 3), np.uint8),
            "size": np.full((count, 2), side, np.float32),
            "boxes": np.stack(boxes),
            "class": rng.integers(0, classes, (count, OBJECTS), np.int32),
        }
    )


def random_boxes(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Boxes float32 `[count, 4]` within an image, their sides an eighth to a half of its side."""
    lengths = side * rng.uniform(1 / 8, 1 / 2, (count, 2))
    low = rng.uniform(0, 1, (count, 2)) * (side - lengths)
    return np.concatenate([low, low + lengths], -1).astype(np.float32)


PEER = "torch_detectors"
CASES = {
    "faster_rcnn_resnet18": Beside(faster_rcnn_resnet18, PEER, 2, 16),
    "nms": Beside(suppression, PEER, 2000, 2000, "boxes", ("infer",)),
    "roi_align": Beside(alignment, PEER, 512, 8192, "boxes"),
}
