"""Tables, figures, pictures and sentences of the study of style features."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.recipes.styling import StyleRecipe
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Figure, Gallery, Section, Table, Text, Thumbnail
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.style_features.measure import SMOOTHED, WORDS, Variant, entropies
from jresnet.studies.stylising.pictures import Photo
from jresnet.studies.stylising.report import optimised, save_pixels, style_curve

ENTROPY = (
    "Entropy of a layer's absolute activations as shares of their sum, over all positions and "
    "channels, divided by its maximum: 1 where all are equal, 0 where one holds everything. The "
    "mean over content and style pictures. A factor changes no entropy: deep-scaled has that of "
    "plain."
)
GRAM = "The same of the Gram matrices of these features."
HEADERS = (
    "variant", "style loss left", "by the judge", "content loss", "variation", "seconds", "features"
)  # fmt: skip
LEFT = (
    "Style loss left: by each variant's own features, which is what it minimised; 1 is that of the "
    "content picture. By the judge: by the plain features of the net for all, which only the "
    "variant plain minimised. The losses of different variants have scales of their own, so only "
    "the judge's column compares them. Content loss is by each variant's own features, too."
)
PAPER = (
    "Wang, Li and Vasconcelos 2021 (arXiv:2104.05623) find that residual connections make "
    "activations peaky, of low entropy, so that few entries dominate Gram matrices; that a softmax "
    "over the activations helps; and that nets without shortcuts lack the fault even with random "
    "weights. They show pictures and a user study.",
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the page beside the results.

    - net: its name and where its weights are from.
    - layers: style layers and content layer, in words.
    - variants: nets and smoothings by name.
    - styles, content: the pictures.
    - recipe: how they are optimised, with the weights of the losses.
    """

    net: str
    layers: str
    variants: Mapping[str, Variant]
    styles: Sequence[Photo]
    content: Photo
    recipe: StyleRecipe


def conclude(
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure entropies, draw, write the report."""
    seen = [facts.content.pixels, *(photo.pixels for photo in facts.styles)]
    measured = {name: entropies(variant, seen) for name, variant in facts.variants.items()}
    features, grams = ({name: pair[k] for name, pair in measured.items()} for k in (0, 1))
    rows = [(name, *cells(name, result)) for name, result in results.items()]
    sections = [
        Section("Pictures", [gallery(facts, folder, results)]),
        Section("Style loss", [*style_figures(folder, results), Table(HEADERS, rows, LEFT)]),
        Section("Entropy of activations", [
            *entropy_figures(folder, features, grams),
            entropy_table(features, ENTROPY), entropy_table(grams, GRAM),
        ]),
        Section("Net, layers and weights", [Text([f"{facts.net}; {facts.layers}.", weights(facts)])]),
    ]  # fmt: skip
    summary = statement(facts, features, results)
    return conclude_study(folder, "Features for style transfer", summary, sections, provenance, PAPER)  # fmt: skip


def weights(facts: Facts) -> str:
    """The weights of the losses and the factor of the softmax, in sentences."""
    recipe = facts.recipe
    return (
        f"Weights: {recipe.style_weight:g} of the style loss, {recipe.content_weight:g} of the "
        f"content loss, {recipe.variation_weight:g} of the total variation; all style layers weigh "
        "the same. Style and content loss are relative: style loss 1 is that of the content "
        "picture, content loss 1 that of a picture without any structure. The softmax over all "
        "entries is multiplied by their number, so that the mean is 1; the authors' is not."
    )


def gallery(facts: Facts, folder: Path, results: Mapping[str, Result]) -> Gallery:
    """Style, content and the result of each variant, saved as PNG files."""
    thumbnails = [
        Thumbnail(save_pixels(folder / f"style-{photo.name}.png", photo.as_bytes()), "style", photo.name)
        for photo in facts.styles
    ]  # fmt: skip
    content = save_pixels(folder / "content.png", facts.content.as_bytes())
    thumbnails.append(Thumbnail(content, "content", facts.content.name))
    for name, result in results.items():
        if result.diverged:
            continue
        (pixels,) = optimised(result.folder, [facts.content], False)
        path = save_pixels(folder / f"{name}.png", np.rint(255 * pixels).astype(np.uint8))
        thumbnails.append(Thumbnail(path, f"left {result.metrics['test']['style']:.2g}", name))
    title = "Style, content, and the result by each variant"
    return Gallery(title, thumbnails, wide=True)


def cells(name: str, result: Result) -> tuple[object, ...]:
    """The row of a variant after its name."""
    if result.diverged:
        return (result.diverged, None, None, None, f"{result.seconds:.0f}", WORDS[name])
    test = result.metrics["test"]
    parts = [f"{test[key]:.3g}" for key in ("style", "judged_style", "content", "variation")]
    return (*parts, f"{result.seconds:.0f}", WORDS[name])


def entropy_table(values: Mapping[str, Mapping[str, float]], caption: str) -> Table:
    """A row for each variant, a column for each layer; "none" where all activations are 0."""
    layers = list(next(iter(values.values())))
    rows = [
        (name, *("none" if np.isnan(row[layer]) else f"{row[layer]:.3f}" for layer in layers))
        for name, row in values.items()
    ]
    return Table(("variant", *layers), rows, caption)


def groups(names: Iterable[str]) -> dict[str, list[str]]:
    """The variants in two figures, both with the first, so that each has colours to tell apart."""
    first, *others = names
    smoothed = [name for name in others if name in SMOOTHED]
    nets = [name for name in others if name not in SMOOTHED]
    return {
        title: [first, *chosen]
        for title, chosen in (("smoothings", smoothed), ("nets", nets))
        if chosen
    }


def style_figures(folder: Path, results: Mapping[str, Result]) -> list[Figure]:
    """Style loss against steps by each variant's own features, and by those of the judge."""
    items = []
    for title, names in groups(results).items():
        panels = {
            words: {
                name: style_curve(results[name].folder, key, True)
                for name in names
                if not results[name].diverged
            }
            for words, key in (("by its own features", "style"), ("by the judge", "judged_style"))
        }
        drawing = line_panels(panels, "steps", "style loss, relative", log=True)
        words = f"Style loss while the picture is optimised, by {title}; 1 is that of the content."
        items.append(picture(drawing, folder / f"curves-{title}.png", words))
    return items


def entropy_figures(
    folder: Path,
    features: Mapping[str, Mapping[str, float]],
    grams: Mapping[str, Mapping[str, float]],
) -> list[Figure]:
    """Entropies of features and of Gram matrices against the layer."""
    items = []
    for title, names in groups(features).items():
        panels = {
            words: {
                name: Line(range(len(values[name])), [*values[name].values()]) for name in names
            }
            for words, values in (("activations", features), ("Gram matrices", grams))
        }
        drawing = line_panels(panels, "layer (0: the stem)", "normalised entropy", share_y=False)
        words = f"Entropies by {title}."
        items.append(picture(drawing, folder / f"entropy-{title}.png", words))
    return items


def statement(
    facts: Facts,
    features: Mapping[str, Mapping[str, float]],
    results: Mapping[str, Result],
) -> str:
    """Entropies of the last stage, and what the judge says, in sentences."""
    last = facts.variants["plain"].net.layers[-1]
    spread = ", ".join(f"{name} {row[last]:.2f}" for name, row in features.items())
    judged = {
        name: result.metrics["test"]["judged_style"]
        for name, result in results.items()
        if not result.diverged
    }
    order = ", ".join(f"{name} {left:.3g}" for name, left in sorted(judged.items(), key=_second))
    return (
        f"Normalised entropy of {last}: {spread}. Style loss left by the plain features, of that of "
        f"the content picture: {order}. {facts.net}; {facts.layers}."
    )


def _second(pair: tuple[str, float]) -> float:
    return pair[1]
