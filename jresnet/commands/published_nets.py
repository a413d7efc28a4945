"""Nets by name and file for `predict`: what each takes of the flags."""

from collections.abc import Mapping
from typing import Any

from jresnet.commands.detectors import detector
from jresnet.commands.predict_clips import (
    TrainedOnClips,
    clips_of_net,
)
from jresnet.commands.predict_flags import Predict, check_unset, read_labels
from jresnet.commands.published_maps import class_names, count_classes, labeller
from jresnet.commands.trained import (
    Trained,
    painter,
    upscaler,
)
from jresnet.commands.treatment import (
    UNSET,
    check_old_run,
    check_takes_pictures,
    treat,
)
from jresnet.data.info import Info
from jresnet.data.normalisation import KINETICS, Normalize
from jresnet.errors import UsageError
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.heads.restyle import Restyler
from jresnet.models.heads.upsample import Upscaler
from jresnet.tasks.classify import Classify
from jresnet.weights.nets import Net, load_net
from jresnet.weights.remote import spelled


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
