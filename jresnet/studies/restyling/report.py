"""Table, pictures and curves of nets that paint pictures in one style."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from jresnet.experiment import Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics, series
from jresnet.report.html import Gallery, Section, Table, Text, Thumbnail
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.stylising.pictures import Photo
from jresnet.studies.stylising.report import save_pixels

HEADERS = (
    "net", "parameters", "style loss of the pictures", "painted", "of it left (%)", "content loss",
    "change", "seconds",
)  # fmt: skip
PICTURES = 9
AFTER = (
    "Means over patches of the test split. Style loss: the mean over layers of the squared "
    "difference of Gram matrices, where 1 is the mean square of the style's own. Content loss is the "
    "squared difference of features as it is, and change the mean absolute difference of pixels, "
    "whose range is 1. With several seeds the means."
)
PAIRS = "Each picture beside the painted one; the worst have the largest loss."


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the page beside the results.

    - dataset: the content pictures.
    - net: the loss network, in words.
    - layers: style layers and content layer, in words.
    - styles: the style pictures.
    """

    dataset: str
    net: str
    layers: str
    styles: Sequence[Photo]


def conclude(
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called NAME-seedN."""
    nets = by_net(results)
    styles = [
        Thumbnail(save_pixels(folder / f"style-{photo.name}.png", photo.as_bytes()), "style", photo.name)
        for photo in facts.styles
    ]  # fmt: skip
    sections = [Section("Style", [Gallery("Style pictures", styles, wide=True)])]
    for net, labels in nets.items():
        examples = gallery.section(results[labels[0]].folder)
        if examples is not None:
            items = [
                dataclasses.replace(item, large=True)
                for item in examples.items
                if isinstance(item, Gallery)
            ]
            sections.append(Section(f"Pictures by {net}", [Text([PAIRS]), *items]))
    rows = [row(net, [results[label] for label in labels]) for net, labels in nets.items()]
    words = f"Features: {facts.net}; {facts.layers}."
    sections.append(Section("Result", [Table(HEADERS, rows, AFTER), Text([words])]))
    curves = {net: curve(results[labels[0]].folder) for net, labels in nets.items()}
    if all(len(line.x) for line in curves.values()):
        drawn = line_panels({"": curves}, "steps", "style loss in training", log=True)
        words = "The style loss of painted training patches, of the first seed."
        sections.append(Section("Training", [picture(drawn, folder / "style.png", words)]))
    summary = statement(facts, {net: [results[i] for i in labels] for net, labels in nets.items()})
    return conclude_study(folder, "Pictures in another style", summary, sections, provenance)


def mean(results: Sequence[Result], name: str) -> float:
    """The mean of a metric of the test split."""
    return sum(result.metrics["test"][name] for result in results) / len(results)


def row(net: str, results: Sequence[Result]) -> tuple[object, ...]:
    """A line of the table."""
    before, after = mean(results, "original/style"), mean(results, "style")
    return (
        net,
        f"{results[0].parameters:,}",
        f"{before:.3g}",
        f"{after:.3g}",
        f"{100 * after / before:.1f}" if before else None,
        f"{mean(results, 'content'):.3g}",
        f"{mean(results, 'change'):.3f}",
        f"{sum(result.seconds for result in results):.0f}",
    )


def curve(folder: Path) -> Line:
    """The style loss of training against steps."""
    steps, values = series(read_metrics(folder), "train", "style")
    return Line(steps.tolist(), values.tolist())


def statement(facts: Facts, nets: Mapping[str, Sequence[Result]]) -> str:
    """How far the style loss of test pictures fell, in a sentence."""
    parts = []
    for net, results in nets.items():
        before, after = mean(results, "original/style"), mean(results, "style")
        parts.append(f"{net} from {before:.3g} to {after:.3g}")
    return f"Style loss of pictures of {facts.dataset} that were painted: {', '.join(parts)}."
