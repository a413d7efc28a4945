"""Made-up examples in place of a data set's, for runs that only see whether everything works."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from jresnet.data.info import Dataset, Info, Source

Resolve = Callable[..., Dataset]

_PER_CLASS = 100
_SIDE = 32
_in_place = False


@contextlib.contextmanager
def no_data_needed() -> Iterator[None]:
    """Within it no data set is read or prepared: `source.resolve` gives made-up ones."""
    global _in_place
    from jresnet.data.split import read_split

    before, _in_place = _in_place, True
    read_split.cache_clear()  # of the same names
    try:
        yield
    finally:
        _in_place = before
        read_split.cache_clear()


def instead(resolve: Resolve) -> Resolve:
    """`resolve`, or within `no_data_needed` the made-up data set in place of the one of a name."""

    @functools.wraps(resolve)
    def resolved(dataset: str | Dataset, data_dir: Path | None = None) -> Dataset:
        real = resolve(dataset, data_dir)
        return StandIn(real) if _in_place and isinstance(dataset, str) else real

    return resolved


@dataclasses.dataclass(frozen=True)
class StandIn:
    """The names, classes and channels of a data set, and made-up images in 100 examples a class."""

    dataset: Dataset

    def info(self) -> Info:
        """The real one's, which is known without its images."""
        return self.dataset.info()

    def open(self, split: str, encoded: bool = False) -> Source:
        """Any split but "train" is a test split; images are arrays, of their own size where all have one."""
        from jresnet.data.sources.synthetic import Synthetic

        info = self.info()
        height, width, channels = (*info.image_shape, None, None, None)[:3]
        shape = (height or _SIDE, width or _SIDE, channels or 3)
        size = _PER_CLASS * info.num_classes
        made_up = Synthetic(shape, info.num_classes, size, size)
        return made_up.open("train" if split == "train" else "test", encoded)
