"""`predict` of a run that was trained on volumes: NIfTI files and DICOM series to label maps."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jresnet.commands.results import Results
from jresnet.commands.table import Table
from jresnet.commands.trained import Trained, load_task
from jresnet.data.broken import BrokenExampleError, ExampleError
from jresnet.data.info import Info
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.files import list_folder
from jresnet.data.sources.volume_files import header, is_volume, nifti_bytes, stem
from jresnet.data.sources.volume_layouts import case_of
from jresnet.data.sources.volumes import read_channels
from jresnet.data.volume_parts import WholeVolume, middle
from jresnet.data.volumes import Preparation, Volume, spacing_of, upright
from jresnet.errors import UsageError
from jresnet.report.label_maps import class_colours
from jresnet.tasks.case import Prediction
from jresnet.tasks.segment import Segment
from jresnet.tasks.volume_pictures import COLUMNS, told
from jresnet.text import shown
from jresnet.weights.recorded import Recorded


@dataclasses.dataclass(frozen=True)
class TrainedOnVolumes:
    """A trained net, and how its run prepared volumes."""

    trained: Trained
    preparation: Preparation
    channels: int


def takes_volumes(recorded: Recorded) -> bool:
    """Whether a run was evaluated on prepared volumes."""
    return isinstance(recorded.transform(), WholeVolume)


def load_volumes(recorded: Recorded) -> TrainedOnVolumes:
    """The net of a run of volumes.

    Raises UsageError if its task is not segmentation, if its data does not tell how volumes are
    prepared, and as `load_task` does.
    """
    task, variables = load_task(recorded)
    data = recorded.data()
    preparation = (
        getattr(data.dataset, "preparation", None) if isinstance(data, ImageData) else None
    )
    run = f"run {str(recorded.folder)!r}"
    if not isinstance(task, Segment):
        raise UsageError(f"{run}: its task is {type(task).__name__}: expected Segment for volumes")
    if not isinstance(preparation, Preparation):
        raise UsageError(f"{run}: its data has no preparation: expected one, as Volumes have it")
    info = Info(recorded.folder.name, len(recorded.classes), recorded.classes, class_of="pixel")
    trained = Trained(task, variables, recorded.transform(), info)
    return TrainedOnVolumes(trained, preparation, recorded.image[-1])


def find_volumes(paths: Iterable[Path]) -> Iterable[Path]:
    """Files and DICOM folders as they are; of a folder with NIfTI files these, sorted by name."""
    for path in paths:
        inside = (
            sorted(e.name for e in list_folder(path) if is_volume(e.name)) if path.is_dir() else []
        )
        yield from [path / name for name in inside] or [path]


def find_channels(paths: Iterable[Path], channels: int) -> list[tuple[Path, ...]]:
    """The files of each case: `NAME_0000` and `NAME_0001` in one folder are one of two channels.

    A file that has all channels along its fourth axis, as that of a net of one channel, is a case by
    itself.
    """
    cases: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        whole = channels == 1 or _has_all(path, channels)
        name = path.name if whole else case_of(stem(path.name))
        cases.setdefault((path.parent, name), []).append(path)
    return [tuple(sorted(set(files))) for files in cases.values()]


def _has_all(path: Path, channels: int) -> bool:
    with contextlib.suppress(IndexError, ExampleError, OSError):  # told when it is read
        return (*header(path)[0], 1)[3] == channels
    return False


def predict_volumes(
    cases: Sequence[tuple[Path, ...]], volumes: TrainedOnVolumes, results: Results | None
) -> int:
    """Print a table of the classes of every volume; 1 if there is one that cannot be read.

    A case has a file, or one for each channel, and is named by the first. Maps and drawings are
    written too if there are `results` to add them to. A program is compiled for each padded size.
    """
    predict = volumes.trained.predict()
    table = Table(COLUMNS, [files[0] for files in cases], "volume")
    status = 0
    table.heading()
    for number, files in enumerate(cases, 1):
        path = files[0]
        try:
            volume = read_channels(files, volumes.channels)
            image = volumes.preparation.image(volume)
        except (BrokenExampleError, ExampleError, OSError) as error:
            reason = str(error).removeprefix(f"{shown(path)}: ")
            print(shown(f"skipped {path}: {reason}"), file=sys.stderr)
            status = 1
            if results is not None:
                results.skip(path, reason)
            continue
        whole = volumes.trained.transform.holding(image.shape[:-1])
        batch = whole({"image": image}, np.random.default_rng(0))
        labels = predict({name: array[None] for name, array in batch.items()})["map"][0]
        corner = middle(image.shape[:-1], whole.size)
        box = tuple(slice(-c, n - c) for c, n in zip(corner, image.shape[:-1], strict=True))
        prediction = present(labels[box], volume, volumes, results is not None)
        table.add(path, prediction.rows)
        if results is not None:
            if len(files) > 1:
                record = {**prediction.record, "channels": [str(file) for file in files]}
                prediction = dataclasses.replace(prediction, record=record)
            results.add(number, path, prediction)
    if results is not None:
        results.write()
    return status


def present(
    labels: np.ndarray, volume: Volume, volumes: TrainedOnVolumes, draw: bool
) -> Prediction:
    """The result of one volume, from its prepared map; the written map has the volume's axes."""
    names = volumes.trained.classes
    restored = volumes.preparation.restored(labels, volume)
    turned, of_body = upright(volume), upright(Volume(restored[..., None], volume.affine))
    colours = class_colours(max(len(names), int(labels.max(initial=0)) + 1))
    image = np.nan_to_num(turned.values)
    prediction = told(of_body.values[..., 0], image, names, colours, spacing_of(turned), draw)
    if not draw:
        return prediction
    files = {"nii.gz": nifti_bytes(restored, volume.affine)}
    return dataclasses.replace(prediction, files=files)
