"""From an example as it is stored to named arrays: the transforms that run on the host."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jresnet.data.info import Example, Info, Spec
from jresnet.errors import UsageError

# Names that the pipeline itself adds to a batch.
RESERVED = ("valid", "index", "broken", "row")


@runtime_checkable
class ImageTransform(Protocol):
    """A transform of one image alone, such as `crops.RandomResizedCrop`. Pickles."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of every image it returns."""
        ...

    def __call__(self, image: np.ndarray | bytes, rng: np.random.Generator) -> np.ndarray: ...


@runtime_checkable
class Transform(Protocol):
    """A transform of one example. Pickles, since Grain's workers are other processes."""

    def spec(self, info: Info) -> Spec:
        """Shapes and types of what a call returns, the same for every example.

        Raises UsageError for a dataset that it cannot be used on.
        """
        ...

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Named arrays of one example.

        Args:
            example: as the source gives it.
            rng: for random augmentation; a function of the seed and the example's place.

        Raises:
            ExampleError: for an example that cannot be used, such as a mask that does not fit its
                image. It is named, counted and left out.
            UsageError: for a fault that is to stop the run.
        """
        ...


@runtime_checkable
class Validates(Protocol):
    """A transform that knows which values a dataset may have."""

    def validate(self, arrays: Mapping[str, np.ndarray], info: Info) -> None:
        """Raise UsageError or ExampleError, without the example's name, for other values."""
        ...


@dataclasses.dataclass(frozen=True)
class Labelled:
    """An image and its class: `image` uint8 [H, W, C] and `label` int32 [].

    `crop` makes images of one shape; without it they stay as they are.
    """

    crop: ImageTransform | None = None

    def spec(self, info: Info) -> Spec:
        """Raises UsageError for images that differ in size where there is no crop."""
        shape = info.fixed_shape if self.crop is None else self.crop.image_shape
        if info.class_of != "image":
            raise UsageError(
                f"dataset={info.name!r}: its images have no class each; expected train_transform "
                "and eval_transform for its kind of examples"
            )
        if shape is None:
            raise UsageError(
                f"dataset={info.name!r}: its images differ in size; expected train_transform and "
                "eval_transform, such as RandomResizedCrop() and ResizeCenterCrop()"
            )
        return {
            "image": jax.ShapeDtypeStruct(shape, np.uint8),
            "label": jax.ShapeDtypeStruct((), np.int32),
        }

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises images.DecodeError."""
        image = example["image"] if self.crop is None else self.crop(example["image"], rng)
        return {"image": image, "label": np.asarray(example["label"], np.int32)}

    def validate(self, arrays: Mapping[str, np.ndarray], info: Info) -> None:
        """Raises UsageError for a class that the dataset does not have, and for an odd image."""
        if not 0 <= (label := int(arrays["label"])) < info.num_classes:
            raise UsageError(
                f"label={label}: expected 0 to {info.num_classes - 1}, "
                f"{info.name!r} has {info.num_classes} classes"
            )
        shape = arrays["image"].shape
        if self.crop is None and shape != info.fixed_shape:
            raise UsageError(
                f"image is {shape}: expected {info.fixed_shape} as the others, or train_transform "
                "and eval_transform"
            )


@dataclasses.dataclass(frozen=True)
class AsStored:
    """Examples that are arrays of one shape already, as `Info.spec` says."""

    def spec(self, info: Info) -> Spec:
        """Raises UsageError for a dataset without such a spec."""
        if info.spec is None:
            raise UsageError(f"dataset={info.name!r}: expected train_transform and eval_transform")
        return info.spec

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The example's arrays."""
        del rng
        return {name: np.asarray(value) for name, value in example.items()}


def as_transform(transform: Any, info: Info) -> Any:
    """The transform that a field of `ImageData` stands for.

    None is `AsStored` or `Labelled`, by the dataset; a transform of an image alone is `Labelled`;
    all else stays.
    """
    if transform is None:
        return Labelled() if info.spec is None else AsStored()
    if not hasattr(transform, "spec") and hasattr(transform, "image_shape"):
        return Labelled(transform)
    return transform
