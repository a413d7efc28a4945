"""The pictures of style transfer by optimisation, as files and on a page."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image

from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics, series
from jresnet.report.html import Gallery, Section, Table, Text, Thumbnail
from jresnet.report.lines import Line, line_panels
from jresnet.storage import replacing
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.stylising.pictures import Photo, write_result
from jresnet.tasks.style_losses import with_colour_of
from jresnet.weights.run import read_variables

HEADERS = ("pictures", "steps", "style loss left", "content loss", "variation", "seconds")
RELATIVE = (
    "Style loss: 1 is that of the content picture itself. Content loss: 1 is that of a picture "
    "whose every position has the content's mean feature. Variation is the mean absolute difference "
    "of neighbours, a pixel's range being 1. Of several pictures the means."
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the page beside the results.

    - net: its name and where its weights are from.
    - layers: style layers and content layer, in words.
    - styles: the style pictures.
    - contents: the content pictures of each run, by its label.
    - keep_colour: whether results keep the colours of the content.
    - from_content: whether pictures began as the content.
    """

    net: str
    layers: str
    styles: Sequence[Photo]
    contents: Mapping[str, Sequence[Photo]]
    keep_colour: bool
    from_content: bool


def conclude(
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Write each result as a PNG beside the page, and the page, whose pictures lie apart."""
    apart = folder / "page"
    apart.mkdir(exist_ok=True)
    shown = [
        Thumbnail(save_pixels(apart / f"style-{photo.name}.png", photo.as_bytes()), "style", photo.name)
        for photo in facts.styles
    ]  # fmt: skip
    for label, result in results.items():
        pictures = optimised(result.folder, facts.contents[label], facts.keep_colour)
        for photo, pixels in zip(facts.contents[label], pictures, strict=True):
            content = save_pixels(apart / f"content-{photo.name}.png", photo.as_bytes())
            write_result(folder / f"{photo.name}.png", pixels, photo)
            seen = np.rint(255 * pixels).astype(np.uint8)
            shown.append(Thumbnail(content, "content", photo.name))
            name = f"shown-{photo.name}.png"  # without alpha, in 8 bits
            shown.append(Thumbnail(save_pixels(apart / name, seen), "result", photo.name))
    rows = [
        (label, *cells(result, read_metrics(result.folder)[-1]["step"]))
        for label, result in results.items()
    ]
    curves = {
        label: style_curve(result.folder, "style", facts.from_content)
        for label, result in results.items()
    }
    drawing = line_panels({"": curves}, "steps", "style loss (content picture: 1)", log=True)
    words = "The style loss while the pictures are optimised."
    left = [result.metrics["test"]["style"] for result in results.values()]
    summary = (
        f"Style loss fell to {max(left):.3g} of that of the content picture, by {facts.net}; "
        f"{facts.layers}."
    )
    sections = [
        Section("Pictures", [Gallery("Style, content and result", shown, wide=True)]),
        Section("Result", [Table(HEADERS, rows, RELATIVE), Text([f"Features: {facts.net}; {facts.layers}."])]),
        Section("Optimisation", [picture(drawing, apart / "loss.png", words)]),
    ]  # fmt: skip
    return conclude_study(folder, "Style transfer by optimisation", summary, sections, provenance)


def optimised(folder: Path, photos: Sequence[Photo], keep_colour: bool) -> np.ndarray:
    """The pictures of a finished run, float32 `[n, H, W, 3]` in [0, 1], as they are to be seen."""
    pixels = read_variables(folder / "checkpoints")["params"]["picture"]
    if keep_colour:
        content = jnp.asarray(np.stack([photo.pixels for photo in photos]))
        pixels = with_colour_of(content, jnp.asarray(pixels))
    return np.clip(np.asarray(pixels), 0, 1)


def cells(result: Result, steps: int) -> tuple[object, ...]:
    """Steps, the parts of the loss at the end, and seconds, in words."""
    test = result.metrics["test"]
    parts = [f"{test[name]:.3g}" for name in ("style", "content", "variation")]
    return (steps, *parts, f"{result.seconds:.0f}")


def style_curve(folder: Path, name: str, from_content: bool) -> Line:
    """A relative style loss of the evaluations against steps.

    It begins at 1 where the content picture itself is the start.
    """
    steps, values = series(read_metrics(folder), "test", name)
    begin = ([0], [1.0]) if from_content else ([], [])
    return Line([*begin[0], *steps.tolist()], [*begin[1], *values.tolist()])


def save_pixels(path: Path, pixels: np.ndarray) -> Path:
    """Write uint8 `[H, W, 3]` as a PNG; gives the path."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    with replacing(path) as file:
        file.write(stream.getvalue())
    return path
