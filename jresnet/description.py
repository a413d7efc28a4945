"""Live objects as JSON, to be compared later, and back.

A net, a task, a data set or an optimizer is data: dataclasses, tuples, numbers, functions and
closures over them. `describe` writes that down, `differences` says where two descriptions part,
and `rebuild` makes the object again, from names in packages that are known to do no harm.
"""

import ast
import dataclasses
import enum
import functools
import hashlib
import importlib
import inspect
import sys
import textwrap
import types
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

# Packages whose code a version stands for; anything else is the user's and may change any time.
_LIBRARIES = ("jresnet", "jax", "flax", "optax", "numpy", "functools", "builtins")
# Where a description may take classes and functions from ...
_KNOWN = (
    "jresnet.models", "jresnet.data", "jresnet.tasks", "flax.linen",
    "jax.nn", "jax.numpy", "jax._src.nn", "jax._src.numpy",
)  # fmt: skip
# ... and functions that it may call, for the function that they return.
_CALLED = ("jresnet.models", "jax._src.nn.initializers", "flax.linen.initializers")


# Under these keys of a description lie the fields of what it describes.
_FIELDS = ("fields", "dict", "closure", "defaults")


class DescriptionError(ValueError):
    """A description that cannot be turned into the object. One line."""


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
    return {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        # A linen module's parent and name are its place in another one.
        if field.init
        and field.name not in ("parent", "name")
        and not field.metadata.get("incidental")
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


def differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two descriptions part: (path, the first's value, the other's).

    A field that only one of them has is passed over: a later version may have more. So is the
    module of a name: code moves, also into the library, where its version stands for the code.
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() ^ other.keys() <= {"code"}:
        for key in (key for key in one if key in other):
            if key not in _FIELDS:
                yield from differences(one[key], other[key], path)
                continue
            for name in (name for name in one[key] if name in other[key]):
                inner = f"{path}.{name}".removeprefix(".")
                yield from differences(one[key][name], other[key][name], inner)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif _comparable(one) != _comparable(other):
        yield path, one, other


def _comparable(value: Any) -> Any:
    return value.rpartition(":")[2] if isinstance(value, str) else value


def rebuild(description: Any) -> Any:
    """The object of a description. Raises DescriptionError, naming what cannot be made."""
    if isinstance(description, list):
        return tuple(rebuild(item) for item in description)
    if not isinstance(description, dict):
        return description
    match description:
        case {"float": text}:
            return float(text)
        case {"dtype": name}:
            return jax.numpy.dtype(name).type
        case {"dict": items}:
            return {key: rebuild(item) for key, item in items.items()}
        case {"new": name, "fields": fields}:
            kind = _find(name, _KNOWN)
            if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
                raise DescriptionError(f"{name} is not a dataclass")
            known = {field.name for field in dataclasses.fields(kind)}
            return kind(**{k: rebuild(v) for k, v in fields.items() if k in known})
        case {"name": name, **rest} if "code" not in rest:
            return _find(name, _KNOWN)
        case {"function": name, "closure": closure} if ".<locals>." in name:
            # A function made by another one, such as an initializer: by the same call.
            outer = _find(name.split(".<locals>.")[0], _CALLED)
            parameters = inspect.signature(outer).parameters
            return outer(**{k: rebuild(v) for k, v in closure.items() if k in parameters})
    named = next(
        (str(v) for k, v in description.items() if k in ("name", "function", "object")), ""
    )
    raise DescriptionError(f"{named or description} cannot be made again from its description")


def _find(name: str, allowed: tuple[str, ...]) -> Any:
    module, _, qualified = name.partition(":")
    if not any(module == known or module.startswith(f"{known}.") for known in allowed):
        raise DescriptionError(f"{name} is not part of {', '.join(allowed)}")
    try:
        target: Any = importlib.import_module(module)
        for part in qualified.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError) as error:
        raise DescriptionError(f"{name} is not there ({error})") from error
    return target
