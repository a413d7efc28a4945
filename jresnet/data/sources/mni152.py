"""Grey and white matter of the MNI152 head, out of the files that nilearn carries.

The ICBM 2009a symmetric template (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033): the
average of 152 heads after they were warped onto each other, at 1 mm. It is a single head, smoother
than that of any person, and its left half is the mirror image of its right half, to the bit. So one
half cannot test what was learnt on the other: here the back of the brain trains and its front tests.
"""

import dataclasses
import functools
import importlib.util
from pathlib import Path

import numpy as np

from jresnet.data.info import Example, Info
from jresnet.data.sources.volume_files import read_nifti
from jresnet.data.volumes import PREPARATION, Preparation, Size, Volume, upright
from jresnet.errors import UsageError

CLASSES = ("background", "grey matter", "white matter")
FILES = {
    name: f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm")
}
# The left half of the brain with its midline, by the voxels of the upright volume.
_HEIGHTS, _LEFT = slice(0, 155), slice(26, 99)
_BACK, _FRONT = slice(27, 117), slice(117, 208)
_SLABS = (slice(0, 52), slice(52, 104), slice(104, 155))  # of the front, from below


@dataclasses.dataclass(frozen=True)
class Mni152:
    """The back of the brain as "train", and its front in three slabs as "test".

    A voxel is grey or white matter where the probability of it is above one half, else background;
    no voxel is both. "train" names the same volume `visits` times, since a batch takes patches of
    as many examples as it has rows.
    """

    visits: int = 32
    preparation: Preparation = PREPARATION

    def info(self) -> Info:
        """The facts, which are known without the files."""
        counts = {"train": self.visits, "test": len(_SLABS)}
        shape = (None, None, None, 1)
        return Info("MNI152", len(CLASSES), CLASSES, shape, counts, "pixel")

    def open(self, split: str, encoded: bool = False) -> "HeadParts":
        """The examples of "train" or "test". Raises UsageError where nilearn is not installed."""
        del encoded
        if split not in ("train", "test"):
            raise UsageError(f"split={split!r}: expected 'train' or 'test'")
        if split == "train":
            return HeadParts("back of the brain", (self._halves[0],) * self.visits)
        front = self._halves[1]
        slabs = [
            {**front, "image": front["image"][slab], "map": front["map"][slab]} for slab in _SLABS
        ]
        return HeadParts("front of the brain, slab", tuple(slabs))

    def largest(self) -> Size:
        """The longest side of the parts that are tested on, along each axis."""
        return 52, 91, 73

    @functools.cached_property
    def _halves(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Back and front, each prepared by itself."""
        folder = find_folder()
        whole = {name: upright(read_nifti(folder / file)) for name, file in FILES.items()}
        halves = []
        for part in (_BACK, _FRONT):
            t1, grey, white = (v.values[_HEIGHTS, part, _LEFT] for v in whole.values())
            image = self.preparation.image(Volume(t1, whole["t1"].affine))
            labels = np.where(grey > 127.5, 1, np.where(white > 127.5, 2, 0))[..., 0]
            spacing = np.ones(3, np.float32)
            halves.append({"image": image, "map": labels.astype(np.int32), "spacing": spacing})
        return halves[0], halves[1]


@dataclasses.dataclass(frozen=True, eq=False)
class HeadParts:
    """One split. An example is `image` float32 `[depth, height, width, 1]`, `map` and `spacing`."""

    title: str
    parts: tuple[dict[str, np.ndarray], ...]

    def __len__(self) -> int:
        return len(self.parts)

    def describe(self, index: int) -> str:
        """Such as "MNI152 front of the brain, slab 1 from below"."""
        return f"MNI152 {self.title} {index + 1}"

    def __getitem__(self, index: int) -> Example:
        return dict(self.parts[index])


def find_folder() -> Path:
    """Where nilearn keeps its data. Raises UsageError where it is not installed."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise UsageError(
            "dataset missing: the MNI152 head comes with nilearn, which is not installed; expected "
            "pip install 'jresnet[medical]', or a folder of volumes"
        )
    folder = Path(spec.origin).parent / "datasets" / "data"
    missing = [name for name in FILES.values() if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"{missing[0]}: not in this version of nilearn; expected 0.9 or newer")
    return folder
