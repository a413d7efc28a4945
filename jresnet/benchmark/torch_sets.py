"""The peers in torchvision: its own sets and transforms of boxes, label maps and clips.

Imported only where torchvision is installed; for clips it wants torchcodec too.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torchvision import datasets, tv_tensors  # pyright: ignore[reportMissingImports]
from torchvision.transforms import v2  # pyright: ignore[reportMissingImports]

from jresnet.benchmark.decoding import alone
from jresnet.benchmark.input_sets import CLIP, CROP, JITTER, InputSet, Kind
from jresnet.benchmark.photos import SIZE
from jresnet.benchmark.rates import Loader, Rate
from jresnet.benchmark.torch_input import endless
from jresnet.data.augment.geometry import IGNORED
from jresnet.data.films import RATE


def boxes(chosen: InputSet) -> Any:
    """VOCDetection with large-scale jitter: image uint8 [3, CROP, CROP] and a dict of boxes."""
    square = CROP, CROP
    transforms = v2.Compose(
        [
            v2.ToImage(),
            v2.ScaleJitter(square, JITTER),
            v2.RandomCrop(square, pad_if_needed=True),
            v2.SanitizeBoundingBoxes(),
        ]
    )
    dataset = datasets.VOCDetection(str(chosen.folder), transforms=transforms)
    return datasets.wrap_dataset_for_transforms_v2(dataset, target_keys=("boxes", "labels"))


def maps(chosen: InputSet) -> Any:
    """VOCSegmentation, scaled and cut at random: image uint8 [3, CROP, CROP] and map [CROP, CROP]."""
    low, high = (round(factor * min(SIZE)) for factor in JITTER)
    fill = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORED}
    crop = v2.RandomCrop((CROP, CROP), pad_if_needed=True, fill=fill)
    transforms = v2.Compose([v2.ToImage(), v2.RandomResize(low, high), crop])
    dataset = datasets.VOCSegmentation(str(chosen.folder), transforms=transforms)
    return datasets.wrap_dataset_for_transforms_v2(dataset)


def clips(chosen: InputSet) -> Any:
    """Kinetics, every other frame, scaled and cut at random: uint8 [frames, 3, *size]."""
    cut = v2.Compose([v2.Resize(CLIP.resize), v2.RandomCrop(CLIP.size)])
    return datasets.Kinetics(
        str(chosen.folder),
        frames_per_clip=CLIP.frames,
        frame_rate=RATE / CLIP.stride,
        transform=cut,
        extensions=("mp4",),
    )


SETS: Mapping[Kind, Callable[[InputSet], Any]] = {"boxes": boxes, "maps": maps, "clips": clips}


@contextlib.contextmanager
def loader(chosen: InputSet, workers: int) -> Iterator[Loader]:
    """Batches of torchvision's set by a DataLoader with `workers` processes."""
    size = chosen.data.batch_size
    with endless(SETS[chosen.kind](chosen), size, workers, collate=stacked) as batches:
        yield batches


@contextlib.contextmanager
def one_thread(chosen: InputSet, clock: Callable[[], float]) -> Iterator[Rate]:
    """The rate of torchvision's set in this process, its examples in a random order."""
    dataset, threads = SETS[chosen.kind](chosen), torch.get_num_threads()
    order = np.random.default_rng(0).permutation(len(dataset)).tolist()
    torch.set_num_threads(1)  # as in a worker of its DataLoader
    try:
        yield alone(order, lambda index, rng: dataset[index], clock)
    finally:
        torch.set_num_threads(threads)


def stacked(rows: list[Any]) -> list[Any]:
    """A batch: arrays of one shape in one, and dicts of boxes, which differ in theirs, in a list."""
    return [
        list(part) if isinstance(part[0], dict) else torch.stack([*map(torch.as_tensor, part)])
        for part in zip(*rows, strict=True)
    ]
