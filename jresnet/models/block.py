"""The residual block, written once.

The residual branch is data, a tuple of `ConvSpec`; the order of convolution, norm and activation
is code, the loop in `Block`. Basic, bottleneck, wide, ResNeXt, ResNet-D, SE, R(2+1)D and their
plain twins differ in numbers and in injected parts, never in a copied class.

He et al. 2015 (arXiv:1512.03385), He et al. 2016 (arXiv:1603.05027).
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
from flax import linen as nn

from jresnet.models.gates import drop_path
from jresnet.models.layers import (
    Activation,
    BatchNorm,
    Conv,
    Initializer,
    Shape,
    activate,
    per_axis,
)
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


Step = Literal["norm", "act"]


@dataclasses.dataclass(frozen=True)
class Order:
    """Where norms and activations stand, by slots.

    `first` stands before the first convolution of the branch, `between` after each but the last,
    `last` after the last, and `sum` after the sum with the shortcut. A projection reads what
    `first` gives (arXiv:1603.05027, appendix), or the block's input if not `shared`. Figure 4 of
    He et al. 2016 (arXiv:1603.05027) compares the five that are defined here; face nets have
    `Order(("norm",), last=("norm",), sum=(), shared=False)`.
    """

    first: tuple[Step, ...] = ()
    between: tuple[Step, ...] = ("norm", "act")
    last: tuple[Step, ...] = ("norm",)
    sum: tuple[Step, ...] = ("act",)
    shared: bool = True

    def slots(self, convolutions: int) -> list[tuple[Step, ...]]:
        """The slots in order: before convolution 1, 2, ..., after the last one, and after the sum."""
        return [self.first, *[self.between] * (convolutions - 1), self.last, self.sum]

    def followed(self, convolutions: int) -> list[int | None]:
        """For norm 1, 2, ...: the number of the convolution directly before it, or None."""
        numbers: list[int | None] = []
        for number, slot in enumerate(self.slots(convolutions)):
            after_convolution = 0 < number <= convolutions
            for position, step in enumerate(slot):
                if step == "norm":
                    direct = after_convolution and position == 0
                    numbers.append(number if direct else None)
        return numbers

    @property
    def strided_at(self) -> int:
        """The place in `between` where an injected `downsample` strides.

        Before what opens the next convolution, which is what `first` opens the branch with.
        """
        opening = len(self.first)
        opens = opening > 0 and self.between[-opening:] == self.first
        return len(self.between) - (opening if opens else 0)


POSTACTIVATION = Order()
BN_AFTER_ADDITION = Order(last=(), sum=("norm", "act"))
RELU_BEFORE_ADDITION = Order(last=("norm", "act"), sum=())
RELU_PREACTIVATION = Order(first=("act",), sum=())
PREACTIVATION = Order(first=("norm", "act"), last=(), sum=())


class Slots:
    """Norms and activations of a module, as its slots call for them.

    They are `norm1, norm2, ...` and, where activations have parameters, `act1, act2, ...`, by
    running count.
    """

    def __init__(self, norm: ModuleDef, act: Activation | ModuleDef, train: bool):
        self.norm, self.act, self.train = norm, act, train
        self.norms, self.acts = itertools.count(1), itertools.count(1)

    def __call__(self, steps: Sequence[Step], y: Array, **norm: Any) -> Array:
        """`y` through `steps`; `norm` are fields of their norms."""
        for step in steps:
            if step == "act":
                y = activate(self.act, y, f"act{next(self.acts)}")
            else:
                y = self.norm(name=f"norm{next(self.norms)}", **norm)(y, train=self.train)
        return y


class Block(nn.Module):
    """`y = shortcut(x) + gate(branch(x))`, norms and activations in the order of `order`.

    `[batch, *spatial, in]` to `[batch, *spatial / strides, width * last spec's width]`.
    Convolutions are `conv1, conv2, ...`; norms and activations with parameters are numbered as
    they come. `gate` is a module on the branch's output (squeeze-excite, SkipInit). `downsample`, a
    function of an array and strides, strides in the place of the strided convolution, after its
    activation (anti-aliasing; arXiv:1904.11486). `join`, a module on branch and shortcut, stands in
    the place of their sum (gating).
    """

    branch: Branch
    width: int
    strides: Shape = 1
    dilation: int = 1
    groups: int = 1
    order: Order = POSTACTIVATION
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm
    act: Activation | ModuleDef = nn.relu
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

        slots = Slots(self.norm, self.act, train)

        y = slots(self.order.first, x)
        change = (features, tuple(math.prod(axis) for axis in zip(*strides, strict=True)))
        opened = self.order.shared and shortcut.projects(x, *change)
        skip = shortcut(y if opened else x, *change, train=train)
        last, place = len(self.branch), self.order.strided_at
        for number, step in enumerate(strides, 1):
            if self.dropout and number == last:
                y = nn.Dropout(self.dropout, deterministic=not train)(y)
            aliased = self.downsample is not None and any(s != 1 for s in step)
            y = self.convolve(number, y, x.shape[-1], (1,) * rank if aliased else step)
            closing = self.order.between[:place] if number < last else ()
            y = slots(closing, y)
            if self.downsample is not None and aliased:
                y = self.downsample(y, step)
            y = slots(self.order.between[place:] if number < last else (), y)
        # A norm that ends the branch can start it as zero.
        init = nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones
        y = slots(self.order.last, y, scale_init=init)

        if self.gate is not None:
            y = self.gate(name="gate")(y)
        if gate is not None:
            y = y * gate.astype(y.dtype)
        if drop_rate is not None and train:
            y = drop_path(y, drop_rate, self.make_rng("dropout"))
        if skip is not None:
            y = y + skip if self.join is None else self.join(name="join")(y, skip)
        return slots(self.order.sum, y)

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
