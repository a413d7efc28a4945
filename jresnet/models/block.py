"""The residual block, written once.

The residual branch is data, a tuple of `ConvSpec`; the order of convolution, norm and activation
is code, the loop in `Block`. Basic, bottleneck, wide, ResNeXt, ResNet-D, SE, R(2+1)D and their
plain twins differ in numbers and in injected parts, never in a copied class.

He et al. 2015 (arXiv:1512.03385), He et al. 2016 (arXiv:1603.05027).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from jresnet.models import cpu
from jresnet.models.gates import drop_path
from jresnet.models.layers import Activation, BatchNorm, Conv, Initializer, Shape, per_axis
from jresnet.models.shortcuts import Projection

Array = jax.Array
ModuleDef = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class ConvSpec:
    """One convolution of a residual branch.

    `width` multiplies the stage's width; a function of `(block input, block width)` may stand in
    its place. A strided convolution strides along the axes where its kernel is larger than 1, and
    along all of them if it is pointwise. `init` starts its kernel; without it the net's `conv`
    decides.
    """

    kernel: Shape = 3
    width: float | Callable[[int, int], int] = 1
    strided: bool = False
    grouped: bool = False
    init: Initializer | None = None

    def features(self, block_input: int, block_width: int) -> int:
        if callable(self.width):
            return self.width(block_input, block_width)
        return round(block_width * self.width)

    def strides(self, strides: Shape, rank: int) -> tuple[int, ...]:
        size, strides = per_axis(self.kernel, rank), per_axis(strides, rank)
        if not self.strided:
            return (1,) * rank
        pointwise = all(k == 1 for k in size)
        return tuple(s if pointwise or k > 1 else 1 for k, s in zip(size, strides, strict=True))


Branch = tuple[ConvSpec, ...]

BASIC: Branch = (ConvSpec(3, 1, strided=True), ConvSpec(3, 1))
# v1.5: the stride sits on the 3x3, as in torchvision and fb.resnet.torch ...
BOTTLENECK: Branch = (ConvSpec(1, 1), ConvSpec(3, 1, strided=True, grouped=True), ConvSpec(1, 4))
# ... and on the first 1x1 in the paper.
BOTTLENECK_V1: Branch = (ConvSpec(1, 1, strided=True), ConvSpec(3, 1, grouped=True), ConvSpec(1, 4))


@dataclasses.dataclass(frozen=True)
class Order:
    """Where norms and activations stand: each a sequence of `"norm"` and `"act"`.

    `before` each convolution of the branch, `behind` each but the last, behind the `last`, and
    behind the `sum` with the shortcut. Figure 4 of He et al. 2016 (arXiv:1603.05027) compares the
    five that are defined here.
    """

    before: tuple[str, ...] = ()
    behind: tuple[str, ...] = ("norm", "act")
    last: tuple[str, ...] = ("norm",)
    sum: tuple[str, ...] = ("act",)


POSTACTIVATION = Order()
BN_AFTER_ADDITION = Order(last=(), sum=("norm", "act"))
RELU_BEFORE_ADDITION = Order(last=("norm", "act"), sum=())
RELU_PREACTIVATION = Order(before=("act",), behind=("norm",), sum=())
PREACTIVATION = Order(before=("norm", "act"), behind=(), last=(), sum=())


class Block(nn.Module):
    """`y = shortcut(x) + gate(branch(x))`, norms and activations in the order of `order`.

    `[batch, *spatial, in]` to `[batch, *spatial / strides, width * last spec's width]`.
    Convolutions are `conv1, conv2, ...`, the norm that belongs to each `norm1, norm2, ...`:
    before it in pre-activation order, behind it in the others.
    `gate` is a module on the branch's output (squeeze-excite, SkipInit). `downsample`, a function
    of an array and strides, strides in the place of the strided convolution, behind its activation
    (anti-aliasing; arXiv:1904.11486). `join`, a module on branch and shortcut, stands in the place
    of their sum (gating).
    """

    branch: Branch
    width: int
    strides: Shape = 1
    dilation: int = 1
    groups: int = 1
    order: Order = POSTACTIVATION
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm
    act: Activation = nn.relu
    shortcut: ModuleDef = Projection
    gate: ModuleDef | None = None
    join: ModuleDef | None = None
    downsample: Callable[[Array, Shape], Array] | None = None
    dropout: float = 0.0
    zero_init_residual: bool = False

    @nn.compact
    def __call__(
        self,
        x: Array,
        gate: Array | None = None,
        drop_rate: Array | None = None,
        *,
        train: bool,
    ) -> Array:
        """`gate` scales the branch; `drop_rate` drops it for whole examples. Both are scalars."""
        rank = x.ndim - 2
        features = self.branch[-1].features(x.shape[-1], self.width)
        strides = [spec.strides(self.strides, rank) for spec in self.branch]
        shortcut = self.shortcut(conv=self.conv, norm=self.norm, name="shortcut")

        y = self.apply_order(self.order.before, 1, x, train)
        change = (features, tuple(math.prod(axis) for axis in zip(*strides, strict=True)))
        skip = shortcut(y if shortcut.projects(x, *change) else x, *change, train=train)
        last = len(self.branch)
        for number in range(1, last + 1):
            if number > 1:
                y = self.apply_order(self.order.before, number, y, train)
            if self.dropout and number == last:
                y = nn.Dropout(self.dropout, deterministic=not train)(y)
            step = strides[number - 1]
            aliased = self.downsample is not None and any(s != 1 for s in step)
            y = self.convolve(number, y, x.shape[-1], (1,) * rank if aliased else step)
            if number < last:
                y = self.apply_order(self.order.behind, number, y, train)
            if self.downsample is not None and aliased:
                y = self.downsample(y, step)
        y = self.apply_order(self.order.last, last, y, train)

        if self.gate is not None:
            y = self.gate(name="gate")(y)
        if gate is not None:
            y = y * gate.astype(y.dtype)
        if drop_rate is not None and train:
            y = drop_path(y, drop_rate, self.make_rng("dropout"))
        if skip is not None:
            y = y + skip if self.join is None else self.join(name="join")(y, skip)
        return self.apply_order(self.order.sum, last, y, train)

    def apply_order(self, steps: tuple[str, ...], number: int, y: Array, train: bool) -> Array:
        """The norms, each called `norm<number>`, and activations of `steps`."""
        for step in steps:
            y = cpu.once(self.act(y)) if step == "act" else self.normalise(number, y, train)
        return y

    def normalise(self, number: int, y: Array, train: bool) -> Array:
        if number < len(self.branch) or "norm" not in self.order.last:
            return self.norm(name=f"norm{number}")(y, train=train)
        # A norm that ends the branch can start it as zero.
        init = nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones
        return self.norm(scale_init=init, name=f"norm{number}")(y, train=train)

    @property
    def preactivation(self) -> bool:
        """Whether norm and activation stand before the convolutions."""
        return self.order == PREACTIVATION

    def convolve(self, number: int, y: Array, block_input: int, strides: Shape) -> Array:
        spec = self.branch[number - 1]
        pointwise = all(k == 1 for k in per_axis(spec.kernel, y.ndim - 2))
        conv = self.conv(
            spec.features(block_input, self.width),
            spec.kernel,
            strides,
            1 if pointwise else self.dilation,
            self.groups if spec.grouped else 1,
            name=f"conv{number}",
            **({} if spec.init is None else {"kernel_init": spec.init}),
        )
        return conv(y)
