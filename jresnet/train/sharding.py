"""Layout of the train state over the mesh, by rules over paths.

A rule is a regex and a `PartitionSpec`. Paths begin with the collection, as in
`params/head/kernel`, `batch_stats/stem/norm/mean` or `memory/replay/image`. They are those of the
canonical (unrolled) net, whether or not its blocks are scanned. The first rule whose regex is found
in a path decides; what no rule covers lies whole on every device. An optimizer's moments and the
moving average lie as their parameter does.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jresnet.errors import UsageError
from jresnet.models.scan import unstack
from jresnet.runtime import mesh as meshes
from jresnet.tasks.base import MEMORY
from jresnet.train.optim import by_path
from jresnet.train.state import TrainState

Rule = tuple[str, PartitionSpec]
Rules = Sequence[Rule]

WHOLE = PartitionSpec()


@dataclasses.dataclass(frozen=True, eq=False)
class _Leaf:
    """A leaf as `unstack` meets it, which takes rows of it if it is stacked."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, number: int) -> "_Row":
        return _Row(self)


@dataclasses.dataclass(frozen=True, eq=False)
class _Row:
    """One block's part of a leaf in which a scan stacks the blocks."""

    leaf: _Leaf

    @property
    def shape(self) -> tuple[int, ...]:
        return self.leaf.shape[1:]


def lay_out(shapes: TrainState, rules: Rules, mesh: Mesh) -> TrainState:
    """`shapes`, a state of `jax.ShapeDtypeStruct`, each with its sharding on `mesh`.

    Raises UsageError for a rule that cannot be followed.
    """
    collections = variable_shardings(shapes.variables, rules, mesh)
    average = None
    if shapes.average is not None:
        average = {name: collections[name] for name in shapes.average}
    params = collections.pop("params")
    whole: Any = meshes.replicated(mesh)
    moments = _moment_shardings(shapes.opt_state, shapes.params, params, whole)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        TrainState(whole, params, collections, moments, average),
    )


def shardings_of(tree: Any) -> Any:
    """The sharding of each leaf."""
    return jax.tree.map(lambda leaf: leaf.sharding, tree)


def unstack_shapes(tree: Any) -> Any:
    """`unstack` for shapes with shardings: the blocks' leading axis goes, out of both."""

    def shape(part: _Leaf | _Row) -> jax.ShapeDtypeStruct:
        if isinstance(part, _Leaf):
            return part.array
        whole = part.leaf.array
        sharding = NamedSharding(
            whole.sharding.mesh, PartitionSpec(*tuple(whole.sharding.spec)[1:])
        )
        return jax.ShapeDtypeStruct(part.shape, whole.dtype, sharding=sharding)

    return jax.tree.map(shape, unstack(jax.tree.map(_Leaf, tree)))


def variable_shardings(variables: Mapping[str, Any], rules: Rules, mesh: Mesh) -> dict[str, Any]:
    """A sharding for each leaf of `variables` (arrays or shapes, by collection).

    Raises UsageError for a regex that is none or that decides nothing, for an unknown axis, and for
    an axis that does not divide its dimension.
    """
    leaves = jax.tree.map(_Leaf, dict(variables))
    net = {name: tree for name, tree in leaves.items() if name != MEMORY}
    canonical = {**leaves, **unstack(net)}
    parts = {
        jax.tree_util.keystr(path, simple=True, separator="/"): part
        for path, part in jax.tree_util.tree_leaves_with_path(canonical)
    }
    shardings: dict[int, tuple[str, Rule, NamedSharding]] = {}
    for path, rule in _choose(parts, rules).items():
        part, spec = parts[path], rule[1]
        _check(rule, path, part.shape, mesh)
        leaf = part.leaf if isinstance(part, _Row) else part
        if part is not leaf and len(spec):
            spec = PartitionSpec(None, *spec)
        laid = (path, rule, NamedSharding(mesh, spec))
        first, other, sharding = shardings.setdefault(id(leaf), laid)
        if sharding.spec != spec:
            rule, left = (other, path) if len(other[1]) else (rule, first)
            raise UsageError(
                f"sharding={rule!r}: expected a rule that lays out {left} too, which a scan stacks "
                f"in one array with {path if left is first else first}"
            )
    return jax.tree.map(lambda leaf: shardings[id(leaf)][2], leaves)


def _choose(leaves: Mapping[str, Any], rules: Rules) -> dict[str, Rule]:
    """The rule of each path. Raises UsageError for a rule that decides nothing."""
    for pattern, spec in rules:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f"sharding={(pattern, spec)!r}: expected a regular expression ({error})"
            ) from error
    choices = [(rule[0], rule) for rule in (*rules, ("", WHOLE))]
    chosen = by_path(dict(leaves), choices)
    for rule in rules:
        if not any(choice is rule for choice in chosen.values()):
            taken = any(re.search(rule[0], path) for path in leaves)
            why = "that no earlier rule takes" if taken else f"such as {_example(leaves)}"
            raise UsageError(f"sharding={rule!r}: expected a regex found in a path {why}")
    return chosen


def _example(leaves: Mapping[str, Any]) -> str:
    """The path of the largest leaf."""
    return max(leaves, key=lambda path: math.prod(leaves[path].shape))


def _check(rule: Rule, path: str, shape: tuple[int, ...], mesh: Mesh) -> None:
    """Raise UsageError unless an array of this shape can be laid out by the rule."""

    def refused(expected: str) -> UsageError:
        return UsageError(f"sharding={rule!r}: expected {expected} for {path} {shape}")

    entries = [(entry,) if isinstance(entry, str) else entry or () for entry in rule[1]]
    if len(entries) > len(shape):
        raise refused(f"at most {len(shape)} entries")
    axes = [axis for entry in entries if isinstance(entry, tuple) for axis in entry]
    known = " or ".join(map(repr, mesh.axis_names))
    if not all(isinstance(entry, tuple) for entry in entries) or set(axes) - {*mesh.axis_names}:
        raise refused(f"axes {known}, or None,")
    if len(set(axes)) < len(axes):
        raise refused(f"{known} once each")
    for dimension, names in enumerate(entries):
        places = math.prod(mesh.shape[axis] for axis in names)
        if shape[dimension] % places:
            nearest = shape[dimension] // places * places
            accepted = " or ".join(str(n) for n in (nearest, nearest + places) if n)
            raise refused(
                f"dimension {dimension} to be a multiple of {places}, the devices of "
                f"{' and '.join(map(repr, names))}, such as {accepted},"
            )


def _moment_shardings(opt_state: Any, params: Any, shardings: Any, whole: NamedSharding) -> Any:
    """The shardings of an optimizer's state.

    A leaf whose path ends with a parameter's path, and which has that parameter's shape, lies as
    the parameter does; counts and factored moments are whole.
    """
    by_parameter = {
        path: (leaf.shape, sharding)
        for (path, leaf), sharding in zip(
            jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(shardings), strict=True
        )
    }

    def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        for first in range(len(path) + 1):
            shape, laid = by_parameter.get(path[first:], (None, whole))
            if shape == leaf.shape:
                return laid
        return whole

    return jax.tree_util.tree_map_with_path(sharding, opt_state)
