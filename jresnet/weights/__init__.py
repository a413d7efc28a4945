"""torch's state dicts and files to variables and back, without torch."""

from jresnet.weights.convert import WeightsError, from_torch, to_torch
from jresnet.weights.files import load, save

__all__ = ["WeightsError", "from_torch", "load", "save", "to_torch"]
