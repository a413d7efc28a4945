"""`library`, by the name under which the packages above know it."""

from jresnet.extras import library

__all__ = ["library"]
