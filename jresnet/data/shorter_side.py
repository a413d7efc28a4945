"""Whole images with a label map, scaled so that their shorter side has one length."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from jresnet.data.buckets import Bucketed, Size, smallest_that_holds
from jresnet.data.with_map import Box, FitWithMap
from jresnet.errors import UsageError

STEP = 32  # pixels between the lengths of the longer side; at most so many are padded
LONGEST = 4  # times the shorter side


@dataclasses.dataclass(frozen=True)
class ScaledWithMap(FitWithMap):
    """`FitWithMap` that also scales an image up which is smaller than `size`."""

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        del rng
        assert self.size is not None
        scale = max(height / self.size[0], width / self.size[1])
        return 0.0, 0.0, self.size[1] * scale, self.size[0] * scale


@dataclasses.dataclass(frozen=True)
class AtShorterSide(Bucketed):
    """Images whose shorter side is scaled to `side` pixels, as torchvision evaluates label maps.

    The longer side is padded at its end to `side` or a multiple of 32, so that images of any
    proportions make few programs. One that is longer than four times its shorter side is scaled
    to fit into that.
    """

    transforms: tuple[FitWithMap, ...] = dataclasses.field(init=False, repr=False)
    choose: Callable[[Size, Sequence[Size]], int] = dataclasses.field(init=False, repr=False)
    image: str = dataclasses.field(default="image", init=False, repr=False)
    side: int = 520
    channels: int = 3

    def __post_init__(self) -> None:
        if self.side < 1:
            raise UsageError(f"side={self.side}: expected pixels")
        first = (self.side // STEP + 1) * STEP
        lengths = [self.side, *range(first, LONGEST * self.side + STEP, STEP)]
        wide = [(self.side, length) for length in lengths]
        sizes = [*wide, *((width, height) for height, width in wide[1:])]
        each = tuple(ScaledWithMap(size, self.channels) for size in sizes)
        object.__setattr__(self, "transforms", each)
        object.__setattr__(self, "choose", holding_scaled)


def holding_scaled(size: Size, buckets: Sequence[Size]) -> int:
    """The bucket that holds an image of `size`, scaled to the shorter side that all buckets have."""
    side = min(buckets[0])
    longest = max(map(max, buckets))
    scaled = (min(longest, round(length * side / min(size))) for length in size)
    return smallest_that_holds(tuple(scaled), buckets)
