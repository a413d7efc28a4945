"""From positions in a split to examples and batches, on the host."""

import dataclasses

import numpy as np

from jresnet.data import broken
from jresnet.data.buckets import Buckets
from jresnet.data.decoders import DecodeError
from jresnet.data.info import Info, Source, Spec
from jresnet.data.transform import Transform, Validates
from jresnet.errors import UsageError

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Load:
    """From a position in the split to an example.

    - `transforms`, `specs`: one a bucket.
    - `marked`: whether elements are those of `Buckets.in_order`, with padding, and examples say
      which are real.
    """

    source: Source
    transforms: tuple[Transform, ...]
    specs: tuple[Spec, ...]
    info: Info
    buckets: Buckets
    marked: bool = False

    def __call__(self, element: int, rng: np.random.Generator) -> Batch:
        """One example, and "broken" int64 [2]: its position, and how many files are broken in a row from there on.

        The next readable example of its bucket stands in for them, with valid 0. Raises UsageError,
        naming the example, for arrays that are not as the spec says, for values that the set cannot
        have, for a file that cannot be read, and for more broken ones than a set may have.
        """
        size = len(self.source)
        first, inside = (int(value) for value in self.buckets.locate(np.asarray(element)))
        for skipped, index in enumerate(self.buckets.following(first)):
            try:
                loaded = self.read(index, rng)
            except broken.BrokenExampleError as error:
                broken.check(self.info.name, skipped + 1, size, str(error))
                continue
            loaded["broken"] = np.asarray((first, skipped if inside else 0), np.int64)
            if self.marked:
                loaded["valid"] = np.asarray(inside and not skipped, np.float32)
                loaded["index"] = np.asarray(first, np.int32)
            return loaded
        raise UsageError(f"dataset={self.info.name!r}: not one of {size} files is readable")

    def fault(self, index: int) -> str:
        """One line that says how a file is broken, with its name."""
        try:
            self.read(index, np.random.default_rng(0))
        except broken.BrokenExampleError as error:
            return " ".join(str(error).split())
        # Whether a file breaks may depend on the crop, since that decides how it is decoded.
        return f"{self.source.describe(index)}: not a readable {self.kind} (at times)"

    @property
    def kind(self) -> str:
        """The word for a file: an image, or a video where a class is that of a clip."""
        return "video" if self.info.class_of == "clip" else "image"

    def read(self, index: int, rng: np.random.Generator) -> Batch:
        """The arrays of one example. Raises BrokenExampleError and UsageError with its name."""
        example = self.source[index]
        bucket = self.buckets.bucket(index)
        transform = self.transforms[bucket]
        try:
            arrays = transform(example, rng)
            if isinstance(transform, Validates):
                transform.validate(arrays, self.info)
        except DecodeError as error:
            raise broken.BrokenExampleError(
                f"{self.source.describe(index)}: not a readable {self.kind} ({error})"
            ) from error
        except broken.ExampleError as error:
            raise broken.BrokenExampleError(f"{self.source.describe(index)}: {error}") from error
        except UsageError as error:
            raise UsageError(f"{self.source.describe(index)}: {error}") from error
        if fault := mismatch(arrays, self.specs[bucket]):
            raise UsageError(
                f"{self.source.describe(index)}: {fault}, by the spec of {type(transform).__name__}"
            )
        return dict(arrays)


def mismatch(arrays: Batch, spec: Spec) -> str:
    """Where arrays are not as their spec says, as "NAME is ...: expected ..."; "" where they are."""
    for name in sorted(arrays.keys() | spec.keys()):
        if name not in spec:
            return f"{name} is {_kind(arrays[name])}: expected no such array"
        expected = f"{spec[name].dtype} {spec[name].shape}"
        if name not in arrays:
            return f"{name} is missing: expected {expected}"
        if (kind := _kind(arrays[name])) != expected:
            return f"{name} is {kind}: expected {expected}"
    return ""


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__
