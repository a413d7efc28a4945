"""Published recipes that several experiments share.

`imagenet.RECIPES` are those of ImageNet, `cifar.RECIPES` those of the CIFAR papers.
"""

from jresnet.recipes.cifar import he2015
from jresnet.recipes.recipe import Recipe

__all__ = ["Recipe", "he2015"]
