"""`export`: a net with its weights as one file that jax alone runs."""

import dataclasses
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from jresnet.commands.arguments import parse
from jresnet.commands.outfile import check_new
from jresnet.commands.treatment import subject
from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.models import cpu
from jresnet.models.headed import Headed
from jresnet.runtime import environment as runtime
from jresnet.storage import replacing
from jresnet.text import shown
from jresnet.weights.fold import fold
from jresnet.weights.nets import load_net

PLATFORMS = ("cpu", "cuda", "tpu")


@dataclasses.dataclass(kw_only=True)
class Export:
    weights: Path
    """Checkpoint: .safetensors, .npz, .pt, .pth or .bin in torch's layout; or a run's folder."""
    out: Path
    """File to write, with the ending .jax."""
    batch: int | None = None
    """Images a call; by default any number."""
    image: tuple[int, ...] | None = None
    """Size and channels of an image; by default the run's or the published ones."""


def export(argv: Sequence[str]) -> int:
    """A net as compiled code for CPU, CUDA and TPU with its weights inside, BatchNorm folded away.

    `export runs/cifar10 --out cifar10.jax`
    `export resnet50 --weights resnet50.safetensors --out resnet50.jax`

    `jax.export.deserialize(bytearray(data)).call(images)` gives the net's output, logits
    [batch, num_classes] of a classifier, for normalised float32 images [batch, *image], where only
    jax and flatbuffers are installed.
    """
    net, run, rest = subject(argv)
    flags, arguments = parse(Export, f"export {net.name}", net, rest, num_classes=None, **run)
    check_new("out", flags.out, (".jax",))
    if importlib.util.find_spec("flatbuffers") is None:
        raise UsageError(
            "export needs the package flatbuffers, as does who loads it: pip install it"
        )
    runtime.prepare()
    loaded = load_net(net, arguments, flags.weights)
    size = loaded.recorded.image[:-1] if loaded.recorded else net.image[:-1]
    image = (*size, loaded.channels) if flags.image is None else flags.image
    *spatial, channels = image or (0,)
    rank = len(size)
    if len(spatial) != rank or channels != loaded.channels or min(spatial) < 1:
        raise UsageError(
            f"image {' '.join(map(str, image))}: take {rank} sizes of 1 or more "
            f"and {loaded.channels}, the channels of the checkpoint"
        )
    exported = exported_net(loaded.model, loaded.variables, flags.batch, image)
    data = exported.serialize()
    with replacing(flags.out) as file:
        file.write(data)
    images = array_text(exported.in_avals[0])
    output = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    print(
        f"{shown(flags.out)}: {len(data) / 1e6:.1f} MB, {images} to {outputs_text(output)} "
        f"on {', '.join(exported.platforms)}"
    )
    normalize = loaded.recorded.normalize() if loaded.recorded else None
    if isinstance(normalize, Normalize):
        print(
            f"images normalised as the run's: (pixels / 255 - {normalize.mean}) / {normalize.std}"
        )
    return 0


def exported_net(
    model: Headed, variables: dict[str, Any], batch: int | None, image: tuple[int, ...]
) -> jax.export.Exported:
    """float32 images `[batch, *image]` to the net's output; `batch=None` leaves their number open.

    Raises UsageError for a net that cannot be written for any number of images, or not at all.
    """
    folded, folded_variables = fold(model, variables)

    def forward(images: jax.Array) -> Any:
        return folded.apply(folded_variables, images, train=False)

    sizes = ", ".join(map(str, (batch or "batch", *image)))
    images = jax.ShapeDtypeStruct(jax.export.symbolic_shape(sizes), jnp.float32)
    try:
        with cpu.without():  # the artefact is for every platform
            return jax.export.export(jax.jit(forward), platforms=PLATFORMS)(images)
    except Exception as error:  # a head's own operations fail in any way they like
        advice = "" if batch else "; --batch fixes the number of images, which may help"
        raise UsageError(
            f"net {type(model).__name__} cannot be exported "
            f"({type(error).__name__}: {shown(error, 300)}){advice}"
        ) from error


def array_text(array: Any) -> str:
    """`float32[batch, 32, 32, 3]`."""
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def outputs_text(output: Any) -> str:
    """`float32[batch, 10]`, or `out float32[...], aux float32[...]` where there are several."""
    named = [
        (jax.tree_util.keystr(path, simple=True, separator="."), array_text(array))
        for path, array in jax.tree_util.tree_leaves_with_path(output)
    ]
    return ", ".join(f"{name} {text}".strip() for name, text in named)
