"""An old name of `jresnet.recipes`, for scripts of the first version."""

from jresnet.recipes import he2015

__all__ = ["he2015"]
