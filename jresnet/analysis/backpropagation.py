"""The gradients of a whole net by hand, from the loss to the images."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from jresnet.analysis.chain import Chain, Piece
from jresnet.analysis.derivation import Layer, Params
from jresnet.analysis.derived_block import Composed, Writer, below, flattened, residual
from jresnet.models.block import Block
from jresnet.models.resnet import Stem

Array = jax.Array
Variables = Mapping[str, Any]


def _stem(stem: Stem, rank: int) -> Composed:
    if stem.pool is not None:
        raise ValueError("no derivation is written for a stem's max-pooling")
    writer = Writer(rank)
    layers: list[tuple[str, Layer]] = []
    for number, spec in enumerate(stem.convs, 1):
        suffix = str(number) if len(stem.convs) > 1 else ""
        conv = stem.conv(spec.features, spec.kernel, spec.strides, parent=None)
        layers.append((f"conv{suffix}", writer.convolution(conv)))
        if not (stem.bare and number == len(stem.convs)):
            layers += writer.norm(stem.norm(parent=None), f"norm{suffix}")
            layers.append(("relu", writer.activation(stem.act)))
    return Composed(tuple(layers))


def gradients(
    net: Chain, variables: Variables, images: Array, labels: Array
) -> tuple[Array, dict[str, Any]]:
    """The mean cross-entropy and its gradients, by hand from the loss to the images.

    They are those of `jax.value_and_grad` in training, through the batch's statistics. Softmax and
    cross-entropy together have the gradient `(softmax(logits) - onehot) / batch`. The gradient of
    the pooled features is spread evenly over the positions that were averaged.

    Args:
        net: the net, piece by piece.
        variables: its parameters and statistics.
        images: `[batch, *spatial, channels]`.
        labels: integers `[batch]`.

    Returns:
        The loss, and its gradients by the parameters (`params`) and by the images (`images`).

    Raises:
        ValueError: a part of the net has no derivation; see `residual`.
    """
    rank = images.ndim - 2
    links: list[tuple[Piece, Any, Params, Any]] = []
    h = images
    for piece in (net.stem, *net.blocks, *([net.head.norm] if net.head.norm else [])):
        layers = _layers(piece, h.shape[-1], rank, net)
        params = flattened(piece.select(variables)["params"])
        if piece is net.head.norm:
            params = {f"norm/{key}": value for key, value in params.items()}
        h, memory = _forward(layers, params, h)
        links.append((piece, layers, params, memory))

    head = variables["params"]["head"]
    pooled = h.mean(tuple(range(1, h.ndim - 1)))
    log_shares = jax.nn.log_softmax(pooled @ head["kernel"] + head["bias"][None])
    onehot = jax.nn.one_hot(labels, log_shares.shape[-1], dtype=log_shares.dtype)
    loss = -(onehot * log_shares).sum(-1).mean()

    dlogits = (jnp.exp(log_shares) - onehot) / len(labels)
    grads = {"head/kernel": pooled.T @ dlogits, "head/bias": dlogits.sum(0)}
    dpooled = dlogits @ head["kernel"].T
    positions = h[0, ..., 0].size
    dh = jnp.broadcast_to(dpooled.reshape(len(labels), *(1,) * rank, -1) / positions, h.shape)
    for piece, layers, params, memory in reversed(links):
        dh, piece_grads = _backward(layers, params, memory, dh)
        if piece is net.head.norm:
            piece_grads = below(piece_grads, "norm")
        grads |= {"/".join((*piece.path, name)): value for name, value in piece_grads.items()}
    return loss, {"params": unflatten_dict(grads, sep="/"), "images": dh}


# Equal blocks share one compiled program.
@functools.partial(jax.jit, static_argnums=0)
def _forward(layers: Layer, params: Params, x: Array) -> tuple[Array, Any]:
    return layers.forward(params, x)


@functools.partial(jax.jit, static_argnums=0)
def _backward(layers: Layer, params: Params, memory: Any, dy: Array) -> tuple[Array, Params]:
    return layers.backward(params, memory, dy)


def _layers(piece: Piece, features: int, rank: int, net: Chain) -> Any:
    if isinstance(piece.module, Stem):
        return _stem(piece.module, rank)
    if isinstance(piece.module, Block):
        return residual(piece.module, features, rank)
    writer = Writer(rank)
    return Composed((*writer.norm(piece.module, "norm"), ("relu", writer.activation(net.head.act))))
