"""Heads on a backbone, one file a head."""

from jresnet.models.heads.classifier import Classifier
from jresnet.models.heads.precomputed import Precomputed

__all__ = ["Classifier", "Precomputed"]
