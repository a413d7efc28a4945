"""`export`: a net with its weights as one file that jax alone, or any runtime of ONNX, runs."""

import dataclasses
import datetime
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jresnet.commands.arguments import parse
from jresnet.commands.outfile import check_new
from jresnet.commands.treatment import subject
from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.models import cpu
from jresnet.models.headed import Headed
from jresnet.runtime import environment as runtime
from jresnet.storage import replacing
from jresnet.text import shown
from jresnet.weights import files
from jresnet.weights.fold import fold
from jresnet.weights.nets import Loaded, load_net

PLATFORMS = ("cpu", "cuda", "tpu")
PROMISED = datetime.timedelta(days=181)  # the shortest 6 months
CLOSE = 1e-4  # of the largest output, between onnxruntime and the net


@dataclasses.dataclass(kw_only=True)
class Export:
    weights: Path
    """Checkpoint: .safetensors, .npz, .pt, .pth or .bin in torch's layout; or a run's folder."""
    out: Path | None = None
    """File to write, with the ending .jax or .onnx; by default the net's name with that of --format."""
    format: Literal["jax", "onnx"] | None = None
    """Kind of file, where the name of --out does not say it."""
    batch: int | None = None
    """Images a call; by default any number."""
    image: tuple[int, ...] | None = None
    """Size and channels of an image; by default the run's or the published ones."""


def export(argv: Sequence[str]) -> int:
    """A net with its weights inside, BatchNorm folded away, as code for jax or as an ONNX graph.

    `export runs/cifar10 --out cifar10.jax`
    `export resnet50 --weights resnet50.safetensors --format onnx`

    Both give the net's output, logits [batch, num_classes] of a classifier, for normalised float32
    images [batch, *image]. Of a .jax file it is
    `jax.export.deserialize(bytearray(data)).call(images)`, on CPU, CUDA and TPU, where only jax and
    flatbuffers are installed; jax promises to read it for six months, so the folded weights are
    written beside it, as NAME-folded.safetensors. An .onnx file is checked by onnxruntime before it
    is written.
    """
    net, run, rest = subject(argv)
    flags, arguments = parse(Export, f"export {net.name}", net, rest, num_classes=None, **run)
    out = file_of(flags, net.name)
    check_new("out", out, (".jax", ".onnx"))
    beside = out.with_name(f"{out.stem}-folded.safetensors")
    if out.suffix == ".onnx":
        for name in ("onnx", "onnxruntime"):
            library(name, "onnx")
    else:
        check_new("out", beside, (beside.suffix,))
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
    if out.suffix == ".onnx":
        print(write_onnx(out, loaded.model, loaded.variables, flags.batch, image))
    else:
        print(_write_jax(out, beside, loaded, flags.batch, image))
    normalize = loaded.recorded.normalize() if loaded.recorded else None
    if isinstance(normalize, Normalize):
        print(
            f"images normalised as the run's: (pixels / 255 - {normalize.mean}) / {normalize.std}"
        )
    return 0


def file_of(flags: Export, name: str) -> Path:
    """The file to write. Raises UsageError unless --out or --format tells its kind, both the same."""
    if flags.out is None:
        if flags.format is None:
            raise UsageError("out missing: expected a file that ends in .jax or .onnx, or --format")
        return Path(f"{name}.{flags.format}")
    if flags.format is not None and flags.out.suffix != f".{flags.format}":
        raise UsageError(f"out={flags.out}: expected a name that ends in .{flags.format}")
    return flags.out


def _write_jax(
    out: Path, beside: Path, loaded: Loaded, batch: int | None, image: tuple[int, ...]
) -> str:
    """Write both files; the line that tells of them."""
    exported = exported_net(loaded.model, loaded.variables, batch, image)
    data = exported.serialize()
    with replacing(out) as file:
        file.write(data)
    _, folded = fold(loaded.model, loaded.variables)
    arrays: Any = traverse_util.flatten_dict(jax.tree.map(np.asarray, folded), sep="/")
    files.save(arrays, beside)
    last = datetime.date.today() + PROMISED
    images = array_text(exported.in_avals[0])
    output = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    return (
        f"{shown(out)}: {len(data) / 1e6:.1f} MB, {images} to {outputs_text(output)} "
        f"on {', '.join(exported.platforms)}\n"
        f"jax {jax.__version__} wrote it. Versions up to 6 months younger are promised to read it, "
        f"which is until {last} at the latest; export it again before.\n"
        f"{shown(beside)}: its weights, for the net that jresnet.weights.fold makes"
    )


def exported_net(
    model: Headed, variables: dict[str, Any], batch: int | None, image: tuple[int, ...]
) -> jax.export.Exported:
    """float32 images `[batch, *image]` to the net's output; `batch=None` leaves their number open.

    Raises UsageError for a net that cannot be written for any number of images, or not at all.
    """
    forward = folded_net(model, variables)
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


def folded_net(model: Headed, variables: dict[str, Any]) -> Callable[[jax.Array], Any]:
    """The function from normalised images to the net's output, BatchNorm folded away."""
    folded, folded_variables = fold(model, variables)
    return lambda images: folded.apply(folded_variables, images, train=False)


def write_onnx(
    out: Path,
    model: Headed,
    variables: dict[str, Any],
    batch: int | None,
    image: tuple[int, ...],
) -> str:
    """Write the net's ONNX graph, checked against the net; the line that tells of it.

    Raises UsageError for a net with an operation that has no counterpart, or outputs that differ.
    """
    from jresnet.weights import onnx_model  # which imports the extra

    forward = folded_net(model, variables)
    rng = np.random.default_rng(0)
    try:
        with cpu.without():  # its own forms of operations are for XLA
            graph = onnx_model.to_onnx(forward, image, batch)
        images = rng.normal(size=(batch or 3, *image)).astype(np.float32)
        apart = onnx_model.furthest(graph, forward, images)
    except Exception as error:  # a head's own operations, or the runtime, fail in any way they like
        advice = "" if batch else "; --batch fixes the number of images, which may help"
        raise UsageError(
            f"net {type(model).__name__} cannot be written as ONNX "
            f"({type(error).__name__}: {shown(error, 300)}){advice}"
        ) from error
    if not apart <= CLOSE:
        raise UsageError(
            f"net {type(model).__name__}: its ONNX graph differs by {apart:.1e}, expected {CLOSE}"
        )
    data = graph.SerializeToString()
    with replacing(out) as file:
        file.write(data)
    sizes = ", ".join(map(str, (batch or "batch", *image)))
    return (
        f"{shown(out)}: {len(data) / 1e6:.1f} MB, float32[{sizes}] to "
        f"{', '.join(output.name for output in graph.graph.output)}; onnxruntime differs from the "
        f"net by {apart:.1e} of the largest output"
    )


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
