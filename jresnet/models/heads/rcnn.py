"""Faster, Mask and Keypoint R-CNN on a feature pyramid (arXiv:1506.01497, 1612.03144, 1703.06870)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.detection.anchors import power_of_two, pyramid_anchors
from jresnet.models.detection.assignment import Objects
from jresnet.models.detection.proposals import Detections
from jresnet.models.detection.roi_align import roi_align
from jresnet.models.detection.settings import Settings
from jresnet.models.detection.stages import (
    Heads,
    Training,
    batch_proposals,
    first_stage,
    last_stage,
    second_stage,
)
from jresnet.models.heads.fpn import FPN
from jresnet.models.heads.maps import Features
from jresnet.models.heads.regions import BoxHead, RPNHead
from jresnet.models.norms import BatchNorm

Array = jax.Array


class Output(NamedTuple):
    """Detections, what the losses need, or both; `[batch]` in front. None: not asked for."""

    detections: Detections | None
    training: Training | None


MULTIPLE = 32  # pixels, torchvision's `size_divisible` of batches


def filled(images: Array) -> Array:
    """Images with zeros at the right and below, up to multiples of 32 pixels."""
    below, right = (-side % MULTIPLE for side in images.shape[1:3])
    if not (below or right):
        return images
    return jnp.pad(images, ((0, 0), (0, below), (0, right), (0, 0)))


def by_image(count: int) -> Any:
    """An interceptor for `nn.intercept_methods`: groups of BatchNorm are of images, not of regions.

    A head's rows are `count` regions of each image, image by image. BatchNorm with a group is given
    them as `[images, count, ...]`, so that its group counts images here as in the backbone.
    """

    def interceptor(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
        norm = context.module
        grouped = isinstance(norm, BatchNorm) and norm.group is not None
        if not grouped or context.method_name != "__call__":
            return call(*args, **kwargs)
        x, *rest = args
        return call(x.reshape(-1, count, *x.shape[1:]), *rest, **kwargs).reshape(x.shape)

    return interceptor


class RCNN(nn.Module):
    """A two-stage detector on any backbone: images `[batch, rows, columns, channels]` to `Output`.

    `fpn`, `rpn`, `box`, `mask` and `keypoint` build its parts. `num_classes` counts the background,
    as in torchvision: 91 for COCO. The classes of objects and detections do not, and begin at 0.

    Images are normalised, and filled with zeros at the right and below to a common size. Sides that
    are no multiple of 32 are filled up to one, as in torchvision: a map's cells are as far apart as
    its anchors only then. Boxes stay inside of `sizes`, in pixels of the images. BatchNorm
    in the second stage's heads sees the drawn regions of all images, or of a group of them. Deviation from torchvision:
    where an image has too few, they are repeated; there its part of the batch is shorter.
    """

    backbone: nn.Module
    num_classes: int
    fpn: ModuleDef = FPN
    rpn: ModuleDef = RPNHead
    box: ModuleDef = BoxHead
    mask: ModuleDef | None = None
    keypoint: ModuleDef | None = None
    settings: Settings = Settings()

    @nn.compact
    def __call__(
        self,
        x: Array,
        *,
        train: bool,
        sizes: Array | None = None,
        objects: Objects | None = None,
        key: Array | None = None,
        index: Array | None = None,
        detections: bool | None = None,
        **backbone: Any,
    ) -> Output:
        """Detections of images, or with `objects` what the losses need.

        Args:
            x: images.
            train: whether norms take the statistics of the batch, where they are not frozen.
            sizes: (height, width) of each image without padding, `[batch, 2]`. None: no padding.
            objects: the true ones, each array with `[batch, count]` in front.
            key: for the draw of anchors and regions. None: always the same, for validation.
            index: number of each example, int `[batch]`, on which its draw depends. None: its place
                in the batch.
            detections: whether to detect. None: where there are no `objects`.
            backbone: further arguments of the backbone.
        """
        count = len(x)
        if sizes is None:
            sizes = jnp.tile(jnp.asarray([x.shape[1:3]], jnp.float32), (count, 1))
        x = filled(x)
        image = x.shape[1:3]
        settings = self.settings
        maps = self.fpn(name="fpn")(self.features(x, train=train, **backbone), train=train)
        grids = [y.shape[1:3] for y in maps]
        anchors = pyramid_anchors(
            image, grids, settings.anchor_sizes, settings.ratios, settings.rounded
        )
        cells = len(anchors[0]) // (grids[0][0] * grids[0][1])
        logits, deltas = self.rpn(cells, name="rpn")(maps, train=train)
        heads = self.heads(maps[:-1], image, train)
        training = None
        if objects is not None:
            key = jax.random.key(0) if key is None else key
            index = jnp.arange(count) if index is None else index
            keys = jax.vmap(lambda n: jax.random.split(jax.random.fold_in(key, n)))(index)
            outputs = jnp.concatenate(logits, 1), jnp.concatenate(deltas, 1)
            every = jnp.concatenate(anchors)
            anchored = first_stage(keys[:, 0], outputs[0], outputs[1], every, objects, settings)
            proposals = batch_proposals(logits, deltas, anchors, sizes, settings, training=True)
            rest = second_stage(keys[:, 1], proposals, objects, heads, settings)
            training = Training(anchored, *rest)
        output = None
        if detections or (detections is None and objects is None):
            proposals = batch_proposals(logits, deltas, anchors, sizes, settings, training=False)
            output = last_stage(proposals, sizes, heads, settings, max(image))
        return Output(output, training)

    def features(self, x: Array, *, train: bool, **backbone: Any) -> Features:
        """The backbone's `{"stem", "stage1", ...}`: `model.apply(..., method="features")`."""
        call: Callable[..., Features] = self.backbone  # type: ignore[assignment]
        return call(x, train=train, **backbone)

    def heads(self, maps: Sequence[Array], image: Sequence[int], train: bool) -> Heads:
        """The heads of the second stage as functions of regions of the maps."""
        settings = self.settings
        strides = [power_of_two(image, y.shape[1:3]) for y in maps]

        def on_regions(head: nn.Module | None, bins: int) -> Any:
            if head is None:
                return None

            def pool(maps: Sequence[Array], boxes: Array) -> Array:
                return roi_align(
                    maps,
                    boxes,
                    bins,
                    strides,
                    sampling=settings.sampling,
                    aligned=settings.aligned,
                    form=settings.form,
                )

            def function(boxes: Array) -> Any:
                pooled = jax.vmap(pool)(list(maps), boxes)
                call: Callable[..., Any] = head  # type: ignore[assignment]
                with nn.intercept_methods(by_image(boxes.shape[1])):
                    output = call(pooled.reshape(-1, *pooled.shape[2:]), train=train)
                return jax.tree.map(lambda y: y.reshape(*boxes.shape[:2], *y.shape[1:]), output)

            return function

        classes = self.num_classes
        mask = None if self.mask is None else self.mask(classes, name="mask_head")
        keypoint = None if self.keypoint is None else self.keypoint(name="keypoint_head")
        return Heads(
            on_regions(self.box(classes, name="box_head"), settings.box_bins),
            on_regions(mask, settings.mask_bins),
            on_regions(keypoint, settings.mask_bins),
        )
