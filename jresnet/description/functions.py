"""Functions within functions, such as an optimizer's, from their descriptions.

Their code is looked up in the function that defines them, which is not called.
"""

import importlib
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any


def inner_function(
    name: str, closure: Mapping[str, Any], defaults: Mapping[str, Any]
) -> types.FunctionType:
    """The function `module:outer.<locals>.inner`, which closes over `closure`.

    `defaults` are positional under "0", "1", ..., and by keyword. Raises LookupError if there is
    no such function, or more than one.
    """
    module, _, qualified = name.partition(":")
    target: Any = importlib.import_module(module)
    for part in qualified.partition(".<locals>.")[0].split("."):
        target = getattr(target, part)
    outer = inspect.unwrap(target)
    candidates = [
        code
        for code in _codes(outer.__code__)
        if code.co_qualname == qualified and set(code.co_freevars) == set(closure)
    ]
    if len({(code.co_code, code.co_consts) for code in candidates}) != 1:
        raise LookupError(f"{name} is there {len(candidates)} times, closing over {[*closure]}")
    code = candidates[0]
    positional = tuple(value for key, value in defaults.items() if key.isdigit())
    cells = tuple(types.CellType(closure[name]) for name in code.co_freevars)
    function = types.FunctionType(
        code, vars(importlib.import_module(module)), code.co_name, positional, cells
    )
    function.__kwdefaults__ = {k: v for k, v in defaults.items() if not k.isdigit()} or None
    return function


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)
