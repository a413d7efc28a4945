"""MedMNIST's `.npz` files: pictures and volumes with a class, a grade or any number of labels."""

import dataclasses
import functools
import re
from collections.abc import Mapping

import jax
import numpy as np

from jresnet.data.fit import Fit
from jresnet.data.info import Example, Info, Spec
from jresnet.data.sources.array_file import ArraySource, NpzFile
from jresnet.data.sources.medmnist_sets import MANY, SETS, Kind, MedMnistSet
from jresnet.errors import UsageError

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class MedMnist(NpzFile):
    """A file with `<split>_images` and `<split>_labels` for train, val and test.

    Images are uint8 `[N, H, W]`, `[N, H, W, 3]` or, of a volume, `[N, D, H, W]`; labels are
    integers `[N, 1]`, or 0 and 1 `[N, labels]`. The file's name says which set it is, with or
    without its resolution, such as `bloodmnist.npz` or `bloodmnist_64.npz`. Of a file of another
    name the classes are called by their numbers, and several columns of labels are a multi-label
    set.

    Raises UsageError, naming the file, where it is opened and is not of this form.
    """

    def info(self) -> Info:
        """Names of the classes or labels; `class_of` is None where an image has several labels."""
        sizes = {split: len(self.labels(split)) for split in SPLITS}
        shape = self._arrays["train"][0].shape[1:]
        class_of = None if self.many else "image"
        return Info(self.path.stem, len(self.classes), self.classes, shape, sizes, class_of)

    def open(self, split: str, encoded: bool = False) -> "ArraySource":
        """The images are arrays whatever encoded says."""
        del encoded
        if split not in SPLITS:
            raise UsageError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
        return ArraySource(str(self.path), split, *self._arrays[split])

    @property
    def known(self) -> MedMnistSet | None:
        """The facts about the set that the file's name tells; None for another name."""
        return SETS.get(self.key)

    @property
    def key(self) -> str:
        """The file's name without its resolution."""
        return re.sub(r"_\d+$", "", self.path.stem.lower())

    @property
    def release(self) -> str | None:
        """The release of MedMNIST whose splits are as large as these; None where none has such.

        Results are published on MedMNIST v2; MedMNIST+ lacks a few examples of five sets.
        """
        sizes = tuple(len(self.labels(split)) for split in SPLITS)
        return self.known.release(sizes) if self.known else None

    @property
    def many(self) -> bool:
        """Whether an image has any number of labels."""
        return self.labels("train").ndim == 2

    @property
    def kind(self) -> Kind:
        """The kind of task, by the set's facts or else by the labels."""
        if self.known is not None:
            return self.known.kind
        return MANY if self.many else "binary-class" if len(self.classes) == 2 else "multi-class"

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels."""
        labels = self.labels("train")
        count = labels.shape[1] if self.many else int(labels.max()) + 1
        if self.known is None:
            return tuple(map(str, range(max(2, count))))
        if count != len(self.known.classes):
            raise self._fault(
                f"train_labels has {count} classes; expected {len(self.known.classes)}, those of "
                f"{self.key}"
            )
        return self.known.classes

    def labels(self, split: str) -> np.ndarray:
        """int32 `[N]`, or `[N, labels]`."""
        return self._arrays[split][1]

    @functools.cached_property
    def _arrays(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        arrays = {split: self._split(split) for split in SPLITS}
        shapes = {images.shape[1:] for images, _ in arrays.values()}
        columns = {labels.shape[1:] for _, labels in arrays.values()}
        if len(shapes) > 1 or len(columns) > 1:
            raise self._fault(f"splits of several shapes {sorted(shapes)}; expected one")
        learnt = int(arrays["train"][1].max())
        for split, (_, labels) in arrays.items():
            if labels.max() > learnt:
                raise self._fault(
                    f"{split}_labels has {labels.max()}; expected 0 to {learnt}, as train_labels"
                )
        return arrays

    def _split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images `[N, *spatial, channels]` and labels of a split."""
        self._check(f"{split}_images", f"{split}_labels")
        labels, images = self._read(f"{split}_labels"), self._read(f"{split}_images")
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
            raise self._fault(
                f"{split}_images is {images.dtype} {images.shape}; expected uint8 [N, H, W], "
                "[N, H, W, 3] or [N, D, H, W]"
            )
        integers = np.issubdtype(labels.dtype, np.integer) and labels.ndim in (1, 2)
        if not integers or len(labels) != len(images) or not labels.size:
            raise self._fault(
                f"{split}_labels is {labels.dtype} {labels.shape}; expected integers "
                f"[{len(images)}, 1] or [{len(images)}, labels]"
            )
        several = labels.ndim == 2 and labels.shape[1] > 1
        highest = 1 if several else 255
        if labels.min() < 0 or labels.max() > highest:
            raise self._fault(
                f"{split}_labels has {labels.min()} to {labels.max()}; expected 0 to {highest}"
            )
        colour = images.ndim == 4 and images.shape[-1] == 3
        flat = labels if several else labels.reshape(len(labels))
        return images if colour else images[..., None], flat.astype(np.int32)


@dataclasses.dataclass(frozen=True)
class WithLabels:
    """An image of one shape, or a file of a picture fitted to it, with its class or labels.

    - shape: `[*spatial, channels]` of the image.
    - labels: how many it has; 0 for one class.
    """

    shape: tuple[int, ...]
    labels: int = 0

    def spec(self, info: Info) -> Spec:
        """`image` uint8 and `label` int32, whatever the dataset."""
        del info
        return {
            "image": jax.ShapeDtypeStruct(self.shape, np.uint8),
            "label": jax.ShapeDtypeStruct((self.labels,) if self.labels else (), np.int32),
        }

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The arrays of one example. Raises DecodeError."""
        image, label = example["image"], np.asarray(example["label"], np.int32)
        image = self._fit(image, rng) if isinstance(image, bytes) else image
        return {"image": image, "label": np.broadcast_to(label, (self.labels,) * bool(self.labels))}

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in a picture of this size."""
        return self._fit.place(height, width)

    def validate(self, arrays: Mapping[str, np.ndarray], info: Info) -> None:
        """Raise UsageError for a class that the dataset does not have."""
        highest = 1 if self.labels else info.num_classes - 1
        if not 0 <= arrays["label"].min() <= arrays["label"].max() <= highest:
            raise UsageError(f"label={arrays['label'].tolist()}: expected 0 to {highest}")

    @property
    def _fit(self) -> Fit:
        if len(self.shape) != 3:
            raise UsageError(f"image={self.shape}: expected a picture, the run is of volumes")
        return Fit(self.shape)  # type: ignore[arg-type]
