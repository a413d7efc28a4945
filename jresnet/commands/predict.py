"""`predict`: what a trained net makes of image files; of a classifier the likeliest classes."""

from collections.abc import Mapping, Sequence
from typing import Any

from jresnet.commands.arguments import parse
from jresnet.commands.compare_faces import (
    compare_faces,
    compares_faces,
    of_file,
    of_run,
    verdict_of,
)
from jresnet.commands.detectors import read_ids, with_categories
from jresnet.commands.files import check_films, find_images
from jresnet.commands.outfile import check_empty
from jresnet.commands.play_episode import play_episode, plays
from jresnet.commands.predict_clips import (
    classifies_clips,
    find_videos,
    load_clips,
    predict_clips,
    takes_clips,
)
from jresnet.commands.predict_flags import Predict, check_run_decides, check_unset, new_results
from jresnet.commands.predict_pictures import predict_pictures
from jresnet.commands.predict_volumes import (
    find_channels,
    find_volumes,
    load_volumes,
    predict_volumes,
    takes_volumes,
)
from jresnet.commands.published_nets import load_classifier, load_published_clips
from jresnet.commands.trained import (
    load_predictor,
    other_run,
    run_as_net,
    with_saliency,
    with_strength,
)
from jresnet.commands.treatment import (
    TREATMENT,
    at_hand,
    subject,
)
from jresnet.data.sources.landmarks import read_landmarks
from jresnet.errors import UsageError
from jresnet.runtime import environment as runtime
from jresnet.text import shown
from jresnet.weights.nets import Net, load_net
from jresnet.weights.recorded import Recorded


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
    if takes_clips(recorded) if recorded is not None else classifies_clips(net):
        if recorded is None:
            clips = load_published_clips(net, arguments, flags)
        else:
            check_run_decides(recorded, flags)
            clips = load_clips(recorded)
        with_strength(clips.trained, flags.strength)
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
