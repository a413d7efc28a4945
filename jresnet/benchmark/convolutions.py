"""Convolutions and DeepLabs beside PyTorch, forward and either gradient by itself.

What is slow in one library and not in the other hides in the rate of a whole train step. Dilated
convolutions took 15 to 23 times as long in XLA on GPUs as in cuDNN's own kernels (openxla/xla,
issue 32231), and convolutions over one axis in bfloat16 are slow there too (jax-ml/jax, issue
37922); here each has a row.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.benchmark.beside import Beside, Contestants
from jresnet.benchmark.jax_nets import computed
from jresnet.benchmark.timing import OURS, Mode
from jresnet.models import cpu, zoo
from jresnet.models.layers import convolve
from jresnet.weights import to_torch

Pass = Literal["forward", "input", "weight"]  # what is computed: values, or one of the gradients
PASSES: tuple[Pass, ...] = get_args(Pass)
Array = jax.Array
SIDE = 513  # pixels of a side of the pictures that DeepLab was trained on (arXiv:1706.05587)
CLASSES = 21


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution with symmetric padding.

    - image: `[*spatial, channels]`.
    - kernel, stride, dilation: along every axis.
    - groups: of channels.
    - features: channels of the result; as many as the image's by default.
    """

    image: tuple[int, ...]
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    features: int | None = None

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.image) - 1

    @property
    def padding(self) -> int:
        """Zeros on either side, so that stride 1 keeps the size."""
        return self.dilation * (self.kernel // 2)

    @property
    def weight(self) -> tuple[int, ...]:
        """Shape of the kernel `[*spatial, in / groups, out]`."""
        channels = self.image[-1]
        features = self.features or channels
        return (*(self.kernel,) * self.rank, channels // self.groups, features)

    def __call__(self, x: Array, kernel: Array) -> Array:
        """The convolution as the nets of the zoo compute it."""
        every = (1,) * self.rank
        return convolve(
            x,
            kernel,
            [self.stride] * self.rank,
            [(self.padding, self.padding)] * self.rank,
            [self.dilation * one for one in every],
            self.groups,
        )

    def as_plane(self, x: Array, kernel: Array) -> Array:
        """The same of one axis, computed over two of which the first has length 1."""
        stretched = convolve(
            x[:, None],
            kernel[None],
            [1, self.stride],
            [(0, 0), (self.padding, self.padding)],
            [1, self.dilation],
            self.groups,
        )
        return stretched[:, 0]


# Shapes of ResNet-50, DeepLabv3 on it, ResNeXt-50, and of a net for an hour of heartbeats.
KINDS = {
    "conv": Convolution((56, 56, 64)),
    "strided": Convolution((56, 56, 128), stride=2),
    "dilated2": Convolution((65, 65, 256), dilation=2),
    "dilated4": Convolution((65, 65, 512), dilation=4),
    "dilated12": Convolution((65, 65, 256), dilation=12),
    "grouped": Convolution((56, 56, 128), groups=32),
    "line": Convolution((4096, 64), kernel=15),
}
# The shapes that ResNet-20 has on CIFAR-10, and those of ResNet-50 that are not above.
LAYERS = {
    "cifar_stem": Convolution((32, 32, 3), features=16),
    "cifar16": Convolution((32, 32, 16)),
    "cifar16to32": Convolution((32, 32, 16), stride=2, features=32),
    "cifar32": Convolution((16, 16, 32)),
    "cifar32to64": Convolution((16, 16, 32), stride=2, features=64),
    "cifar64": Convolution((8, 8, 64)),
    "stem": Convolution((224, 224, 3), kernel=7, stride=2, features=64),
    "conv28": Convolution((28, 28, 128)),
    "conv14": Convolution((14, 14, 256)),
    "conv7": Convolution((7, 7, 512)),
    "strided28": Convolution((28, 28, 256), stride=2),
    "strided14": Convolution((14, 14, 512), stride=2),
} | {
    f"pointwise{side}_{inputs}to{outputs}": Convolution(
        (side, side, inputs), kernel=1, features=outputs
    )
    for side, width in ((56, 64), (28, 128), (14, 256), (7, 512))
    for inputs, outputs in ((4 * width, width), (width, 4 * width))
}


def convolution(
    kind: Convolution, wanted: Pass, mode: Mode, size: int, theirs: Any, dtype: Any
) -> Contestants:
    """A convolution of `size` images, or the gradient of its sum, each value times a number."""
    del mode
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, *kind.image)).astype(np.float32)
    kernel = (rng.normal(size=kind.weight) / 10).astype(np.float32)
    shares = rng.normal(size=jax.eval_shape(kind, x, kernel).shape).astype(np.float32)
    arrays = [jnp.asarray(array, dtype) for array in (x, kernel, shares)]
    ways = {OURS: kind} | ({f"{OURS}, over two axes": kind.as_plane} if kind.rank == 1 else {})
    for name, way in ways.items():
        yield name, computed(one_pass(way, wanted), *arrays)
    if cpu.takes("onednn"):
        with cpu.without("onednn"):
            yield f"{OURS}, without onednn", computed(one_pass(kind, wanted), *arrays)
    if theirs:
        yield theirs.NAME, theirs.convolution(kind, wanted, x, kernel, shares)


def one_pass(function: Callable[..., Array], wanted: Pass) -> Callable[..., Array]:
    """From `(x, weights, shares)` to the values, or to the gradient for one of the first two."""

    def total(x: Array, weights: Any, shares: Array) -> Array:
        return (function(x, weights) * shares).sum(dtype=jnp.float32)

    if wanted == "forward":
        return lambda x, weights, shares: function(x, weights)
    return jax.grad(total, argnums=("input", "weight").index(wanted))


def deeplab(
    output_stride: Literal[8, 16],
    wanted: Pass,
    mode: Mode,
    size: int,
    theirs: Any,
    dtype: Any,
    side: int = SIDE,
) -> Contestants:
    """DeepLabv3 on ResNet-50 in evaluation, without the auxiliary head; the same weights in both."""
    del mode
    net = zoo.deeplabv3_resnet50(CLASSES, False, output_stride=output_stride, dtype=dtype)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(size, side, side, 3)).astype(np.float32)
    shares = rng.normal(size=(size, side, side, CLASSES)).astype(np.float32)
    start = jax.jit(functools.partial(net.init, train=False))
    variables = start(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))

    def forward(images: Array, params: Any) -> Array:
        outputs: Any = net.apply({**variables, "params": params}, images, train=False)
        return outputs["out"] if isinstance(outputs, dict) else outputs

    arrays = jax.device_put((images, variables["params"], shares))
    yield OURS, computed(one_pass(forward, wanted), *arrays)
    if theirs:
        state = to_torch(variables, net)
        yield theirs.NAME, theirs.deeplab(state, output_stride, wanted, images, shares)


PEER = "torch_convolutions"
CASES = {
    f"{name}_{wanted}": Beside(
        functools.partial(convolution, kind, wanted), PEER, 4, 64, modes=("infer",)
    )
    for name, kind in (KINDS | LAYERS).items()
    for wanted in PASSES
} | {
    f"deeplab{stride}_{wanted}": Beside(
        functools.partial(deeplab, stride, wanted), PEER, 1, 16, modes=("infer",)
    )
    for stride in (8, 16)
    for wanted in PASSES
}
