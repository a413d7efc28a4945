"""`predict`: what a trained net makes of image files; of a classifier the likeliest classes."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from jresnet.commands.arguments import parse
from jresnet.commands.compare_faces import (
    compare_faces,
    compares_faces,
    of_file,
    of_run,
    verdict_of,
)
from jresnet.commands.detectors import detector, read_ids, with_categories
from jresnet.commands.files import check_films, find_images
from jresnet.commands.outfile import check_empty
from jresnet.commands.play_episode import play_episode, plays
from jresnet.commands.predict_clips import (
    TrainedOnClips,
    classifies_clips,
    clips_of_net,
    find_videos,
    load_clips,
    predict_clips,
    takes_clips,
)
from jresnet.commands.predict_pictures import predict_pictures
from jresnet.commands.predict_volumes import (
    find_channels,
    find_volumes,
    load_volumes,
    predict_volumes,
    takes_volumes,
)
from jresnet.commands.published_maps import class_names, count_classes, labeller
from jresnet.commands.results import Results
from jresnet.commands.trained import (
    Trained,
    load_predictor,
    other_run,
    painter,
    run_as_net,
    upscaler,
    with_saliency,
    with_strength,
)
from jresnet.commands.treatment import (
    TREATMENT,
    UNSET,
    at_hand,
    check_old_run,
    check_takes_pictures,
    subject,
    treat,
)
from jresnet.data.info import Info
from jresnet.data.lines import read_lines
from jresnet.data.normalisation import KINETICS, Normalize
from jresnet.data.sources.landmarks import read_landmarks
from jresnet.errors import UsageError
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.heads.restyle import Restyler
from jresnet.models.heads.upsample import Upscaler
from jresnet.runtime import environment as runtime
from jresnet.tasks.classify import Classify
from jresnet.text import shown
from jresnet.weights.nets import Net, load_net
from jresnet.weights.recorded import Recorded
from jresnet.weights.remote import spelled


@dataclasses.dataclass(kw_only=True)
class Predict:
    images: Positional[tuple[Path, ...]]
    """Image files, folders of which all images are taken, and video files of which all frames are.
    For a run of clips video files and folders of frames. For a run of volumes NIfTI files, folders of them, and folders of DICOM slices."""
    weights: Path
    """Checkpoint: .safetensors, .npz, .pt, .pth or .bin in torch's layout; or a run's folder."""
    out: Path | None = None
    """Also write a drawing of each result, and predictions.json, into this new or empty folder."""
    gallery: Path | None = None
    """For nets for faces: a folder of pictures, or of a folder a person, to look for the images in."""
    landmarks: Path | None = None
    """For nets for faces: a table of five points a picture, by which faces are aligned."""
    threshold: float | None = None
    """For nets for faces: the cosine from which on two pictures are one person's; by default the run's."""
    far: float | None = None
    """For nets for faces: instead of a threshold a rate of false accepts that the run has measured."""
    strength: float | None = None
    """Share of the result, from 0 to 1, of a net that paints pictures anew; the rest is the picture."""
    saliency: str | None = None
    """For classifiers of pictures: a stage of the net, such as stage3, or last, whose Grad-CAM
    `--out` draws beside each picture. It is no outline of what is in the picture."""
    labels: Path | None = None
    """Text file with the name of a class on each line; by default the run's classes, or numbers."""
    annotations: Path | None = None
    """For detectors: JSON file in COCO's format, whose ids of images and categories the results have."""
    resize: int | None = None
    """Pixels of the shorter side before the crop; by default as in the run or as published."""
    crop: int | None = None
    """Pixels of either side of the square cut from the middle; by default as in the run or as published."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Means of red, green and blue on the scale of [0, 1], for a grey net three times the same.
    Without `std` those of the run, or ImageNet's."""
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviations, as `mean`."""

    def treatment(self) -> dict[str, Any]:
        """The flags that say how pictures are cut and normalised."""
        return {name: getattr(self, name) for name in TREATMENT}


def predict(argv: Sequence[str]) -> int:
    """Results of a trained net for images: for a classifier the five likeliest classes, as a table.

    `predict runs/cifar10 photos/`
    `predict resnet50 --weights resnet50.safetensors --labels names.txt cat.jpg photos/`

    A run tells its net, its classes, and how its images were cut and normalised; its task says how
    results are shown. For a file images are treated as the net's published evaluation did;
    num_classes is read off the checkpoint. `--out` also draws each result and writes
    predictions.json. What cannot be read is named on stderr; the status is then 1.

    A run of volumes takes NIfTI files and DICOM folders and prints millilitres. Its `--out` also
    holds the map of each volume as NIfTI, with the volume's own size and axes.

    A run of clips takes videos, files or folders of frames, and prints the likeliest class of each
    clip over time and the classes of the whole. Its `--out` draws a strip of frames with them. So
    do torchvision's nets for clips by name and file, 16 frames of 112 pixels, every second one:
    `predict r3d_18 --weights r3d_18.pth --labels kinetics.txt film.mp4`

    A net that labels every pixel, such as deeplabv3_resnet50, takes pictures at torchvision's 520
    pixels of the shorter side, or `--resize`. Its 21 classes are VOC's unless `--labels` names them.

    Detectors of torchvision and detectron2 work by name and file; `--resize` is the shorter side:
    `predict maskrcnn_resnet50_fpn --weights maskrcnn.pth --out drawn photos/`
    Their `--out` also holds coco.json, COCO's format of results.

    A run of `experiments.recognize`, or an iresnet with a file, compares two pictures of faces, or
    looks for pictures in a gallery: similarity, and the verdict at a threshold whose rate of false
    accepts (FAR) is said: `predict runs/faces/small-seed0 a.png --gallery people/ --far 0.01`.

    A run of `experiments.restyle`, or the net `johnson`, paints pictures anew: `--strength 0.7`.

    A run of `experiments.games` plays an episode: `predict runs/games/small-seed0 --out film`.
    """
    argv = at_hand(argv)
    recorded = other_run(argv)
    if recorded is not None and plays(recorded):
        return play_episode(recorded, argv[1:])
    if recorded is None:
        net, run, rest = subject(argv)
    else:
        net, run, rest = run_as_net(recorded), {"weights": recorded.folder}, list(argv[1:])
    flags, arguments = parse(Predict, f"predict {net.name}", net, rest, num_classes=None, **run)
    if not flags.images:
        raise UsageError("images missing: give image files or folders")
    if flags.out is not None:
        check_empty("out", flags.out)
    runtime.prepare()  # before the weights, which may lie on a device
    if compares_faces(net, recorded):
        return faces(net, arguments, recorded, flags)
    check_unset(
        flags, f"{net.name} compares no faces", ("gallery", "landmarks", "threshold", "far")
    )
    if recorded is not None and (takes_volumes(recorded) or takes_clips(recorded)):
        check_unset(flags, f"{net.name} takes no pictures", ("saliency",))
    if recorded is not None and takes_volumes(recorded):
        check_run_decides(recorded, flags)
        trained = load_volumes(recorded)
        with_strength(trained.trained, flags.strength)
        cases = find_channels(find_volumes(flags.images), trained.channels)
        return predict_volumes(cases, trained, new_results(flags, net, len(cases)))
    if recorded is not None and takes_clips(recorded):
        check_run_decides(recorded, flags)
        clips = load_clips(recorded)
        with_strength(clips.trained, flags.strength)
        paths = list(find_videos(flags.images))
        return predict_clips(paths, clips, new_results(flags, net, len(paths)))
    if recorded is None and classifies_clips(net):
        clips = load_published_clips(net, arguments, flags)
        paths = list(find_videos(flags.images))
        return predict_clips(paths, clips, new_results(flags, net, len(paths)))
    if recorded is None:
        trained = load_classifier(net, arguments, flags)
    else:
        check_run_decides(recorded, flags)
        trained = load_predictor(recorded)
    ids = read_ids(flags.annotations)
    trained = with_saliency(with_strength(trained, flags.strength), flags.saliency)
    trained = with_categories(trained, ids)
    paths = list(find_images(flags.images))
    check_films(paths)
    return predict_pictures(paths, trained, new_results(flags, net, len(paths)), ids)


def faces(net: Net, arguments: Mapping[str, Any], recorded: Recorded | None, flags: Predict) -> int:
    """Two pictures compared, or pictures looked for in a gallery. Raises UsageError."""
    check_unset(
        flags, f"{net.name} compares faces", ("strength", "annotations", "labels", *TREATMENT)
    )
    verdict = verdict_of(recorded, flags.threshold, flags.far)
    paths = list(find_images(flags.images))
    if recorded is not None:
        trained = of_run(recorded)
    else:
        trained = of_file(net, load_net(net, arguments, flags.weights))
    points = None if flags.landmarks is None else read_landmarks(flags.landmarks)
    size = getattr(trained.transform, "size", (1, 1))
    if points is not None and size[0] != size[1]:
        raise UsageError(
            f"landmarks={shown(flags.landmarks)}: expected none with a net for pictures of "
            f"{size[0]} x {size[1]}, which are not square"
        )
    results = new_results(flags, net, len(paths))
    return compare_faces(paths, flags.gallery, trained, verdict, results, points)


def new_results(flags: Predict, net: Net, files: int) -> Results | None:
    """The folder of `--out`, if there is one."""
    if flags.out is None:
        return None
    run_folder = str(flags.weights) if flags.weights.is_dir() else None
    about = {"net": net.name, "run": run_folder, "weights": spelled(flags.weights)}
    return Results(flags.out, {**about, "versions": runtime.versions()}, files)


def load_classifier(net: Net, arguments: Mapping[str, Any], flags: Predict) -> Trained:
    """A net of the zoo or of a run, with the classes and the treatment that flags or run tell.

    A net of the zoo that enlarges pictures, paints them anew, or labels their pixels is taken too.

    Raises UsageError for what does not fit together.
    """
    check_takes_pictures(net)
    loaded = load_net(net, arguments, flags.weights)
    if isinstance(loaded.model, Upscaler):
        check_unset(flags, f"net {net.name} enlarges pictures")
        return upscaler(loaded.model, loaded.variables, net.name)
    if isinstance(loaded.model, Restyler):
        check_unset(flags, f"net {net.name} paints pictures anew")
        return painter(loaded.model, loaded.variables, net.name)
    if isinstance(loaded.model, RCNN):
        check_unset(flags, f"net {net.name} detects objects", ("crop", "mean", "std"))
        count = loaded.model.num_classes - 1
        labels = read_labels(flags.labels, count) if flags.labels else ()
        return detector(loaded.model, loaded.variables, net.name, labels, flags.resize)
    if loaded.channels not in (1, 3) and loaded.recorded is None:
        raise UsageError(
            f"weights {spelled(flags.weights)!r}: a net for {loaded.channels} channels; "
            "predict reads grey and RGB images, which have 1 and 3"
        )
    chosen = flags.treatment()
    if isinstance(loaded.model, Segmenter):
        if chosen.pop("crop") is not None:
            raise UsageError(
                f"crop={flags.crop}: expected none, net {net.name} labels whole pictures"
            )
        count = count_classes(loaded.model)
        names = read_labels(flags.labels, count) if flags.labels else class_names(count)
        return labeller(net, loaded, names, **chosen)
    check_old_run(flags.weights, loaded, **{k: v for k, v in chosen.items() if k != "mean"})
    treatment = treat(net, loaded, **chosen)
    names = loaded.recorded.classes if loaded.recorded and not flags.labels else None
    labels = names or read_labels(flags.labels, loaded.classifier.num_classes)
    task = Classify(loaded.classifier, treatment.normalize)
    info = Info(net.name, len(labels), tuple(labels))
    return Trained(task, loaded.variables, treatment.transform, info)


def load_published_clips(net: Net, arguments: Mapping[str, Any], flags: Predict) -> TrainedOnClips:
    """A net for clips with the weights of a file. Raises UsageError for what does not fit together."""
    check_unset(flags, f"net {net.name} classifies clips", ("annotations", "strength", "saliency"))
    loaded = load_net(net, arguments, flags.weights)
    if loaded.channels != net.image[-1]:
        raise UsageError(
            f"weights {spelled(flags.weights)!r}: a net for {loaded.channels} channels; expected 3"
        )
    labels = read_labels(flags.labels, loaded.classifier.num_classes)
    known = flags.mean == flags.std == UNSET
    normalize = KINETICS if known else Normalize(flags.mean, flags.std)
    return clips_of_net(net, loaded, labels, (flags.resize, flags.crop), normalize)


def check_run_decides(recorded: Recorded, flags: Predict) -> None:
    """Raise UsageError for flags of classifiers with a run of another task."""
    check_unset(flags, f"run {str(recorded.folder)!r} trained no classifier")


def check_unset(flags: Predict, reason: str, names: Sequence[str] = ("labels", *TREATMENT)) -> None:
    """Raise UsageError for flags of classifiers, with a reason why there should be none."""
    for name in names:
        if (value := getattr(flags, name)) not in (None, UNSET):
            raise UsageError(f"{name}={value}: expected none, {reason}")


def read_labels(path: Path | None, num_classes: int) -> list[str]:
    """The names of the classes, one a line; their numbers without a file.

    UTF-8, or UTF-16 with a byte order mark, as Windows writes them. Raises UsageError for a file that is
    not text, or has another number of lines.
    """
    if path is None:
        return [str(number) for number in range(num_classes)]
    try:
        labels = read_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"labels {str(path)!r}: not a readable text file ({error})") from error
    if len(labels) != num_classes:
        raise UsageError(
            f"labels {str(path)!r} has {len(labels)} lines: the net has {num_classes} classes, "
            "and each needs one"
        )
    return labels
