"""`predict`: the likeliest classes of image files."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tyro.conf import Positional

from jresnet.commands.arguments import parse
from jresnet.commands.treatment import check_old_run, check_takes_pictures, subject, treat
from jresnet.data.decoders import DecodeError
from jresnet.data.lines import read_lines
from jresnet.data.load import ImageTransform
from jresnet.data.sources.files import read_file, walk
from jresnet.errors import UsageError
from jresnet.runtime import environment as runtime
from jresnet.text import shown
from jresnet.weights.nets import Loaded, load_net

BATCH = 32
SHOWN = 5  # classes an image

# uint8 [batch, *image_shape] to probabilities and classes [batch, SHOWN], the likeliest first.
Classify = Callable[[np.ndarray], tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(kw_only=True)
class Predict:
    images: Positional[tuple[Path, ...]]
    """Image files, and folders of which all images are taken."""
    weights: Path
    """Checkpoint: .safetensors, .npz, .pt, .pth or .bin in torch's layout; or a run's folder."""
    labels: Path | None = None
    """Text file with the name of a class on each line; by default the run's classes, or numbers."""
    resize: int | None = None
    """Pixels of the shorter side before the crop; by default as in the run or as published."""
    crop: int | None = None
    """Pixels of either side of the square cut from the middle; by default as in the run or as published."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of red, green and blue on the scale of [0, 1], for a grey net three times the same. Without
    `std` those of the run, or ImageNet's."""
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviations, as `mean`."""


def predict(argv: Sequence[str]) -> int:
    """The five likeliest classes of images and their probabilities, as a table.

    `predict runs/cifar10 photos/`
    `predict resnet50 --weights resnet50.safetensors --labels names.txt cat.jpg photos/`

    A run tells its net, its classes, and how its images were cut and normalised. For a file images
    are treated as the net's published evaluation did; num_classes is read off the checkpoint. What
    cannot be read is named on stderr; the status is then 1.
    """
    net, run, rest = subject(argv)
    flags, arguments = parse(Predict, f"predict {net.name}", net, rest, num_classes=None, **run)
    if not flags.images:
        raise UsageError("images missing: give image files or folders")
    check_takes_pictures(net)
    runtime.prepare()
    loaded = load_net(net, arguments, flags.weights)
    if loaded.channels not in (1, 3) and loaded.recorded is None:
        raise UsageError(
            f"weights {str(flags.weights)!r}: a net for {loaded.channels} channels; "
            "predict reads grey and RGB images, which have 1 and 3"
        )
    given = {name: getattr(flags, name) for name in ("resize", "crop", "mean", "std")}
    check_old_run(flags.weights, loaded, **{k: v for k, v in given.items() if k != "mean"})
    treatment = treat(net, loaded, **given)
    names = loaded.recorded.classes if loaded.recorded and not flags.labels else None
    labels = names or read_labels(flags.labels, loaded.model.num_classes)
    paths = list(find_images(flags.images))
    return predict_files(
        paths, treatment.transform, classifier(loaded, treatment.normalize), labels
    )


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


def find_images(given: Iterable[Path]) -> Iterable[Path]:
    """The files as given, and the images below the folders, sorted, without hidden ones."""
    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path / name for name in walk(path))
        yield from found or [path]  # `read` tells of a folder without images


def read(path: Path) -> bytes:
    """The bytes of a file. Raises OSError, and DecodeError for a folder and for what is no file."""
    if path.is_dir():
        raise DecodeError("a folder without images")
    return read_file(path)


def classifier(loaded: Loaded, normalize: Callable[[Any], Any]) -> Classify:
    """A compiled function from pixels to the likeliest classes."""
    shown = min(SHOWN, loaded.model.num_classes)

    @jax.jit
    def classify(variables: dict, pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = loaded.model.apply(variables, normalize(pixels), train=False)
        return jax.lax.top_k(jax.nn.softmax(logits), shown)  # type: ignore[arg-type]

    return functools.partial(classify, jax.device_put(loaded.variables))


def predict_files(
    paths: Sequence[Path], transform: ImageTransform, classify: Classify, labels: Sequence[str]
) -> int:
    """Print a table of the classes of every file that can be read; 1 if there is one that cannot."""
    names = {path: shown(path) for path in paths}
    labels = [shown(label) for label in labels]
    widths = [max(map(len, column)) for column in (["image", *names.values()], ["class", *labels])]
    batch, pending, status = min(BATCH, len(paths)), [], 0
    unused = np.random.default_rng(0)  # evaluation draws nothing
    print(f"{'image':{widths[0]}}  {'class':{widths[1]}}  probability")

    def flush() -> None:
        pixels = np.zeros((batch, *transform.image_shape), np.uint8)  # one shape: one compilation
        pixels[: len(pending)] = [image for _, image in pending]
        probabilities, classes = map(np.asarray, classify(pixels))
        for i, (path, _) in enumerate(pending):
            for rank, (p, k) in enumerate(zip(probabilities[i], classes[i], strict=True)):
                name = "" if rank else names[path]
                print(f"{name:{widths[0]}}  {labels[k]:{widths[1]}}  {p:11.4f}")
        pending.clear()

    for path in paths:
        try:
            pending.append((path, transform(read(path), unused)))
        except (DecodeError, OSError) as error:
            print(shown(f"skipped {path}: {error}"), file=sys.stderr)
            status = 1
        if len(pending) == batch:
            flush()
    if pending:
        flush()
    return status
