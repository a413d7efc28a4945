"""Live objects as JSON."""

import ast
import dataclasses
import enum
import functools
import hashlib
import inspect
import sys
import textwrap
import types
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

# Packages whose code a version stands for; anything else is the user's and may change any time.
_LIBRARIES = ("jresnet", "jax", "flax", "optax", "numpy", "functools", "builtins")


def describe(value: Any) -> Any:
    """JSON that tells `value` from whatever would act differently.

    Dataclasses and linen modules are their fields, arrays their checksum, functions their name and
    what they close over; those of the user's own code also their source, comments and docstrings
    left out.
    """
    return _describe(value, ())


def _describe(value: Any, inside: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else {"float": str(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.dtype) or _is_dtype(value):
        return {"dtype": np.dtype(value).name}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _describe_array(value)
    if isinstance(value, jax.ShapeDtypeStruct):
        return {"struct": value.dtype.name, "shape": list(value.shape)}
    if id(value) in inside:
        return {"again": True}  # a recursive function closes over itself
    inside = (*inside, id(value))

    def each(items: Mapping[str, Any]) -> dict[str, Any]:
        return {str(key): _describe(item, inside) for key, item in items.items()}

    if isinstance(value, Mapping):
        leaves = jax.tree.leaves(dict(value))
        if leaves and all(isinstance(leaf, np.ndarray | jax.Array) for leaf in leaves):
            checksum = functools.reduce(lambda crc, leaf: _crc(leaf, crc), leaves, 0)
            return {"arrays": len(leaves), "crc32": checksum}
        return {"dict": each(value)}
    if isinstance(value, tuple) and (names := getattr(value, "_fields", None)):
        fields = dict(zip(names, value, strict=True))
        return {"new": _name(type(value)), "fields": each(fields)}
    if isinstance(value, tuple | list):
        return [_describe(item, inside) for item in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted(map(repr, value))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"new": _name(type(value)), "fields": each(_fields(value))}
    return _describe_callable(value, inside, each)


def _describe_callable(value: Any, inside: tuple[int, ...], each: Any) -> Any:
    if isinstance(value, types.MethodType):
        return {"method": value.__name__, "of": _describe(value.__self__, inside)}
    if isinstance(value, functools.partial):
        arguments = [_describe(item, inside) for item in value.args]
        function = _describe(value.func, inside)
        return {"partial": function, "arguments": arguments, "fields": each(value.keywords)}
    if _resolves(value):
        named: dict[str, Any] = {"name": _name(value)}
        return named if _is_library(value) else named | {"code": code(value)}
    if isinstance(value, types.FunctionType):
        described: dict[str, Any] = {"function": _name(value)}
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        closure = {name: _cell(cell) for name, cell in cells}
        defaults = {**dict(enumerate(value.__defaults__ or ())), **(value.__kwdefaults__ or {})}
        described |= {"closure": each(closure)} if closure else {}
        described |= (
            {"defaults": each({str(k): v for k, v in defaults.items()})} if defaults else {}
        )
        return described if _is_library(value) else described | {"code": code(value)}
    if wrapped := getattr(value, "__wrapped__", None):  # jitted
        return _describe(wrapped, inside)
    return {"object": _name(type(value))}


def _fields(value: Any) -> dict[str, Any]:
    # A linen module's parent and name are its place in another one.
    place = ("parent", "name") if isinstance(value, nn.Module) else ()
    return {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if field.init and field.name not in place and not field.metadata.get("incidental")
    }


def _describe_array(value: Any) -> Any:
    array = np.asarray(value)
    return {"array": array.dtype.name, "shape": list(array.shape), "crc32": _crc(array)}


def _crc(array: Any, start: int = 0) -> int:
    return zlib.crc32(np.ascontiguousarray(jax.device_get(array)).view(np.uint8).data, start)


def _is_dtype(value: Any) -> bool:
    """Whether it is `np.float32` or `jnp.bfloat16`."""
    if not isinstance(value, type):
        return False
    return issubclass(value, np.generic) or isinstance(getattr(value, "dtype", None), np.dtype)


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _name(value: Any) -> str:
    """`module:qualified.name`; the module that runs as `__main__` by its own name."""
    module = getattr(value, "__module__", None) or type(value).__module__
    return f"{real_name(module)}:{getattr(value, '__qualname__', type(value).__qualname__)}"


def real_name(module: str) -> str:
    """`experiments.cifar10`, or a script's name, for the module that runs as `__main__`."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    if spec := getattr(main, "__spec__", None):
        return spec.name
    return Path(getattr(main, "__file__", None) or module).stem


def _resolves(value: Any) -> bool:
    """Whether its name leads back to it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not name or module not in sys.modules:
        return False
    target: Any = sys.modules[module]
    for part in name.split("."):
        target = getattr(target, part, None)
    return target is value


def _is_library(value: Any) -> bool:
    return (getattr(value, "__module__", None) or "").split(".")[0] in _LIBRARIES


def code(function: Any) -> str:
    """A digest of a function's or class's source without comments, layout and docstrings."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        source = ast.unparse(_without_docstrings(ast.parse(source)))
    except (OSError, TypeError, SyntaxError, ValueError):
        # Typed into an interpreter, or a lambda out of the middle of a statement.
        source = ""
    compiled = getattr(function, "__code__", None)
    if compiled is not None and (not source or compiled.co_name == "<lambda>"):
        # A statement may hold several lambdas; they differ in their bytes.
        source += repr(_bytecode(compiled))
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _bytecode(compiled: types.CodeType) -> tuple[Any, ...]:
    constants = (
        _bytecode(value) if isinstance(value, types.CodeType) else value
        for value in compiled.co_consts
    )
    return compiled.co_code, compiled.co_names, *constants


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            constant = body[0].value
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree
