"""Libraries that are extras of the installation."""

import importlib
import importlib.util
from typing import Any

from jresnet.errors import UsageError


def library(name: str, extra: str) -> Any:
    """The module of that name. Raises UsageError, naming the extra, where it is not installed."""
    package = name.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"{package} is not installed: pip install 'jresnet[{extra}]'")
    return importlib.import_module(name)
