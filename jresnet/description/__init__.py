"""Live objects as JSON, to be compared later, and back.

A net, a task, a data set or an optimizer is data: dataclasses, tuples, numbers, functions and
closures over them. `describe` writes that down, `differences` says where two descriptions part,
and `rebuild` makes the object again, from names in packages that are known to do no harm.
"""

from jresnet.description.describing import code, describe, real_name
from jresnet.description.differences import differences
from jresnet.description.rebuilding import DescriptionError, rebuild, rebuild_optimizer

__all__ = [
    "DescriptionError",
    "code",
    "describe",
    "differences",
    "real_name",
    "rebuild",
    "rebuild_optimizer",
]
