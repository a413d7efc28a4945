"""A net of convolutions on pictures that are padded to one shape, as on each of them alone."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn

from jresnet.models.headed import Headed
from jresnet.models.layers import Conv
from jresnet.models.upsample import repeat

Array = jax.Array


def apply_padded(net: Headed, variables: Mapping[str, Any], images: Array, real: Array) -> Any:
    """`net` in evaluation, whose convolutions see zeros wherever a picture is padding.

    A picture's real part then comes out as it does without padding: convolutions pad with zeros at
    its border, not at the array's. For nets that beside convolutions have only what works on each
    position alone, at the images' resolution or at whole multiples of it.

    Args:
        net: an `Upscaler`, for example.
        variables: its own.
        images: `[batch, H, W, channels]`; their padding is not read by a convolution.
        real: `[batch, H, W, 1]`, 1 for a picture's pixels and 0 for its padding.
    """

    def masked(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, Conv) and context.method_name == "__call__":
            x, *rest = args
            factor = x.shape[1] // real.shape[1]
            args = (x * repeat(real, factor).astype(x.dtype), *rest)
        return call(*args, **kwargs)

    with nn.intercept_methods(masked):
        return net.apply(variables, images, train=False)
