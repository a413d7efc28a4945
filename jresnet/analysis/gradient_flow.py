"""How the gradient of the loss travels back through a net, block by block.

He et al. 2016 (arXiv:1603.05027, section 2): for `h_(l+1) = h_l + F(h_l)` the gradient at a block's
input is that at its output and what the branch adds,

    dL/dh_l = dL/dh_(l+1) (I + dF/dh_l)

so that over all blocks it is the product of the factors `I + J_l`. Multiplied out, the product is a
sum over the sets of blocks whose branch is passed: one term through no branch, the first-order
terms through one branch each, and so on.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.analysis.chain import Chain, Piece

Array = jax.Array
Variables = Mapping[str, Any]
Loss = Callable[[Array], Array]  # logits [batch, classes] to a scalar


class Flow(NamedTuple):
    """Gradients of the loss in a net of L blocks.

    `inputs[l]` is dL/dh_l, h_l the input of block l, `inputs[L]` the one at the last block's
    output; `shortcut[l] + branch[l] = inputs[l]` are its parts through block l's shortcut and
    branch. `params` are by piece (`stem`, `stage1/block1`, ..., `head`).
    """

    loss: Array
    inputs: list[Array]
    shortcut: list[Array]
    branch: list[Array]
    params: dict[str, Any]

    def norms(self) -> np.ndarray:
        """Euclidean norm of each of `inputs`, `[L + 1]`."""
        return norms(self.inputs)

    def error(self) -> float:
        """The largest difference of shortcut's and branch's part to the whole, over all blocks,
        as a share of the whole's largest entry."""
        parts = zip(self.inputs, self.shortcut, self.branch, strict=False)
        arrays = (map(np.asarray, part) for part in parts)
        return max(float(abs(s + b - g).max() / abs(g).max()) for g, s, b in arrays)


def norms(arrays: list[Array]) -> np.ndarray:
    """Euclidean norm of each array, over all of its entries."""
    return np.array([float(np.linalg.norm(np.asarray(array))) for array in arrays])


def flow(
    net: Chain,
    variables: Variables,
    images: Array,
    loss: Loss,
    *,
    train: bool = True,
    split: bool = True,
) -> Flow:
    """The gradients of `loss(logits)` on images `[batch, *spatial, channels]`.

    With `train` through the statistics of the batch, as in training. Without `split` the parts
    through shortcut and branch are left out. Blocks that are alike are compiled once.
    """
    h = activations(net, variables, images, train=train)
    value, dhead, g = _head(net, variables, h[-1], loss, train)
    inputs, shortcut, branch, params = [g], [], [], {"head": dhead}
    for block, x in zip(reversed(net.blocks), reversed(h[:-1]), strict=True):
        own = block.own(variables)
        if split:
            shortcut.append(pull(_bare(block.through("shortcut")), own, x, g, train)[1])
            branch.append(pull(_bare(block.through("branch")), own, x, g, train)[1])
        params[block.name], g = pull(_bare(block), own, x, g, train)
        inputs.append(g)
    params["stem"] = pull(_bare(net.stem), net.stem.own(variables), images, g, train)[0]
    return Flow(value, inputs[::-1], shortcut[::-1], branch[::-1], params)


def activations(
    net: Chain, variables: Variables, images: Array, *, train: bool = True
) -> list[Array]:
    """`h_0, ..., h_L`: every block's input, and the last one's output."""
    h = [apply(_bare(net.stem), net.stem.own(variables), images, train)]
    for block in net.blocks:
        h.append(apply(_bare(block), block.own(variables), h[-1], train))
    return h


def orders(
    net: Chain, variables: Variables, images: Array, loss: Loss, *, train: bool = True
) -> Array:
    """The terms of dL/dh_0 by the number of branches they pass, `[L + 1, *h_0.shape]`.

    They add up to dL/dh_0. Term k has the `L choose k` products of k branch Jacobians; it is
    computed exactly, by carrying the sums of equal order back through each block:
    `e_k <- S^T e_k + B^T e_(k-1)` with S the shortcut's and B the branch's Jacobian.
    """
    h = activations(net, variables, images, train=train)
    _, _, g = _head(net, variables, h[-1], loss, train)
    terms = jnp.zeros((len(net.blocks) + 1, *g.shape), g.dtype).at[0].set(g)
    for block, x in zip(reversed(net.blocks), reversed(h[:-1]), strict=True):
        own = block.own(variables)
        skip = _pull_many(_bare(block.through("shortcut")), own, x, terms, train)
        through = _pull_many(_bare(block.through("branch")), own, x, terms, train)
        terms = skip.at[1:].add(through[:-1])
    return terms


def shortcut_only(net: Chain, variables: Variables, flowing: Flow, h: list[Array]) -> list[Array]:
    """The gradient at each block's input that passes no branch at all, `[L + 1]` arrays.

    With shortcuts scaled by lambda, in pre-activation nets of one shape, it is
    `lambda^(L - l)` times the last one (He et al. 2016, equation 8). `h` are the `activations`.
    """
    g = flowing.inputs[-1]
    found = [g]
    for block, x in zip(reversed(net.blocks), reversed(h[:-1]), strict=True):
        g = pull(_bare(block.through("shortcut")), block.own(variables), x, g, True)[1]
        found.append(g)
    return found[::-1]


def _bare(piece: Piece) -> Piece:
    """The piece as a function of its own variables: equal for blocks that are alike."""
    return Piece("", (), piece.module)


@functools.partial(jax.jit, static_argnums=(0, 3))
def apply(piece: Piece, variables: Variables, x: Array, train: bool) -> Array:
    """A piece, compiled once for those that are equal."""
    return piece(variables, x, train=train)


@functools.partial(jax.jit, static_argnums=(0, 4))
def pull(piece: Piece, variables: Variables, x: Array, g: Array, train: bool) -> tuple[Any, Array]:
    """The gradients by a piece's parameters and its input from `g`, that by its output."""

    def call(params: Any, x: Array) -> Array:
        return piece({**variables, "params": params}, x, train=train)

    return jax.vjp(call, variables["params"], x)[1](g)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _pull_many(piece: Piece, variables: Variables, x: Array, terms: Array, train: bool) -> Array:
    back = jax.vjp(lambda x: piece(variables, x, train=train), x)[1]
    return jax.vmap(lambda g: back(g)[0])(terms)


def _head(
    net: Chain, variables: Variables, h: Array, loss: Loss, train: bool
) -> tuple[Array, Any, Array]:
    """Loss, and its gradients by the head's parameters and by the last block's output."""

    def call(params: Any, h: Array) -> Array:
        return loss(
            net.head({**variables, "params": {**variables["params"], **params}}, h, train=train)
        )

    own = {"head": variables["params"]["head"]}
    value, (dhead, g) = jax.value_and_grad(call, (0, 1))(own, h)
    return value, dhead["head"], g
