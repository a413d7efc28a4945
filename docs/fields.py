"""Extension of griffe: the fields of a linen module are the arguments that build it."""

from typing import Any

import griffe


class Fields(griffe.Extension):
    """Treat subclasses of `flax.linen.Module` as the dataclasses that flax turns them into."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Mark one class for griffe's own reading of dataclasses, which runs later."""
        bases = [base for base in cls.bases if isinstance(base, griffe.Expr)]
        if any(base.canonical_path == "flax.linen.Module" for base in bases):
            mark = griffe.ExprName("dataclasses.dataclass")
            cls.decorators.append(griffe.Decorator(mark, lineno=cls.lineno, endlineno=cls.lineno))
