"""Table, figures and sentences of the study of enlarged pictures."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics, series
from jresnet.report.html import Gallery, Section, Table, Text
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.upscaling.crops import compared

HEADERS = (
    "net", "parameters", "PSNR Y (dB)", "over bicubic", "SSIM Y", "PSNR RGB (dB)", "SSIM RGB", "seconds"
)  # fmt: skip
PICTURES = 9
AFTER = (
    "Means over the whole pictures of the test split, rounded to 8 bits, a border as wide as the "
    "scale left out. Y is BT.601's luma from 16 to 235, on which papers report; scores on RGB are "
    "lower and must not be compared with theirs. Bicubic enlarges the same reduced pictures. With "
    "several seeds mean and standard deviation."
)
BOTH = " Parameters are those of the net and of the discriminator."
SEEN = "The mean of the results for the eight ways to lay each picture (self-ensemble)."
CROPS = (
    "The part of each picture in which bicubic is most wrong: the reduced picture, bicubic, the "
    "result of each net, the truth. PSNR is of the whole picture's luma, of the first seed. A net "
    "called start is the one whose weights the training went on from."
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the report beside the runs' results: the scale, the set, what is minimised.

    `judged` says that a discriminator was trained too, `start` what the nets started from: a file or
    a run's folder.
    """

    scale: int
    dataset: str
    loss: str
    judged: bool = False
    start: Path | None = None


def conclude(
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called net-seed."""
    nets = by_net(results)
    tests = {net: [results[i].metrics["test"] for i in labels] for net, labels in nets.items()}
    first = next(iter(tests.values()))[0]
    rows: list[tuple[object, ...]] = [
        (
            "bicubic",
            None,
            *cells([_under("bicubic/", first)], first),
            None,
        )
    ]
    rows += [
        (
            net,
            f"{results[labels[0]].parameters:,}",
            *cells(tests[net], first),
            f"{sum(results[label].seconds for label in labels):.0f}",
        )
        for net, labels in nets.items()
    ]
    tables = [Table(HEADERS, rows, AFTER + BOTH * facts.judged)]
    if "ensemble/psnr_y" in first:
        seen = [
            (net, *cells([_under("ensemble/", test) for test in each], first))
            for net, each in tests.items()
        ]
        tables.append(Table(("net", *HEADERS[2:-1]), seen, SEEN))
    sections = crops(facts, folder, {net: results[i[0]].folder for net, i in nets.items()})
    sections.append(Section("Result", tables))
    curves = {net: curve(results[labels[0]].folder) for net, labels in nets.items()}
    if all(len(line.x) for line in curves.values()):
        flat = next(iter(curves.values())).x
        bicubic = Line([min(flat), max(flat)], [first["bicubic/psnr_y"]] * 2, dashed=True)
        drawn = line_panels(
            {"": {**curves, "bicubic": bicubic}}, "steps", "PSNR Y of the test split (dB)"
        )
        words = "Test pictures while the nets train, of the first seed."
        sections.append(Section("Training", [picture(drawn, folder / "psnr.png", words)]))
    summary = statement(facts, tests)
    return conclude_study(
        folder, f"Pictures {facts.scale} times as large", summary, sections, provenance
    )


def crops(facts: Facts, folder: Path, folders: Mapping[str, Path]) -> list[Section]:
    """Crops of all nets beside each other, and where they have drawn none of the same of each net."""
    together = compared(folders, folder / "crops", facts.start)
    if together is not None:
        return [Section(f"Crops x{facts.scale}", [Text([CROPS]), together])]
    sections = []
    for net, place in folders.items():
        if (examples := gallery.section(place)) is not None:
            galleries = (item for item in examples.items if isinstance(item, Gallery))
            items = [dataclasses.replace(item, large=True) for item in galleries]
            title = f"Crops x{facts.scale}, by {net}"
            sections.append(Section(title, [Text([CROPS]), *items]))
    return sections


def cells(tests: Sequence[Mapping[str, float]], first: Mapping[str, float]) -> list[str]:
    """PSNR of Y, its gain over bicubic, SSIM of Y, PSNR and SSIM of RGB, in words."""

    def mean(name: str, digits: int) -> str:
        values = np.array([test.get(name, np.nan) for test in tests])
        spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{values.mean():.{digits}f}{spread}"

    gain = np.mean([test["psnr_y"] for test in tests]) - first["bicubic/psnr_y"]
    return [
        mean("psnr_y", 2), f"{gain:+.2f}", mean("ssim_y", 4), mean("psnr_rgb", 2), mean("ssim_rgb", 4)
    ]  # fmt: skip


def curve(folder: Path) -> Line:
    """PSNR of the test split's luma against steps."""
    steps, values = series(read_metrics(folder), "test", "psnr_y")
    return Line(steps.tolist(), values.tolist())


def statement(facts: Facts, tests: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """PSNR of each net beside bicubic, in a sentence."""
    bicubic = next(iter(tests.values()))[0]["bicubic/psnr_y"]
    parts = []
    for net, each in tests.items():
        value = float(np.mean([test["psnr_y"] for test in each]))
        parts.append(f"{net} {value:.2f} dB ({value - bicubic:+.2f})")
    return (
        f"x{facts.scale} on {facts.dataset}, PSNR on Y: bicubic {bicubic:.2f} dB, "
        f"{', '.join(parts)}; minimised was {facts.loss}."
    )


def _under(prefix: str, test: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix(prefix): x for name, x in test.items() if name.startswith(prefix)}
