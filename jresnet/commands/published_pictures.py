"""`evaluate` of nets that enlarge pictures, with the weights of a checkpoint file."""

from pathlib import Path

from jresnet.commands.trained import Trained
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.picture_layouts import split_of
from jresnet.data.sources.pictures import Unsplit


def pictures_for(
    trained: Trained, dataset: str, split: str, batch_size: int, workers: int
) -> ImageData:
    """The pictures to evaluate on, whole: those of the set's part `split`, or all without parts.

    Raises UsageError for a folder of fewer than two.
    """
    place = split_of(Path(dataset), split) or Path(dataset)
    return ImageData(
        Unsplit(place, test_pictures=place),
        1,
        eval_batch_size=batch_size,
        train_transform=trained.transform,
        eval_transform=trained.transform,
        fill=True,
        workers=workers,
    )
