"""How the gradient of the loss travels back through a net, block by block.

He et al. 2016 (arXiv:1603.05027, section 2): for `h_(l+1) = h_l + F(h_l)` the gradient at a block's
input is the one at its output plus a part through the branch,

    dL/dh_l = dL/dh_(l+1) (I + dF/dh_l)

so over all blocks it is the product of the factors `I + J_l`. Multiplied out, the product is a sum
with one term for each set of blocks whose branches the gradient passes: one term passes no branch,
the first-order terms pass one branch each, and so on.
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

    - loss: the loss.
    - inputs: dL/dh_l at the input of each block l and, last, at the last block's output `[L + 1]`.
    - shortcut, branch: parts of `inputs[l]` through block l's shortcut and branch, which add up to
      it `[L]`.
    - params: gradients by the parameters, by piece (`stem`, `stage1/block1`, ..., `head`).
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
        """The largest difference between `shortcut + branch` and `inputs` over all blocks.

        It is relative to the largest entry of `inputs` at the same block.
        """
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

    With `train` they pass through the statistics of the batch, as in training. Without `split` the
    parts through shortcut and branch are left out. Equal blocks are compiled once.
    """
    h = activations(net, variables, images, train=train)
    value, dhead, g = _head(net, variables, h[-1], loss, train)
    inputs, shortcut, branch, params = [g], [], [], {"head": dhead}
    for block, x in zip(reversed(net.blocks), reversed(h[:-1]), strict=True):
        selected = block.select(variables)
        if split:
            shortcut.append(pull(_bare(block.through("shortcut")), selected, x, g, train)[1])
            branch.append(pull(_bare(block.through("branch")), selected, x, g, train)[1])
        params[block.name], g = pull(_bare(block), selected, x, g, train)
        inputs.append(g)
    params["stem"] = pull(_bare(net.stem), net.stem.select(variables), images, g, train)[0]
    return Flow(value, inputs[::-1], shortcut[::-1], branch[::-1], params)


def activations(
    net: Chain, variables: Variables, images: Array, *, train: bool = True
) -> list[Array]:
    """The input of every block, and the output of the last: `h_0, ..., h_L`."""
    h = [apply(_bare(net.stem), net.stem.select(variables), images, train)]
    for block in net.blocks:
        h.append(apply(_bare(block), block.select(variables), h[-1], train))
    return h


def orders(
    net: Chain, variables: Variables, images: Array, loss: Loss, *, train: bool = True
) -> Array:
    """The terms of dL/dh_0 by the number of branches they pass, `[L + 1, *h_0.shape]`.

    They add up to dL/dh_0. Term k is the sum of all `L choose k` products of k branch Jacobians. It
    is exact: the sums of each order are propagated back through each block,
    `e_k <- S^T e_k + B^T e_(k-1)`, with S the shortcut's and B the branch's Jacobian.
    """
    h = activations(net, variables, images, train=train)
    _, _, g = _head(net, variables, h[-1], loss, train)
    terms = jnp.zeros((len(net.blocks) + 1, *g.shape), g.dtype).at[0].set(g)
    for block, x in zip(reversed(net.blocks), reversed(h[:-1]), strict=True):
        selected = block.select(variables)
        skip = _pull_many(_bare(block.through("shortcut")), selected, x, terms, train)
        through = _pull_many(_bare(block.through("branch")), selected, x, terms, train)
        terms = skip.at[1:].add(through[:-1])
    return terms


def shortcut_only(net: Chain, variables: Variables, flowing: Flow, h: list[Array]) -> list[Array]:
    """The part of the gradient at each block's input that passes no branch, `[L + 1]` arrays.

    In pre-activation nets of one shape with shortcuts scaled by lambda, it is `lambda^(L - l)`
    times the last one (He et al. 2016, equation 8). `h` are the `activations`.
    """
    g = flowing.inputs[-1]
    gradients = [g]
    for block, x in zip(reversed(net.blocks), reversed(h[:-1]), strict=True):
        g = pull(_bare(block.through("shortcut")), block.select(variables), x, g, True)[1]
        gradients.append(g)
    return gradients[::-1]


def _bare(piece: Piece) -> Piece:
    """The piece as a function of its own variables; equal for equal blocks of other names."""
    return Piece("", (), piece.module)


@functools.partial(jax.jit, static_argnums=(0, 3))
def apply(piece: Piece, variables: Variables, x: Array, train: bool) -> Array:
    """The output of a piece; equal pieces share one compiled program."""
    return piece(variables, x, train=train)


@functools.partial(jax.jit, static_argnums=(0, 4))
def pull(piece: Piece, variables: Variables, x: Array, g: Array, train: bool) -> tuple[Any, Array]:
    """Gradients by a piece's parameters and by its input, from `g` by its output."""

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

    selected = {"head": variables["params"]["head"]}
    value, (dhead, g) = jax.value_and_grad(call, (0, 1))(selected, h)
    return value, dhead["head"], g
