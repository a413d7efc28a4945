"""`embed`: the features of picture files as arrays, and which of the pictures are alike."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import Positional

from jresnet.commands.arguments import parse
from jresnet.commands.compare_faces import compares_faces, of_file, of_run
from jresnet.commands.files import find_images
from jresnet.commands.neighbours import draw_neighbours
from jresnet.commands.outfile import check_new
from jresnet.commands.predict_pictures import Skipped, in_batches
from jresnet.commands.trained import Trained
from jresnet.commands.treatment import (
    TREATMENT,
    UNSET,
    check_old_run,
    check_takes_pictures,
    subject,
    treat,
)
from jresnet.data.decoders import DecodeError
from jresnet.data.films import is_film
from jresnet.data.info import Info
from jresnet.errors import UsageError
from jresnet.models.features import Feature, Pyramid, feature_pyramid
from jresnet.models.heads.restyle import Restyler
from jresnet.models.heads.upsample import Upscaler
from jresnet.models.pools import global_average_pool
from jresnet.runtime import environment as runtime
from jresnet.storage import replacing
from jresnet.text import shown
from jresnet.weights.nets import Loaded, Net, load_net
from jresnet.weights.recorded import read_recorded
from jresnet.weights.remote import spelled


@dataclasses.dataclass(kw_only=True)
class Embed:
    images: Positional[tuple[Path, ...]]
    """Image files, and folders of which all images are taken."""
    weights: Path
    """Checkpoint in torch's layout, with or without a head, or a run's folder."""
    out: Path
    """File to write, .npz: `features`, float32 [files, channels], and `names`, their files."""
    index: int = -1
    """Number of the feature: 0 is the stem's, 1 the first stage's; -1 is the last stage's."""
    pictures: int = 6
    """Pictures whose nearest neighbours are drawn beside the file, as .png; 0 for none."""
    neighbours: int = 5
    """Nearest neighbours of each of them."""
    resize: int | None = None
    """Pixels of the shorter side before the crop; by default as in the run or as published."""
    crop: int | None = None
    """Pixels of either side of the square cut from the middle; by default as in the run or as published."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Means of red, green and blue on the scale of [0, 1]; without `std` those of the run, or ImageNet's."""
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviations, as `mean`."""


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The mean of a feature over its positions, in the place of a task, for `in_batches`."""

    pyramid: Pyramid
    normalize: Callable[[Any], Any]

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        """The file alone; there is no truth."""
        return {"image": file, "label": np.int32(0)}

    def predict(
        self, variables: Mapping[str, Any], batch: Mapping[str, jax.Array]
    ) -> dict[str, jax.Array]:
        """`features`, float32 `[batch, channels]`."""
        maps: Any = self.pyramid.apply(variables, self.normalize(batch["image"]), train=False)
        return {"features": global_average_pool(maps[0]).astype(jnp.float32)}


def embed(argv: Sequence[str]) -> int:
    """The pooled features of a net for image files, and the nearest neighbours of some of them.

    `embed runs/cifar10 photos/ --out photos.npz`
    `embed resnet50 --weights moco_v2_800ep.pth.tar photos/ --out photos.npz`

    `photos.npz` holds `features`, float32 [files, channels], and `names`. `photos.png` shows some
    pictures, and beside each those whose features point the same way: the cosine is printed too.
    The net may be any with a residual backbone; a head is not needed, and not used. Pictures are
    cut and normalised as `predict` does. What cannot be read is named on stderr; the status is
    then 1.
    """
    net, run, rest = subject(argv)
    flags, arguments = parse(Embed, f"embed {net.name}", net, rest, num_classes=None, **run)
    drawing = flags.out.with_suffix(".png")
    check_new("out", flags.out, (".npz",))
    if flags.pictures:
        check_new("out", drawing, (".png",))
    if not flags.images:
        raise UsageError("images missing: give image files or folders")
    paths = list(dict.fromkeys(find_images(flags.images)))
    films = [path for path in paths if is_film(path)]
    if len(films) == len(paths):
        raise UsageError(f"images={shown(films[0])}: expected pictures, this is a film")
    check_takes_pictures(net)
    runtime.prepare()
    trained, feature = load_pooled(net, arguments, flags)
    skipped = Skipped()
    for film in films:
        skipped.add(film, DecodeError("a film, expected a picture"))
    pictures = [path for path in paths if path not in films]
    vectors: dict[Path, np.ndarray] = {
        file.name: rows["features"] for file, _, rows in in_batches(pictures, trained, skipped)
    }
    if not vectors:
        raise UsageError(f"images: expected pictures, none of {len(paths)} files can be read")
    features = np.stack([*vectors.values()])
    with replacing(flags.out) as file:
        np.savez(
            file, features=features, names=np.array([str(name) for name in vectors]),
            net=np.array(net.name), weights=np.array(spelled(flags.weights)),
        )  # fmt: skip
    print(
        f"{shown(flags.out)}: {len(features)} files, {features.shape[1]} features each "
        f"({feature.name}, pooled); {skipped.count} files skipped"
    )
    if flags.pictures and len(vectors) > 1:
        draw_neighbours(drawing, [*vectors], features, trained, flags.pictures, flags.neighbours)
    return 1 if skipped.count else 0


def load_pooled(net: Net, arguments: Mapping[str, Any], flags: Embed) -> tuple[Trained, Feature]:
    """The net's backbone with its weights, the treatment of pictures, and the feature it gives.

    Raises UsageError for an index that is not there, and for a net without features of pictures.
    """
    loaded = load_net(net, arguments, flags.weights, new_head=True)
    if isinstance(loaded.model, Upscaler | Restyler):
        raise UsageError(f"net {net.name} makes pictures: expected one that looks at them")
    if loaded.channels not in (1, 3):
        raise UsageError(
            f"weights {spelled(flags.weights)!r}: a net for {loaded.channels} channels; embed reads "
            "grey and RGB images, which have 1 and 3"
        )
    try:
        pyramid = feature_pyramid(loaded.model, (flags.index,))
    except ValueError as error:
        name, _, expected = str(error).partition(": ")  # without the argument's own name
        field = f"index={flags.index}" if name.startswith("out_indices") else name
        raise UsageError(f"{field}: {expected}") from error
    transform, normalize = treatment(net, loaded, flags)
    backbone = {
        kind: {"backbone": tree["backbone"]}
        for kind, tree in loaded.variables.items()
        if "backbone" in tree
    }
    task: Any = Pooled(pyramid, normalize)
    info = Info(net.name, class_of=None)
    return Trained(task, backbone, transform, info), pyramid.info()[0]


def treatment(net: Net, loaded: Loaded, flags: Embed) -> tuple[Any, Callable[[Any], Any]]:
    """How pictures are cut, on the host, and normalised, on the device."""
    chosen = {name: getattr(flags, name) for name in TREATMENT}
    recorded = read_recorded(flags.weights) if flags.weights.is_dir() else None
    if compares_faces(net, recorded) and all(value in (None, UNSET) for value in chosen.values()):
        faces = of_file(net, loaded) if recorded is None else of_run(recorded)
        task: Any = faces.task
        return faces.transform, task.normalize
    check_old_run(flags.weights, loaded, **{k: v for k, v in chosen.items() if k != "mean"})
    treated = treat(net, loaded, **chosen)
    return treated.transform, treated.normalize
