"""The recipe under the name by which scripts of the first version import it; see `jresnet.recipes`."""

from jresnet.recipes import he2015

__all__ = ["he2015"]
